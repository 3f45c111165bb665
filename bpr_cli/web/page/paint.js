// The mask that is painted over the photograph, by pointer or keyboard.
"use strict";

const COARSE = "230, 159, 0";
const REFINED = "86, 180, 233";

/** Pixels of the screen that an arrow key moves the brush by. */
const STEP = 8;

/**
 * Lets the user paint on a canvas whose opaque pixels are the mask.
 * brush: {width, erases}, functions that give the width in screen pixels and whether it erases. onBegin and onEnd: called
 * before and after every stroke.
 */
function makePaintable(canvas, cursor, brush, { onBegin, onEnd }) {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  let from = null;
  let down = false;
  let place = { x: 0, y: 0 };
  const scale = () => canvas.width / canvas.getBoundingClientRect().width;
  const show = (x, y) => {
    place = { x, y };
    const width = brush.width();
    Object.assign(cursor.style, { left: `${x - width / 2}px`, top: `${y - width / 2}px`, width: `${width}px`, height: `${width}px` });
  };
  const stroke = (x, y) => {
    if (!from) onBegin();
    const end = { x: x * scale(), y: y * scale() };
    context.globalCompositeOperation = brush.erases() ? "destination-out" : "source-over";
    Object.assign(context, { strokeStyle: `rgb(${COARSE})`, lineWidth: brush.width() * scale(), lineCap: "round" });
    context.beginPath();
    context.moveTo((from ?? end).x, (from ?? end).y);
    context.lineTo(end.x, end.y);
    context.stroke();
    from = end;
  };
  const finish = () => {
    if (from) onEnd();
    from = null;
    down = false;
  };
  const at = (event) => {
    const { left, top } = canvas.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    down = true;
    show(...at(event));
    stroke(...at(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    show(...at(event));
    if (down) for (const each of event.getCoalescedEvents?.() ?? [event]) stroke(...at(each));
  });
  canvas.addEventListener("pointerup", finish);
  canvas.addEventListener("pointercancel", finish);
  canvas.addEventListener("focus", () => {
    const { width, height } = canvas.getBoundingClientRect();
    if (!down) show(width / 2, height / 2);
  });
  // Arrow keys move the brush; while the space bar is down, it paints.
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    const move = moves[event.key];
    if (event.key !== " " && !move) return;
    event.preventDefault();
    const { width, height } = canvas.getBoundingClientRect();
    if (move) {
      const inside = (value, most) => Math.min(Math.max(value, 0), most);
      show(inside(place.x + move[0] * STEP, width), inside(place.y + move[1] * STEP, height));
    } else {
      down = true;
    }
    if (down) stroke(place.x, place.y);
  });
  canvas.addEventListener("keyup", (event) => event.key === " " && finish());
}

/** A part of a mask, {x, y, width, height}, as a picture: of a colour "red, green, blue", opaque where it is foreground. */
function pictureOf(mask, part, colour) {
  const picture = new ImageData(part.width, part.height);
  const pixels = new Uint32Array(picture.data.buffer);
  const [value] = new Uint32Array(Uint8Array.of(...colour.split(", ").map(Number), CERTAIN).buffer);
  for (let y = 0; y < part.height; y++) {
    const row = (part.y + y) * mask.width + part.x;
    for (let x = 0; x < part.width; x++) if (mask.data[row + x]) pixels[y * part.width + x] = value;
  }
  return picture;
}

/** Draws a mask on a canvas of its size. */
function drawMask(canvas, mask) {
  const whole = { x: 0, y: 0, width: mask.width, height: mask.height };
  canvas.getContext("2d").putImageData(pictureOf(mask, whole, COARSE), 0, 0);
}

/** The mask that is painted on a canvas. */
function paintedMask(canvas) {
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  const mask = new Uint8Array(width * height);
  for (let index = 0; index < mask.length; index++) mask[index] = data[index * 4 + 3] > HALF ? 1 : 0;
  return { width, height, data: mask };
}
