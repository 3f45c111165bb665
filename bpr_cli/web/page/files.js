// Reads photographs and masks that the user gives, and writes the mask that the user takes.
"use strict";

/** Above this, a value of a soft mask is foreground, as in bpr refine. */
const HALF = 127.5;

/** A canvas of a size, with its context. */
function canvasOf(width, height) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  return { canvas, context: canvas.getContext("2d", { willReadFrequently: true }) };
}

/** The pixels of an image file, upright, without colour conversion: {width, height, data}, RGBA. */
async function readImage(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    throw new Error(`${file.name} is no image that this browser reads; expected PNG, JPEG, WebP or BMP.`);
  }
  const { context } = canvasOf(bitmap.width, bitmap.height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const pixels = context.getImageData(0, 0, context.canvas.width, context.canvas.height);
  // Browsers draw nothing on canvases that are too large for them, without an error.
  if (!pixels.data.some((value) => value > 0)) {
    throw new Error(`${file.name} is fully transparent, or larger than this browser can draw; give a smaller image.`);
  }
  return pixels;
}

/**
 * The mask that the pixels of an image file mean, and how they were read: {mask, reading}.
 * 0 and one other value are a binary mask; of more values, those above one half are foreground. If pixels are
 * transparent, opacity is the value.
 */
function maskOf({ width, height, data }) {
  const values = new Uint8Array(width * height);
  let transparent = false;
  for (let index = 3; index < data.length; index += 4) transparent ||= data[index] < CERTAIN;
  for (let index = 0; index < values.length; index++) {
    const at = index * 4;
    values[index] = transparent ? data[at + 3] : Math.max(data[at], data[at + 1], data[at + 2]);
  }
  const present = new Set(values);
  const binary = present.size <= 2 && present.has(0);
  const threshold = binary ? 0 : HALF;
  const mask = { width, height, data: values.map((value) => (value > threshold ? 1 : 0)) };
  const source = transparent ? "its opacity" : "its brightness";
  const reading = binary ? `${source} has two values` : `${source} is soft: values above ${HALF} are foreground`;
  return { mask, reading };
}

/** Whether pixels look like a mask rather than a photograph: gray, and nearly all of them black or white. */
function looksLikeMask({ data }) {
  let gray = 0;
  let extreme = 0;
  for (let index = 0; index < data.length; index += 4) {
    gray += data[index] === data[index + 1] && data[index] === data[index + 2];
    extreme += data[index] < 26 || data[index] > 229;
  }
  const pixels = data.length / 4;
  return gray === pixels && extreme > 0.9 * pixels;
}

/** A mask as a PNG file of 0 and 255, 8 bits of gray. */
async function pngOf({ width, height, data }) {
  const rows = new Uint8Array(height * (width + 1)); // the first byte of every row says that it is not filtered
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) rows[y * (width + 1) + 1 + x] = data[y * width + x] * 255;
  }
  const packed = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const content = new Uint8Array(await new Response(packed).arrayBuffer());
  const header = new Uint8Array(13);
  new DataView(header.buffer).setUint32(0, width);
  new DataView(header.buffer).setUint32(4, height);
  header[8] = 8; // bits of a value; the other bytes say gray, deflate, no interlacing
  const signature = new Uint8Array([137, 80, 78, 71, 13, 10, 26, 10]);
  const chunks = [pngChunk("IHDR", header), pngChunk("IDAT", content), pngChunk("IEND", new Uint8Array(0))];
  return new Blob([signature, ...chunks], { type: "image/png" });
}

/** A chunk of a PNG file: length, type, content, and the CRC-32 of type and content. */
function pngChunk(type, content) {
  const chunk = new Uint8Array(content.length + 12);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, content.length);
  chunk.set(new TextEncoder().encode(type), 4);
  chunk.set(content, 8);
  let rest = 0xffffffff;
  for (const byte of chunk.subarray(4, content.length + 8)) {
    rest ^= byte;
    for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ 0xedb88320 : rest >>> 1;
  }
  view.setUint32(content.length + 8, ~rest >>> 0);
  return chunk;
}
