// The port of patches/crop.py: patches of image and mask, resized with half-pixel centres.
"use strict";

/** Where a position outside of an axis is mirrored to; end pixels are not repeated. */
function mirrored(position, length) {
  if (length === 1) return 0;
  const period = 2 * length - 2;
  const inPeriod = ((position % period) + period) % period;
  return Math.min(inPeriod, period - inPeriod);
}

/** The two source pixels of every target pixel of an axis, and the weight of the second; bilinear. */
function bilinearTaps(source, target) {
  const first = new Int32Array(target);
  const second = new Int32Array(target);
  const weight = new Float64Array(target);
  for (let index = 0; index < target; index++) {
    const position = ((index + 0.5) * source) / target - 0.5;
    const below = Math.floor(position);
    first[index] = Math.min(Math.max(below, 0), source - 1);
    second[index] = Math.min(Math.max(below + 1, 0), source - 1);
    weight[index] = position - below;
  }
  return { first, second, weight };
}

/** The source pixel of every target pixel of an axis; nearest neighbour with 16 bits of fraction, as in OpenCV. */
function nearestTaps(source, target) {
  const step = Math.floor((source * 65536 + Math.floor(target / 2)) / target);
  const start = Math.floor(step / 2) - (source % 2);
  return Int32Array.from({ length: target }, (_, index) =>
    Math.min(Math.floor((start + index * step) / 65536), source - 1),
  );
}

/** Resizes a square of `channels` bytes a pixel bilinearly; from `source` to `target` pixels a side. */
function resizeBilinear(pixels, source, target, channels) {
  if (source === target) return pixels;
  const { first, second, weight } = bilinearTaps(source, target);
  const out = new Uint8Array(target * target * channels);
  let index = 0;
  for (let y = 0; y < target; y++) {
    const top = first[y] * source * channels;
    const bottom = second[y] * source * channels;
    for (let x = 0; x < target; x++) {
      const left = first[x] * channels;
      const right = second[x] * channels;
      for (let channel = 0; channel < channels; channel++) {
        const upper = pixels[top + left + channel] * (1 - weight[x]) + pixels[top + right + channel] * weight[x];
        const lower = pixels[bottom + left + channel] * (1 - weight[x]) + pixels[bottom + right + channel] * weight[x];
        out[index++] = Math.floor(upper * (1 - weight[y]) + lower * weight[y] + 0.5);
      }
    }
  }
  return out;
}

/**
 * Crops boxes with their context.
 * image: {width, height, data}, RGBA as a canvas gives it; mask: see boxes.js; padding: context in image pixels.
 * Returns {count, image, mask}: bytes of (P, T, T, 3) and (P, T, T), T the input size.
 */
function cropPatches(image, mask, boxes, padding, inputSize) {
  const area = inputSize * inputSize;
  const patches = { count: boxes.length, image: new Uint8Array(boxes.length * area * 3), mask: new Uint8Array(boxes.length * area) };
  boxes.forEach((box, number) => {
    const side = box.side + 2 * padding;
    const rgb = new Uint8Array(side * side * 3);
    const inside = new Uint8Array(side * side);
    const columns = Int32Array.from({ length: side }, (_, x) => mirrored(box.x - padding + x, mask.width));
    for (let y = 0; y < side; y++) {
      const row = mirrored(box.y - padding + y, mask.height) * mask.width;
      for (let x = 0; x < side; x++) {
        const from = row + columns[x];
        const to = y * side + x;
        inside[to] = mask.data[from];
        for (let channel = 0; channel < 3; channel++) rgb[to * 3 + channel] = image.data[from * 4 + channel];
      }
    }
    patches.image.set(resizeBilinear(rgb, side, inputSize, 3), number * area * 3);
    const taps = nearestTaps(side, inputSize);
    const out = patches.mask.subarray(number * area, (number + 1) * area);
    for (let y = 0; y < inputSize; y++) {
      for (let x = 0; x < inputSize; x++) out[y * inputSize + x] = inside[taps[y] * side + taps[x]];
    }
  });
  return patches;
}
