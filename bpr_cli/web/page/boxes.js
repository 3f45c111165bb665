// The port of patches/boxes.py: boundary pixels of a mask, and boxes along them, thinned out by NMS.
// A mask is {width, height, data}, data a Uint8Array of 0 and 1 in raster order.
"use strict";

/** Scores of boundary pixels, best first. */
const SCORES = [4, 3, 2, 1];

/** Rounds as Python does: halves go to the even neighbour. */
function roundHalfEven(value) {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}

/** Number of mask pixels. */
function areaOf({ data }) {
  let area = 0;
  for (let index = 0; index < data.length; index++) area += data[index];
  return area;
}

/** The bounding box of a mask, {x0, y0, x1, y1}, half-open; x1 is 0 if it is empty. */
function boundsOf({ width, height, data }) {
  const bounds = { x0: width, y0: height, x1: 0, y1: 0 };
  for (let y = 0; y < height; y++) {
    const row = data.subarray(y * width, (y + 1) * width);
    const first = row.indexOf(1);
    if (first < 0) continue;
    bounds.x0 = Math.min(bounds.x0, first);
    bounds.x1 = Math.max(bounds.x1, row.lastIndexOf(1) + 1);
    bounds.y0 = Math.min(bounds.y0, y);
    bounds.y1 = y + 1;
  }
  return bounds;
}

/** The part of a mask in a box, {x0, y0, x1, y1}; an image has more values a pixel. */
function windowOf({ width, data }, { x0, y0, x1, y1 }, values = 1) {
  const row = (x1 - x0) * values;
  const part = new Uint8Array(row * (y1 - y0));
  for (let y = y0; y < y1; y++) {
    const start = (y * width + x0) * values;
    part.set(data.subarray(start, start + row), (y - y0) * row);
  }
  return { width: x1 - x0, height: y1 - y0, data: part };
}

/** min(n, 9 - n) with n mask pixels in the 3 x 3 neighbourhood of every pixel; the edge is repeated outside. */
function boundaryScore({ width, height, data }) {
  const score = new Uint8Array(width * height);
  const column = new Uint8Array(width);
  for (let y = 0; y < height; y++) {
    const above = Math.max(y - 1, 0) * width;
    const here = y * width;
    const below = Math.min(y + 1, height - 1) * width;
    for (let x = 0; x < width; x++) column[x] = data[above + x] + data[here + x] + data[below + x];
    for (let x = 0; x < width; x++) {
      const count = column[Math.max(x - 1, 0)] + column[x] + column[Math.min(x + 1, width - 1)];
      score[here + x] = Math.min(count, 9 - count);
    }
  }
  return score;
}

/** Indices of the boundary pixels, best score first, in raster order among equals. */
function boundaryPixels(mask) {
  const score = boundaryScore(mask);
  const found = new Map(SCORES.map((each) => [each, []]));
  for (let index = 0; index < score.length; index++) if (score[index]) found.get(score[index]).push(index);
  return SCORES.flatMap((each) => found.get(each));
}

/** Marks the offsets at which two equal squares overlap by more than the threshold; {reach, data}, offset 0 in the middle. */
function suppressionStamp(side, threshold) {
  const exceeds = (dx, dy) => {
    const intersection = Math.max(side - Math.abs(dx), 0) * Math.max(side - Math.abs(dy), 0);
    return intersection / (2 * side ** 2 - intersection) > threshold;
  };
  let reach = 0;
  while (exceeds(reach + 1, 0)) reach++;
  const length = 2 * reach + 1;
  const data = new Uint8Array(length * length);
  for (let y = 0; y < length; y++) {
    for (let x = 0; x < length; x++) data[y * length + x] = exceeds(x - reach, y - reach) ? 1 : 0;
  }
  return { reach, data };
}

/** Greedy non-maximum suppression of the equal squares centred on boundary pixels; the centres that are kept. */
function suppress(pixels, { width, height }, side, threshold) {
  const { reach, data } = suppressionStamp(side, threshold);
  const length = 2 * reach + 1;
  const stride = width + 2 * reach;
  const dead = new Uint8Array(stride * (height + 2 * reach));
  const kept = [];
  for (const pixel of pixels) {
    const x = pixel % width;
    const y = (pixel - x) / width;
    if (dead[(y + reach) * stride + x + reach]) continue;
    kept.push({ x, y });
    for (let row = 0; row < length; row++) {
      const start = (y + row) * stride + x;
      for (let offset = 0; offset < length; offset++) dead[start + offset] |= data[row * length + offset];
    }
  }
  return kept;
}

/**
 * Square boxes {x, y, side} centred on boundary pixels, thinned out, moved inside the image, each one once.
 * With a rim, more boxes follow until no boundary pixel lies outside of all boxes and their rims.
 */
function denseBoxes(pixels, size, side, threshold, rim) {
  const inside = (start, length) => Math.min(Math.max(start, 0), Math.max(length - side, 0));
  const boxes = new Map();
  for (let left = pixels; left.length; left = rim ? outside(left, size, widened([...boxes.values()], rim)) : []) {
    for (const centre of suppress(left, size, side, threshold)) {
      const x = inside(centre.x - Math.floor(side / 2), size.width);
      const y = inside(centre.y - Math.floor(side / 2), size.height);
      const key = `${x},${y}`;
      if (!boxes.has(key)) boxes.set(key, { x, y, side });
    }
  }
  return [...boxes.values()];
}

/** The boundary pixels that lie in none of the boxes. */
function outside(pixels, { width, height }, boxes) {
  const covered = new Uint8Array(width * height);
  for (const { x, y, side } of boxes) {
    for (let row = Math.max(y, 0); row < Math.min(y + side, height); row++) {
      covered.fill(1, row * width + Math.max(x, 0), row * width + Math.min(x + side, width));
    }
  }
  return pixels.filter((pixel) => !covered[pixel]);
}

/** Boxes with more pixels on every side. */
function widened(boxes, margin) {
  return boxes.map(({ x, y, side }) => ({ x: x - margin, y: y - margin, side: side + 2 * margin }));
}
