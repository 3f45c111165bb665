// The port of keep_interior of refinement/limits.py: pixels deep inside of the coarse mask stay foreground.
"use strict";

/** Restores the interior of the coarse mask: pixels farther than core x sqrt(area) from its background. */
function keepInterior(coarse, refined, core) {
  if (core >= 1 || !coarse.data.some((value, index) => value > refined.data[index])) return refined;
  const depth = squaredDistanceInside(coarse);
  const least = core * Math.sqrt(areaOf(coarse));
  const data = refined.data.slice();
  for (let index = 0; index < data.length; index++) {
    if (coarse.data[index] > data[index] && Math.sqrt(depth[index]) > least) data[index] = 1;
  }
  return { ...refined, data };
}

/** Squared distance of every pixel to the nearest background pixel; everything outside of the image is background. */
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
