// The port of refinement/evidence.py, refinement/judgement.py and weights/judge.py: which changes of a mask stay.
// A changed mask is {image, coarse, refined, probability, scale, factor, changes}, most of it in a window of the image;
// see changedMask.
"use strict";

/** Pixels around both masks that a window must show, where the image has them. */
const MARGIN = 10;

/** Pixels by which a contour is moved inwards and outwards, to compare the contrast there with that on it. */
const NEIGHBOURHOOD = 3;

/** Side in pixels of the square whose majority smooths a mask. */
const SMOOTHING = 7;

/** Distances in pixels at which a part of one boundary counts as far from the other one. */
const DISTANCES = [1, 2, 4, 8];
const BACKWARD_DISTANCES = [2, 8];

/** Number of values that describe a change, and the changes of a mask together. */
const EVIDENCE = 25;
const EVIDENCE_ON_ALL = 7 + EVIDENCE;

/** Likely gain of IoU below which its logarithm falls no further. */
const SMALLEST_GAIN = 0.0001;

/** Standard deviations from the mean at which evidence is cut off. */
const LARGEST = 4;

/** A mask of twice this length in pixels and more is judged in a smaller picture, in which it is at least so long. */
const JUDGED_LENGTH = 450;

/** Likely gain of IoU below which a mask comes back as it was. */
const LEAST_GAIN = 0.003;

/** Keeps the changes of a mask that are likely to be right, or none of them; see refine.js for an outline. */
function judgeChanges(image, coarse, refined, outline, card) {
  if (differenceOf(coarse, refined) === 0) return refined;
  const judge = judgeOf(card.judge, EVIDENCE);
  const box = boxAround(coarse, refined);
  const changed = changedMask(image, coarse, refined, box, outline, outputSizeOf(card));
  const evidence = evidenceOf(changed);
  const chances = evidence.map((values) => chanceOf(values, judge));
  const kept = chances.map((chance) => chance > 0.5);
  if (!isBetter(changed, evidence, chances, kept, card)) return coarse;
  const { factor } = changed;
  const taken = { ...changed.coarse, data: new Uint8Array(changed.coarse.data.length) };
  changed.changes.forEach(({ pixels }, number) => {
    if (!kept[number]) for (const pixel of pixels) taken.data[pixel] = 1;
  });
  const back = factor > 1 ? sumsAround(taken, 1) : taken.data;
  const data = refined.data.slice();
  for (let y = box.y0; y < box.y1; y++) {
    for (let x = box.x0; x < box.x1; x++) {
      const seen = Math.floor((y - box.y0) / factor) * taken.width + Math.floor((x - box.x0) / factor);
      if (back[seen]) data[y * coarse.width + x] = coarse.data[y * coarse.width + x];
    }
  }
  return data.includes(1) ? { ...refined, data } : coarse;
}

/** Whether a mask is likely to be better with the changes that are kept; the final judge must agree, if there is one. */
function isBetter(changed, evidence, chances, kept, card) {
  const [before, after] = [kept.map(() => false), kept].map((applied) => likelyIou(changed, chances, applied));
  if (after - before < LEAST_GAIN) return false;
  if (!card.final_judge.length) return true;
  const values = evidenceOnAll(changed, evidence, chances, kept, before, after);
  return chanceOf(values, judgeOf(card.final_judge, EVIDENCE_ON_ALL)) > 0.5;
}

/** The evidence on the changes that stay together, a list of EVIDENCE_ON_ALL values. */
function evidenceOnAll({ coarse, changes }, evidence, chances, kept, before, after) {
  const sumOf = (valueOf) => changes.reduce((sum, { pixels }, number) => sum + pixels.length * valueOf(number), 0);
  const [total, stays, side] = [sumOf(() => 1), sumOf((number) => (kept[number] ? 1 : 0)), Math.sqrt(areaOf(coarse))];
  return [
    Math.log(Math.max(after - before, SMALLEST_GAIN)),
    before,
    sumOf((number) => (kept[number] ? chances[number] : 0)) / stays,
    sumOf((number) => chances[number]) / total,
    sumOf((number) => chances[number] * (1 - chances[number])) / total,
    Math.log(stays / side),
    Math.log(total / side),
    ...evidence[0].map((_, value) => sumOf((number) => evidence[number][value]) / total),
  ];
}

/** Likely IoU of a mask with the truth, if the truth differs only in the changes; applied: which of them the mask has. */
function likelyIou({ coarse, refined, changes }, chances, applied) {
  let common = 0;
  coarse.data.forEach((value, pixel) => {
    common += value & refined.data[pixel];
  });
  let [intersection, union] = [common, common];
  changes.forEach(({ joins, pixels }, number) => {
    const inside = joins === applied[number];
    const right = joins ? chances[number] : 1 - chances[number];
    intersection += inside ? pixels.length * right : 0;
    union += pixels.length * (inside ? 1 : right);
  });
  return intersection / union;
}

/** The window around two masks: {x0, y0, x1, y1}, half-open. */
function boxAround(coarse, refined) {
  const [before, after] = [boundsOf(coarse), boundsOf(refined)];
  return {
    x0: Math.max(Math.min(before.x0, after.x0) - MARGIN, 0),
    y0: Math.max(Math.min(before.y0, after.y0) - MARGIN, 0),
    x1: Math.min(Math.max(before.x1, after.x1) + MARGIN, coarse.width),
    y1: Math.min(Math.max(before.y1, after.y1) + MARGIN, coarse.height),
  };
}

/**
 * A mask before and after refinement in a window: the pixels of the image, RGBA; both masks; the probability of every
 * pixel in units of 1/255; the scale of the patches; the factor by which all this is smaller than the image, above 1 for
 * a long mask; the changes, each {joins, pixels}, a connected group of pixels (by their sides) that all join the mask or
 * all leave it.
 */
function changedMask(image, coarse, refined, box, outline, outputSize) {
  const [before, after] = [coarse, refined].map((mask) => windowOf(mask, box));
  const probability = probabilityIn(box, after, coarse, outline, outputSize);
  const pixels = windowOf(image, box, 4);
  const full = { image: pixels, coarse: before, refined: after, probability, scale: outline.scale, factor: 1 };
  const { x0, y0, x1, y1 } = boundsOf(coarse);
  const factor = Math.floor(Math.max(x1 - x0, y1 - y0) / JUDGED_LENGTH);
  const small = factor < 2 ? full : reduced(full, factor);
  const changed = small.coarse.data.includes(1) && small.refined.data.includes(1) ? small : full;
  return { ...changed, changes: changesOf(changed.coarse, changed.refined) };
}

/** A changed mask in a picture smaller by a factor, with the pixels of which the masks cover more than half. */
function reduced({ image, coarse, refined, probability, scale }, factor) {
  const most = (mask) => {
    const covered = meansOf({ ...mask, data: mask.data.map((value) => value * CERTAIN) }, factor);
    return { ...covered, data: covered.data.map((value) => (2 * value > CERTAIN ? 1 : 0)) };
  };
  const found = meansOf({ ...coarse, data: probability }, factor).data;
  const [before, after] = [coarse, refined].map(most);
  return { image: meansOf(image, factor, 4), coarse: before, refined: after, probability: found, scale, factor };
}

/** Means of the squares of side factor of an array of pixels, rounded down; the last pixels are repeated. */
function meansOf({ width, height, data }, factor, channels = 1) {
  const small = { width: Math.ceil(width / factor), height: Math.ceil(height / factor) };
  const sums = new Uint32Array(small.width * small.height * channels);
  for (let y = 0; y < small.height * factor; y++) {
    for (let x = 0; x < small.width * factor; x++) {
      const from = (Math.min(y, height - 1) * width + Math.min(x, width - 1)) * channels;
      const to = (Math.floor(y / factor) * small.width + Math.floor(x / factor)) * channels;
      for (let channel = 0; channel < channels; channel++) sums[to + channel] += data[from + channel];
    }
  }
  return { ...small, data: Uint8Array.from(sums, (sum) => Math.floor(sum / factor ** 2)) };
}

/** Probability of every pixel of a window in units of 1/255; where no patch lies, the refined mask is certain. */
function probabilityIn(box, refined, size, { boxes, probabilities, rim }, outputSize) {
  const probability = refined.data.map((value) => value * CERTAIN);
  if (boxes.length === 0) return probability;
  const { frame, total, weight } = average(boxes, probabilities, outputSize, size, rim);
  for (let y = Math.max(box.y0, frame.y0); y < Math.min(box.y1, frame.y1); y++) {
    for (let x = Math.max(box.x0, frame.x0); x < Math.min(box.x1, frame.x1); x++) {
      const index = (y - frame.y0) * (frame.x1 - frame.x0) + x - frame.x0;
      const inside = (y - box.y0) * refined.width + x - box.x0;
      if (weight[index]) probability[inside] = Math.floor(total[index] / weight[index]);
    }
  }
  return probability;
}

function changesOf(coarse, refined) {
  const { width, height } = coarse;
  const partsWhere = (values, others) => {
    const data = values.map((value, index) => (value && !others[index] ? 1 : 0));
    return partsOf({ width, data }, 1, false, { x0: 0, y0: 0, x1: width, y1: height });
  };
  const joining = partsWhere(refined.data, coarse.data).map((pixels) => ({ joins: true, pixels }));
  const leaving = partsWhere(coarse.data, refined.data).map((pixels) => ({ joins: false, pixels }));
  return [...joining, ...leaving];
}

/** The evidence on each change, a list of EVIDENCE values. */
function evidenceOf(changed) {
  const ofMask = evidenceOnMask(changed);
  const [old, latest] = [changed.coarse, changed.refined].map((mask) => contourBeside(changed, mask));
  return changed.changes.map((change, number) => [
    ...ofMask,
    ...evidenceOnChange(change, changed, old[number], latest[number]),
  ]);
}

/** Evidence on the whole mask: how far it moved, how sure the network is, and how both masks fit the image. */
function evidenceOnMask({ image, coarse, refined, probability, scale }) {
  const [before, after] = [coarse, refined].map((mask) => ({ ...mask, data: boundaryScore(mask) }));
  const lengthOf = (edge) => edge.data.reduce((count, score) => count + (score > 0), 0);
  const [length, lengthAfter] = [before, after].map((edge) => Math.max(lengthOf(edge), 1));
  const certaintyAt = (sum, score, index) => sum + (score > 0 ? certaintyOf(probability[index]) : 0);
  const meanCertainty = (edge, pixels) => edge.data.reduce(certaintyAt, 0) / pixels / CERTAIN;
  const profiles = [coarse, refined].map((mask) => contrastProfile(image, mask));
  const roughness = (mask, pixels) => (2 * differenceOf(smoothed(mask), mask)) / pixels / scale;
  return [
    (2 * differenceOf(coarse, refined)) / length / scale,
    ...DISTANCES.map((distance) => countFar(before, after, distance) / length),
    ...BACKWARD_DISTANCES.map((distance) => countFar(after, before, distance) / lengthAfter),
    meanCertainty(after, lengthAfter),
    meanCertainty(before, length),
    ...profiles.map(({ on, beside }) => Math.log((on + 1) / (beside + 1))),
    ...profiles.map(({ on }) => Math.log(on + 1)),
    roughness(coarse, length),
    roughness(refined, lengthAfter),
    Math.log(areaOf(coarse)),
    lengthAfter / length,
    Math.log(scale),
  ];
}

/** Evidence on one change: its size, how sure the network is, and the contrast at its old and new contour. */
function evidenceOnChange({ joins, pixels }, { probability, scale }, old, latest) {
  const both = Math.max(old.length + latest.length, 1);
  const certainty = pixels.reduce((sum, pixel) => sum + certaintyOf(probability[pixel]), 0);
  return [
    Math.log(pixels.length / scale ** 2),
    (2 * pixels.length) / both / scale,
    certainty / CERTAIN / pixels.length,
    joins ? 1 : 0,
    ...[old, latest].map(({ length, total }) => Math.log(total / Math.max(length, 1) + 1)),
    old.length / both,
  ];
}

/** How sure the network is of a pixel: 255 for the probabilities 0 and 1. */
const certaintyOf = (probability) => Math.abs(2 * probability - CERTAIN);

/** Number of pixels of one boundary that are farther than a distance from the other one, by rows and columns. */
function countFar(edge, other, distance) {
  const near = sumsAround(other, distance);
  return edge.data.reduce((count, score, index) => count + (score > 0 && near[index] === 0), 0);
}

/** What most pixels are in the square around each pixel of a mask. */
function smoothed(mask) {
  const counts = sumsAround(mask, (SMOOTHING - 1) / 2);
  return { ...mask, data: mask.data.map((_, index) => (2 * counts[index] > SMOOTHING ** 2 ? 1 : 0)) };
}

/** Mean contrast on the contour of a mask, and beside it: across the contours of the shrunken and the grown mask. */
function contrastProfile(image, mask) {
  const counts = sumsAround(mask, NEIGHBOURHOOD);
  const all = (2 * NEIGHBOURHOOD + 1) ** 2;
  const inner = mask.data.map((_, index) => (counts[index] === all ? 1 : 0));
  const outer = mask.data.map((_, index) => (counts[index] > 0 ? 1 : 0));
  const [on, inside, outside] = [mask.data, inner, outer].map((data) => {
    const pairs = crossings({ ...mask, data });
    return pairs.reduce((sum, pair) => sum + contrastOf(image, pair), 0) / Math.max(pairs.length, 1);
  });
  return { on, beside: (inside + outside) / 2 };
}

/** The contour of a mask beside each change: {length, total}, total its contrast summed up. */
function contourBeside({ image, changes }, mask) {
  const found = changes.map(() => ({ length: 0, total: 0 }));
  const numbers = new Int32Array(mask.data.length).fill(-1);
  changes.forEach(({ pixels }, number) => pixels.forEach((pixel) => (numbers[pixel] = number)));
  for (const pair of crossings(mask)) {
    for (const pixel of pair) {
      if (numbers[pixel] < 0) continue;
      found[numbers[pixel]].length++;
      found[numbers[pixel]].total += contrastOf(image, pair);
    }
  }
  return found;
}

/** Pairs of neighbours, across and down, that a contour of the mask separates. */
function crossings({ width, height, data }) {
  const pairs = [];
  for (let y = 0, index = 0; y < height; y++) {
    for (let x = 0; x < width; x++, index++) {
      if (x + 1 < width && data[index] !== data[index + 1]) pairs.push([index, index + 1]);
      if (y + 1 < height && data[index] !== data[index + width]) pairs.push([index, index + width]);
    }
  }
  return pairs;
}

/** Largest difference of a channel between two pixels. */
function contrastOf({ data }, [first, second]) {
  const difference = (channel) => Math.abs(data[4 * first + channel] - data[4 * second + channel]);
  return Math.max(difference(0), difference(1), difference(2));
}

/** Sum in the square of side 2 * reach + 1 around every pixel; the edge is repeated outside. */
function sumsAround({ width, height, data }, reach) {
  const along = (values, lines, toNextLine, length, toNext) => {
    const sums = new Int32Array(values.length);
    for (let line = 0; line < lines; line++) {
      const at = (place) => line * toNextLine + Math.min(Math.max(place, 0), length - 1) * toNext;
      let sum = 0;
      for (let place = -reach; place <= reach; place++) sum += values[at(place)];
      for (let place = 0; place < length; place++) {
        sums[at(place)] = sum;
        sum += values[at(place + reach + 1)] - values[at(place - reach)];
      }
    }
    return sums;
  };
  return along(along(data, height, width, width, 1), width, 1, height, width);
}

/** The judge from the numbers of a card: its arrays in their order, the weights of the first layer row by row. */
function judgeOf(numbers, inputs) {
  const hidden = (numbers.length - 2 * inputs - 1) / (inputs + 2);
  if (!Number.isInteger(hidden) || hidden < 1) {
    throw new Error(`the judge of the weights has ${numbers.length} numbers, which fit no judge of ${inputs} inputs`);
  }
  let end = 0;
  const next = (count) => numbers.slice(end, (end += count));
  return {
    centre: next(inputs),
    spread: next(inputs),
    first: next(inputs * hidden),
    firstOffset: next(hidden),
    second: next(hidden),
    secondOffset: next(1)[0],
  };
}

/** How likely the pixels of a change are right, from the evidence on it. */
function chanceOf(evidence, { centre, spread, first, firstOffset, second, secondOffset }) {
  const scaled = evidence.map((value, input) =>
    Math.min(Math.max((value - centre[input]) / spread[input], -LARGEST), LARGEST),
  );
  const found = second.reduce((sum, weight, unit) => {
    const weighed = scaled.reduce((total, value, input) => total + value * first[input * second.length + unit], 0);
    return sum + weight * Math.tanh(weighed + firstOffset[unit]);
  }, secondOffset);
  return 1 / (1 + Math.exp(-found));
}
