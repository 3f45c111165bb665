// The page: what the user gives, the brush, the refinement, the result.
"use strict";

const byId = (id) => document.getElementById(id);
const card = JSON.parse(byId("card").textContent);

/** What the page holds: the pixels of the image, its name, that of the mask, and the refined mask. */
const state = { image: null, name: "", maskName: "", refined: null, busy: false };

/** The masks before the last changes, the latest last. */
const earlier = [];
const MOST_EARLIER = 10;

/** The workers with the network, started when an image is there. */
let network = null;

function say(text, isProblem = false) {
  byId("status").textContent = text;
  byId("status").classList.toggle("warning", isProblem);
}

function update() {
  document.body.classList.toggle("has-image", state.image !== null);
  document.body.classList.toggle("has-result", state.refined !== null);
  byId("refine").disabled = state.image === null || state.busy;
  byId("undo").disabled = earlier.length === 0;
}

/** Takes files: the first photograph, and a mask beside it or for the image that is there. */
async function take(files) {
  try {
    const read = [];
    for (const file of files) read.push({ file, pixels: await readImage(file) });
    const masks = read.filter(({ pixels }) => looksLikeMask(pixels));
    const photographs = read.filter((each) => !masks.includes(each));
    const photograph = photographs[0] ?? (state.image ? null : masks.shift());
    if (photograph) setImage(photograph.file.name, photograph.pixels);
    if (masks.length) setMask(masks[0].file.name, masks[0].pixels);
  } catch (error) {
    say(error.message, true);
  }
}

function setImage(name, pixels) {
  Object.assign(state, { image: pixels, name, maskName: "", refined: null });
  for (const id of ["photo", "mask"]) Object.assign(byId(id), { width: pixels.width, height: pixels.height });
  byId("photo").getContext("2d").putImageData(pixels, 0, 0);
  earlier.length = 0;
  byId("stage").style.setProperty("--ratio", (pixels.width / pixels.height).toFixed(4));
  update();
  say(`${name}, ${pixels.width} x ${pixels.height} pixels. Give its mask, or paint a rough one.`);
  network ??= startNetwork(card);
  network.catch((error) => say(`The network cannot start: ${error.message}`, true));
}

function setMask(name, pixels) {
  const { width, height } = state.image;
  if (pixels.width !== width || pixels.height !== height) {
    throw new Error(
      `${name} has ${pixels.width} x ${pixels.height} pixels and the image ${width} x ${height}; both must have the same size.`,
    );
  }
  const { mask, reading } = maskOf(pixels);
  replaceMask(mask);
  state.maskName = name;
  say(`${name}: ${reading}. Refine it, or correct it with the brush first.`);
}

/** Draws another mask over the photograph; undo takes it back. */
function replaceMask(mask) {
  remember();
  drawMask(byId("mask"), mask);
  changeMask();
}

function clearMask() {
  const { width, height } = byId("mask");
  replaceMask({ width, height, data: new Uint8Array(width * height) });
}

function remember() {
  earlier.push(paintedMask(byId("mask")));
  if (earlier.length > MOST_EARLIER) earlier.shift();
}

function undo() {
  if (earlier.length === 0) return;
  drawMask(byId("mask"), earlier.pop());
  changeMask();
}

/** Makes the refined mask the one to correct and refine again. */
function goOn() {
  replaceMask(state.refined);
  byId("mask").focus();
  say("Correct the refined mask with the brush, and refine it again.");
}

function changeMask() {
  state.refined = null;
  update();
}

async function refine() {
  if (state.image === null || state.busy) return;
  const coarse = paintedMask(byId("mask"));
  if (!coarse.data.includes(1)) return say("There is no mask yet: give its file, or paint a rough one.", true);
  state.busy = true;
  update();
  const began = performance.now();
  byId("progress").hidden = false;
  say("Starting the network …");
  try {
    const result = await refineMask(state.image, coarse, card, await network, showProgress);
    state.refined = result.mask;
    show(coarse, result, (performance.now() - began) / 1000);
  } catch (error) {
    say(`The mask could not be refined: ${error.message}`, true);
  }
  state.busy = false;
  byId("progress").hidden = true;
  update();
  if (state.refined) byId("result").scrollIntoView();
}

function showProgress(done, all, pass, passes) {
  Object.assign(byId("progress"), { value: done, max: all });
  say(`${done} of ${all} patches${passes > 1 ? `, pass ${pass} of ${passes}` : ""}`);
}

function show(coarse, { mask, patches }, seconds) {
  const changed = differenceOf(coarse, mask);
  const share = ((100 * changed) / areaOf(coarse)).toFixed(1);
  byId("figures").textContent =
    `${patches} patches in ${seconds.toFixed(1)} s; ${changed.toLocaleString("en")} pixels changed, ${share} % of the mask's area.`;
  byId("comparison").replaceChildren(comparisonOf(byId("photo"), coarse, mask));
  say("Done.");
}

async function download() {
  if (!state.refined) return;
  const address = URL.createObjectURL(await pngOf(state.refined));
  const stem = (state.maskName || state.name).replace(/\.[^.]*$/, "");
  element("a", { href: address, download: `${stem}_refined.png` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

byId("image-file").addEventListener("change", ({ target }) => take(target.files).then(() => (target.value = "")));
byId("mask-file").addEventListener("change", async ({ target }) => {
  const [file] = target.files;
  try {
    if (file) setMask(file.name, await readImage(file));
  } catch (error) {
    say(error.message, true);
  }
  target.value = "";
});
byId("refine").addEventListener("click", refine);
byId("clear").addEventListener("click", clearMask);
byId("undo").addEventListener("click", undo);
byId("go-on").addEventListener("click", goOn);
byId("download").addEventListener("click", download);
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  take(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => event.clipboardData.files.length && take(event.clipboardData.files));
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "z") return undo();
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const action = { r: refine, d: download }[event.key.toLowerCase()];
  action?.();
});
makePaintable(
  byId("mask"),
  byId("brush"),
  { width: () => Number(byId("width").value), erases: () => byId("erase").checked },
  { onBegin: remember, onEnd: changeMask },
);
update();
