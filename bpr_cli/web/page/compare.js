// Before and after: pictures of the coarse and the refined mask, with the places that changed most magnified.
"use strict";

/** Number of magnified places, and their least side in image pixels; in large images so many of them fit into a row. */
const PLACES = 3;
const PLACE_SIDE = 64;
const PLACES_IN_A_ROW = 12;
/** Side of their pictures, and longest side of the whole picture, in pixels; small images are enlarged at most so much. */
const DETAIL = 224;
const LONGEST = 1200;
const ENLARGED = 2;
/** Opacity of a mask, and width of its outline in pixels of the picture. */
const TINT = 0.2;
const LINE = 2;

/** Disjoint squares {x, y, changed} with most changed pixels, greedily, best first. */
function busiestPlaces(before, after, side) {
  const { width, height } = before;
  const sums = changesUpTo(before, after);
  const at = (x, y) => sums[y * (width + 1) + x];
  const step = Math.max(1, Math.floor(side / 4));
  const found = [];
  for (let y = 0; y + side <= height; y += step) {
    for (let x = 0; x + side <= width; x += step) {
      const changed = at(x + side, y + side) - at(x, y + side) - at(x + side, y) + at(x, y);
      if (changed) found.push({ x, y, changed });
    }
  }
  found.sort((a, b) => b.changed - a.changed);
  const far = (a, b) => Math.max(Math.abs(a.x - b.x), Math.abs(a.y - b.y)) >= 1.5 * side;
  const places = [];
  for (const each of found) {
    if (places.length < PLACES && places.every((place) => far(place, each))) places.push(each);
  }
  return places;
}

/** Number of changed pixels above and to the left of every corner of a pixel: (H + 1, W + 1). */
function changesUpTo(before, after) {
  const { width, height } = before;
  const sums = new Int32Array((width + 1) * (height + 1));
  for (let y = 0; y < height; y++) {
    let row = 0;
    for (let x = 0; x < width; x++) {
      row += before.data[y * width + x] !== after.data[y * width + x];
      sums[(y + 1) * (width + 1) + x + 1] = sums[y * (width + 1) + x + 1] + row;
    }
  }
  return sums;
}

/**
 * Draws a part of an image with a mask over it.
 * photo: canvas of the image; colour: "red, green, blue"; part: {x, y, width, height} in image pixels; scale: pixels of
 * the picture for an image pixel.
 */
function drawPart(photo, mask, colour, part, scale) {
  const { canvas, context } = canvasOf(Math.round(part.width * scale), Math.round(part.height * scale));
  context.imageSmoothingEnabled = scale < 2;
  context.imageSmoothingQuality = "high";
  const to = [0, 0, canvas.width, canvas.height];
  context.drawImage(photo, part.x, part.y, part.width, part.height, ...to);
  const tint = canvasOf(part.width, part.height);
  tint.context.putImageData(pictureOf(mask, part, colour), 0, 0);
  context.globalAlpha = TINT;
  context.drawImage(tint.canvas, ...to);
  context.globalAlpha = 1;
  const edges = edgesIn(mask, part, scale);
  for (const [style, width] of [["rgb(0 0 0 / .45)", LINE + 1.4], [`rgb(${colour})`, LINE]]) {
    Object.assign(context, { strokeStyle: style, lineWidth: width, lineCap: "round" });
    context.stroke(edges);
  }
  return canvas;
}

/** The edges between mask and background in a part of an image, as a path in pixels of its picture. */
function edgesIn({ width, data }, part, scale) {
  const path = new Path2D();
  const right = part.x + part.width;
  const bottom = part.y + part.height;
  // Straight edges are one line each: along rows, then along columns.
  for (let y = part.y + 1; y < bottom; y++) {
    const differs = (x) => x < right && data[y * width + x] !== data[(y - 1) * width + x];
    for (let x = part.x; x < right; x++) {
      if (!differs(x)) continue;
      path.moveTo((x - part.x) * scale, (y - part.y) * scale);
      while (differs(x)) x++;
      path.lineTo((x - part.x) * scale, (y - part.y) * scale);
    }
  }
  for (let x = part.x + 1; x < right; x++) {
    const differs = (y) => y < bottom && data[y * width + x] !== data[y * width + x - 1];
    for (let y = part.y; y < bottom; y++) {
      if (!differs(y)) continue;
      path.moveTo((x - part.x) * scale, (y - part.y) * scale);
      while (differs(y)) y++;
      path.lineTo((x - part.x) * scale, (y - part.y) * scale);
    }
  }
  return path;
}

/** The element that compares two masks, as the report does; makeLive of slider.js gives it its slider. */
function comparisonOf(photo, before, after) {
  const { width, height } = before;
  const wanted = Math.max(PLACE_SIDE, Math.round(Math.max(width, height) / PLACES_IN_A_ROW));
  const side = Math.min(wanted, width, height);
  const places = busiestPlaces(before, after, side);
  const picture = (mask, colour, part, scale, alt, name = "picture") => {
    const canvas = drawPart(photo, mask, colour, part, scale);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", alt);
    return element("div", { className: name }, canvas);
  };
  const view = (label, mask, colour) => {
    const whole = { x: 0, y: 0, width, height };
    const scale = Math.min(ENLARGED, LONGEST / Math.max(width, height));
    const pictures = element("div", { className: places.length ? "pictures" : "pictures alone" });
    pictures.append(picture(mask, colour, whole, scale, `the image, ${label}`, "picture whole"));
    const magnified = places.map(({ x, y }, index) =>
      picture(mask, colour, { x, y, width: side, height: side }, DETAIL / side, `magnified place ${index + 1}, ${label}`),
    );
    if (places.length) pictures.append(element("div", { className: "details" }, ...magnified));
    const figure = element("figure", { className: "view" }, element("figcaption", {}, label), pictures);
    Object.assign(figure.dataset, { colour: `rgb(${colour})`, label });
    return figure;
  };
  const views = [view("before", before, COARSE), view("after", after, REFINED)];
  const box = element("div", { className: "compare" }, element("div", { className: "views" }, ...views));
  box.dataset.name = "before and after";
  box.style.setProperty("--ratio", (width / height).toFixed(4));
  makeLive(box, 0);
  return box;
}
