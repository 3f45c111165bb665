// The refinement of one mask: the port of refinement/image.py, segments.py and settings.py, for a single mask.
"use strict";

/** NMS IoU threshold, the default of bpr refine. */
const NMS_THRESHOLD = 0.25;

/** Patches in one call of the network. */
const BATCH = 8;

/** How each pass places and crops its patches, from the card of the weights. */
function passesOf(card) {
  const smallest = card.min_patch_size ?? card.patch_size;
  return card.scales.map((scale, number) => ({
    patchSize: Math.max(1, roundHalfEven(card.patch_size * scale)),
    minPatchSize: Math.max(1, roundHalfEven(smallest * scale)),
    padding: roundHalfEven(card.padding * scale),
    preliminary: number < card.scales.length - 1,
  }));
}

/** The boxes of one pass along a mask, and their context; no boxes if the pass skips the mask. */
function outlineOf(mask, pass) {
  const area = areaOf(mask);
  if (pass.preliminary && area < pass.patchSize ** 2) return { boxes: [], padding: 0 };
  const side = Math.min(pass.patchSize, Math.max(pass.minPatchSize, roundHalfEven(Math.sqrt(area) / 2)));
  const padding = roundHalfEven((pass.padding * side) / pass.patchSize);
  return { boxes: denseBoxes(mask, side, NMS_THRESHOLD), padding };
}

/** Crops and predicts all boxes, several calls at a time; bytes of (P, S, S). */
async function predictBoxes(image, mask, { boxes, padding }, card, network, onProgress) {
  const area = card.patch_size ** 2;
  const probabilities = new Uint8Array(boxes.length * area);
  let next = 0;
  let done = 0;
  const work = async (predict) => {
    while (next < boxes.length) {
      const start = next;
      next = Math.min(start + BATCH, boxes.length);
      const part = boxes.slice(start, next);
      probabilities.set(await predict(cropPatches(image, mask, part, padding, card.input_size)), start * area);
      done += part.length;
      onProgress(done, boxes.length);
    }
  };
  await Promise.all(network.map(work));
  return probabilities;
}

/**
 * Refines a mask.
 * image: {width, height, data}, RGBA; coarse: see boxes.js; card: that of the weights, as JSON holds it.
 * network: functions that predict patches {count, image, mask}, each for one call at a time; see worker.js.
 * onProgress: is told the patches done, those of the pass, the number of the pass and that of all passes.
 * Returns {mask, patches}.
 */
async function refineMask(image, coarse, card, network, onProgress = () => {}) {
  let mask = coarse;
  let patches = 0;
  const passes = passesOf(card);
  for (const [number, pass] of passes.entries()) {
    const outline = outlineOf(mask, pass);
    const tell = (done, all) => onProgress(done, all, number + 1, passes.length);
    const probabilities = await predictBoxes(image, mask, outline, card, network, tell);
    mask = keepInterior(coarse, reassemble(mask, outline.boxes, probabilities, card.patch_size), card.core);
    patches += outline.boxes.length;
  }
  return { mask, patches };
}
