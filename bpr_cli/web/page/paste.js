// The port of patches/paste.py: overlapping patches are averaged and pasted back.
"use strict";

/** Probability 1. */
const CERTAIN = 255;

/** The part of an image that the boxes cover: {x0, y0, x1, y1}, half-open. */
function coveredBy(boxes, { width, height }) {
  const covered = { x0: width, y0: height, x1: 0, y1: 0 };
  for (const { x, y, side } of boxes) {
    covered.x0 = Math.min(covered.x0, x);
    covered.y0 = Math.min(covered.y0, y);
    covered.x1 = Math.max(covered.x1, Math.min(x + side, width));
    covered.y1 = Math.max(covered.y1, Math.min(y + side, height));
  }
  return covered;
}

/**
 * Sums the probabilities of all patches at every pixel of the part that they cover, and counts the patches.
 * probabilities: bytes of (P, S, S), in units of 1/255. Returns {frame, total, count}, of the size of the frame.
 */
function average(boxes, probabilities, patchSize, size) {
  const frame = coveredBy(boxes, size);
  const width = frame.x1 - frame.x0;
  const total = new Int32Array(width * (frame.y1 - frame.y0));
  const count = new Int32Array(total.length);
  const area = patchSize * patchSize;
  boxes.forEach(({ x, y, side }, number) => {
    const patch = resizeBilinear(probabilities.subarray(number * area, (number + 1) * area), patchSize, side, 1);
    const rows = Math.min(side, size.height - y);
    const columns = Math.min(side, size.width - x);
    for (let row = 0; row < rows; row++) {
      const start = (y + row - frame.y0) * width + x - frame.x0;
      for (let column = 0; column < columns; column++) {
        total[start + column] += patch[row * side + column];
        count[start + column]++;
      }
    }
  });
  return { frame, total, count };
}

/** The refined mask: averages above one half, and the coarse mask where no patch lies; never empty. */
function reassemble(coarse, boxes, probabilities, patchSize) {
  if (boxes.length === 0) return coarse;
  const { frame, total, count } = average(boxes, probabilities, patchSize, coarse);
  const data = coarse.data.slice();
  let index = 0;
  for (let y = frame.y0; y < frame.y1; y++) {
    for (let x = frame.x0; x < frame.x1; x++, index++) {
      if (count[index]) data[y * coarse.width + x] = 2 * total[index] > CERTAIN * count[index] ? 1 : 0;
    }
  }
  return data.includes(1) ? { ...coarse, data } : coarse;
}
