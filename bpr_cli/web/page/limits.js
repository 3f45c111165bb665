// The port of refinement/limits.py: masks keep their interior and get no specks, and may come back as they were.
"use strict";

/** Restores the interior of the coarse mask: pixels farther than core x sqrt(area) from its background. */
function keepInterior(coarse, refined, core) {
  if (core >= 1 || !coarse.data.some((value, index) => value > refined.data[index])) return refined;
  const bounds = boundsOf(coarse);
  const { x0, y0 } = bounds;
  const box = windowOf(coarse, bounds);
  const depth = squaredDistanceInside(box);
  const least = core * Math.sqrt(areaOf(coarse));
  const data = refined.data.slice();
  for (let y = 0, inside = 0; y < box.height; y++) {
    for (let x = 0; x < box.width; x++, inside++) {
      if (Math.sqrt(depth[inside]) > least) data[(y0 + y) * coarse.width + x0 + x] = 1;
    }
  }
  return { ...refined, data };
}

/** Squared distance of every pixel to the nearest background pixel; everything outside is background. */
function squaredDistanceInside({ width, height, data }) {
  const depth = new Float64Array(width * height);
  // Down each column, the distance to the nearest background in it; then along each row, the lower envelope of parabolas.
  for (let x = 0; x < width; x++) {
    let distance = 0;
    for (let y = 0; y < height; y++) {
      const index = y * width + x;
      distance = data[index] ? distance + 1 : 0;
      depth[index] = distance;
    }
    distance = 0;
    for (let y = height - 1; y >= 0; y--) {
      const index = y * width + x;
      distance = data[index] ? distance + 1 : 0;
      depth[index] = Math.min(depth[index], distance) ** 2;
    }
  }
  const framed = new Float64Array(width + 2); // the outside to the left and right has distance 0
  for (let y = 0; y < height; y++) {
    framed.set(depth.subarray(y * width, (y + 1) * width), 1);
    depth.set(lowerEnvelope(framed).subarray(1, width + 1), y * width);
  }
  return depth;
}

/** min over q of (p - q)^2 + f(q) for every p, in linear time (Felzenszwalb and Huttenlocher, 2012). */
function lowerEnvelope(f) {
  const centres = new Int32Array(f.length);
  const starts = new Float64Array(f.length + 1);
  let last = 0;
  starts[0] = -Infinity;
  starts[1] = Infinity;
  for (let q = 1; q < f.length; q++) {
    const crossing = (p) => (f[q] + q * q - f[p] - p * p) / (2 * q - 2 * p);
    while (crossing(centres[last]) <= starts[last]) last--;
    starts[last + 1] = crossing(centres[last]);
    last++;
    centres[last] = q;
    starts[last + 1] = Infinity;
  }
  const out = new Float64Array(f.length);
  for (let p = 0, part = 0; p < f.length; p++) {
    while (starts[part + 1] < p) part++;
    out[p] = (p - centres[part]) ** 2 + f[centres[part]];
  }
  return out;
}

/**
 * Takes back parts and holes that are smaller than `least` pixels and that the coarse mask does not have. Pixels of a
 * part touch at sides or corners, those of a hole at sides. A mask that would lose all its parts stays as it is.
 */
function withoutSpecks(coarse, refined, least) {
  const [before, after] = [boundsOf(coarse), boundsOf(refined)];
  if (least <= 1 || after.x1 === 0) return refined;
  const window = {
    x0: Math.max(Math.min(before.x0, after.x0) - 1, 0),
    y0: Math.max(Math.min(before.y0, after.y0) - 1, 0),
    x1: Math.min(Math.max(before.x1, after.x1) + 1, coarse.width),
    y1: Math.min(Math.max(before.y1, after.y1) + 1, coarse.height),
  };
  const cleaned = { ...refined, data: refined.data.slice() };
  for (const [value, corners] of [[1, true], [0, false]]) {
    for (const part of partsOf(cleaned, value, corners, window)) {
      const shared = part.reduce((sum, index) => sum + (coarse.data[index] === value), 0);
      if (part.length < least && 2 * shared < part.length) for (const index of part) cleaned.data[index] = 1 - value;
    }
  }
  return cleaned.data.includes(1) ? cleaned : refined;
}

/** The connected parts of the pixels of a value in a window, as lists of indices; pixels may touch at corners, too. */
function partsOf({ width, data }, value, corners, { x0, y0, x1, y1 }) {
  const seen = new Uint8Array(data.length);
  const parts = [];
  for (let y = y0; y < y1; y++) {
    for (let x = x0; x < x1; x++) {
      const start = y * width + x;
      if (seen[start] || data[start] !== value) continue;
      seen[start] = 1;
      const part = [start];
      for (let next = 0; next < part.length; next++) {
        const column = part[next] % width;
        const row = (part[next] - column) / width;
        for (let dy = -1; dy <= 1; dy++) {
          for (let dx = -1; dx <= 1; dx++) {
            if (!corners && dx && dy) continue;
            if (column + dx < x0 || column + dx >= x1 || row + dy < y0 || row + dy >= y1) continue;
            const index = part[next] + dy * width + dx;
            if (seen[index] || data[index] !== value) continue;
            seen[index] = 1;
            part.push(index);
          }
        }
      }
      parts.push(part);
    }
  }
  return parts;
}

/** Number of pixels in which two masks of one image differ. */
function differenceOf(first, second) {
  let count = 0;
  for (let index = 0; index < first.data.length; index++) count += first.data[index] !== second.data[index];
  return count;
}
