// The port of patches/paste.py: overlapping patches are averaged and pasted back.
"use strict";

/** Probability 1. */
const CERTAIN = 255;

/** Weight of a patch inside its rim. */
const FULL_WEIGHT = 16;

/** Width of the strip along the outer sides of all patches where a change is taken to go on beyond them, in pixels. */
const REACH = 2;

/** The part of an image around all boxes: {x0, y0, x1, y1}, half-open. */
function coveredBy(boxes, { width, height }) {
  const covered = { x0: width, y0: height, x1: 0, y1: 0 };
  for (const { x, y, side } of boxes) {
    covered.x0 = Math.max(Math.min(covered.x0, x), 0);
    covered.y0 = Math.max(Math.min(covered.y0, y), 0);
    covered.x1 = Math.min(Math.max(covered.x1, x + side), width);
    covered.y1 = Math.min(Math.max(covered.y1, y + side), height);
  }
  return covered;
}

/** The weight of each pixel of a patch: it falls towards the sides over the outer 2 * rim pixels. */
function rimWeights(side, rim) {
  if (rim === 0) return new Int32Array(side * side).fill(1);
  const ramp = Array.from({ length: side }, (_, index) => {
    const distance = Math.min(index, side - 1 - index) + 0.5;
    return Math.ceil(FULL_WEIGHT * Math.min(distance / (2 * rim), 1));
  });
  return Int32Array.from({ length: side * side }, (_, index) =>
    Math.min(ramp[Math.floor(index / side)], ramp[index % side]),
  );
}

/**
 * Sums the weighted probabilities of all patches at every pixel of the part that they cover, and their weights.
 * probabilities: bytes of (P, S, S), in units of 1/255. Returns {frame, total, weight}, of the size of the frame.
 */
function average(boxes, probabilities, outputSize, size, rim) {
  const frame = coveredBy(boxes, size);
  const width = frame.x1 - frame.x0;
  const total = new Int32Array(width * (frame.y1 - frame.y0));
  const weight = new Int32Array(total.length);
  const weights = rimWeights(boxes[0].side, rim);
  const area = outputSize * outputSize;
  boxes.forEach(({ x, y, side }, number) => {
    const patch = resizeBilinear(probabilities.subarray(number * area, (number + 1) * area), outputSize, side, 1);
    for (let row = Math.max(-y, 0); row < Math.min(side, size.height - y); row++) {
      const start = (y + row - frame.y0) * width + x - frame.x0;
      for (let column = Math.max(-x, 0); column < Math.min(side, size.width - x); column++) {
        const inside = row * side + column;
        total[start + column] += patch[inside] * weights[inside];
        weight[start + column] += weights[inside];
      }
    }
  });
  return { frame, total, weight };
}

/** The mask with averages above one half where patches lie. */
function pasted(coarse, { frame, total, weight }) {
  const data = coarse.data.slice();
  let index = 0;
  for (let y = frame.y0; y < frame.y1; y++) {
    for (let x = frame.x0; x < frame.x1; x++, index++) {
      if (weight[index]) data[y * coarse.width + x] = 2 * total[index] > CERTAIN * weight[index] ? 1 : 0;
    }
  }
  return { ...coarse, data };
}

/** The refined mask: averages above one half, and the coarse mask where no patch lies; never empty. */
function reassemble(coarse, boxes, probabilities, outputSize, rim) {
  if (boxes.length === 0) return coarse;
  const refined = pasted(coarse, average(boxes, probabilities, outputSize, coarse, rim));
  return refined.data.includes(1) ? refined : coarse;
}

/** Indices of the pixels where a change reaches the outer sides of all patches; the image border is no such side. */
function openEnds(coarse, boxes, probabilities, outputSize, rim) {
  const field = average(boxes, probabilities, outputSize, coarse, rim);
  const { frame, weight } = field;
  const refined = pasted(coarse, field);
  const isCovered = (x, y) => {
    const column = Math.min(Math.max(x, 0), coarse.width - 1) - frame.x0;
    const row = Math.min(Math.max(y, 0), coarse.height - 1) - frame.y0;
    const width = frame.x1 - frame.x0;
    return column >= 0 && column < width && row >= 0 && row < frame.y1 - frame.y0 && weight[row * width + column] > 0;
  };
  const isAtSide = (x, y) => {
    for (let dy = -REACH; dy <= REACH; dy++) {
      for (let dx = -REACH; dx <= REACH; dx++) if (!isCovered(x + dx, y + dy)) return true;
    }
    return false;
  };
  const ends = [];
  for (let y = frame.y0; y < frame.y1; y++) {
    for (let x = frame.x0; x < frame.x1; x++) {
      const index = y * coarse.width + x;
      if (refined.data[index] !== coarse.data[index] && isAtSide(x, y)) ends.push(index);
    }
  }
  return ends;
}
