// The refinement of one mask: the port of refinement/image.py, segments.py and settings.py, for a single mask.
"use strict";

/** Patches in one call of the network. */
const BATCH = 8;

/** Pixels at the sides of the patches from which on a change is followed, and how often a pass may do so. */
const FEWEST_ENDS = 4;
const FOLLOW_ROUNDS = 4;

/** Masks whose patches would grow by less are not refined in a pass of their own. */
const LEAST_ENLARGEMENT = 1.5;

/** Side in pixels of what is pasted back of each patch: the patch with its rim. */
const outputSizeOf = (card) => card.patch_size + 2 * card.rim;

/** How each pass places and crops its patches, from the card of the weights. */
function passesOf(card) {
  const smallest = card.min_patch_size ?? card.patch_size;
  const passes = card.scales.map((scale, number) => ({
    patchSize: Math.max(1, roundHalfEven(card.patch_size * scale)),
    minPatchSize: Math.max(1, roundHalfEven(smallest * scale)),
    padding: roundHalfEven(card.padding * scale),
    rim: roundHalfEven(card.rim * scale),
    nmsThreshold: card.nms_threshold,
    preliminary: number < card.scales.length - 1,
    view: null,
  }));
  return card.view ? [{ ...passes.at(-1), preliminary: true, view: card.view }, ...passes] : passes;
}

/** Side of the boxes along a mask in pixels. */
function sideAlong(mask, pass) {
  if (pass.view) {
    const { x0, y0, x1, y1 } = boundsOf(mask);
    return roundHalfEven((pass.patchSize * Math.max(x1 - x0, y1 - y0)) / pass.view);
  }
  return Math.min(pass.patchSize, Math.max(pass.minPatchSize, roundHalfEven(Math.sqrt(areaOf(mask)) / 2)));
}

/** Whether a pass may refine a mask of which its boxes have a side; the last pass refines all. */
function takesPart(mask, side, pass) {
  if (!pass.preliminary) return true;
  if (pass.view && side < LEAST_ENLARGEMENT * pass.patchSize) return false;
  return areaOf(mask) >= Math.max(side, pass.patchSize) ** 2;
}

/**
 * A mask with the boxes that a pass places along its boundary.
 * Returns {seen, boxes, padding, rim, scale, length, probabilities}: what the network sees in boxes that are not
 * predicted yet; boxes with their rim; the context around them; their side over the patch size; the length of the
 * boundary in pixels; bytes of (p, S, S) for the first p boxes.
 */
function outlineOf(mask, pass) {
  const pixels = boundaryPixels(mask);
  const wanted = sideAlong(mask, pass);
  const scaled = (length, side) => roundHalfEven((length * side) / pass.patchSize);
  const takes = takesPart(mask, wanted, pass);
  const boxes = takes ? denseBoxes(pixels, mask, wanted, pass.nmsThreshold, scaled(pass.rim, wanted)) : [];
  const side = boxes.length ? wanted : pass.patchSize;
  const [padding, rim] = [pass.padding, pass.rim].map((each) => scaled(each, side));
  return {
    seen: mask,
    boxes: widened(boxes, rim),
    padding: padding - rim,
    rim,
    scale: side / pass.patchSize,
    length: pixels.length / 2,
    probabilities: new Uint8Array(0),
  };
}

/** The outline with more boxes where a change reaches the outer sides of all boxes; the same if it does nowhere. */
function followed(coarse, outline, outputSize, threshold) {
  const { boxes, probabilities, rim } = outline;
  if (boxes.length === 0) return outline;
  const ends = openEnds(coarse, boxes, probabilities, outputSize, rim);
  if (ends.length < FEWEST_ENDS) return outline;
  const added = widened(denseBoxes(ends, coarse, boxes[0].side - 2 * rim, threshold, rim), rim);
  return { ...outline, seen: reassemble(coarse, boxes, probabilities, outputSize, rim), boxes: [...boxes, ...added] };
}

/** Predicts the boxes that are not predicted yet, with all functions of the network at the same time. */
async function predictRest(image, outline, card, network, onProgress) {
  const { boxes, padding, seen } = outline;
  const area = outputSizeOf(card) ** 2;
  const probabilities = new Uint8Array(boxes.length * area);
  probabilities.set(outline.probabilities);
  let next = outline.probabilities.length / area;
  let done = next;
  const work = async (predict) => {
    while (next < boxes.length) {
      const start = next;
      next = Math.min(start + BATCH, boxes.length);
      const part = boxes.slice(start, next);
      probabilities.set(await predict(cropPatches(image, seen, part, padding, card.input_size)), start * area);
      done += part.length;
      onProgress(done, boxes.length);
    }
  };
  await Promise.all(network.map(work));
  return { ...outline, probabilities };
}

/** What remains of the change of a mask. */
function settled(coarse, refined, outline, card) {
  const complete = keepInterior(coarse, refined, card.core);
  const clean = withoutSpecks(coarse, complete, card.min_part * outline.scale ** 2);
  return differenceOf(coarse, clean) < card.min_movement * outline.scale * outline.length ? coarse : clean;
}

/**
 * Refines a mask.
 * image: {width, height, data}, RGBA; coarse: see boxes.js; card: that of the weights, as JSON holds it.
 * network: functions that predict patches {count, image, mask}, each for one call at a time; see worker.js.
 * onProgress: is told the patches done, those of the pass, the number of the pass and that of all passes.
 * Returns {mask, patches}.
 */
async function refineMask(image, coarse, card, network, onProgress = () => {}) {
  const outputSize = outputSizeOf(card);
  const passes = passesOf(card);
  let mask = coarse;
  let patches = 0;
  for (const [number, pass] of passes.entries()) {
    const tell = (done, all) => onProgress(done, all, number + 1, passes.length);
    let outline = await predictRest(image, outlineOf(mask, pass), card, network, tell);
    for (let round = 0; round < (card.follow ? FOLLOW_ROUNDS : 0); round++) {
      outline = await predictRest(image, followed(mask, outline, outputSize, pass.nmsThreshold), card, network, tell);
    }
    const { boxes, probabilities, rim } = outline;
    let refined = reassemble(mask, boxes, probabilities, outputSize, rim);
    if (card.judge.length && !pass.preliminary) refined = judgeChanges(image, coarse, refined, outline, card);
    mask = settled(coarse, refined, outline, card);
    patches += boxes.length;
  }
  return { mask, patches };
}
