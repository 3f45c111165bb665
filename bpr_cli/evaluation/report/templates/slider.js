"use strict";
// Images: two stacked segmentations, divided by a slider; bpr web has the same.

const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

const makeLive = (box, number) => {
  const views = [...box.querySelectorAll(".view")];
  if (views.length < 2) return;
  const stage = box.querySelector(".views");
  const range = element("input", { type: "range", className: "slider", min: 0, max: 100, value: 50 });
  const left = element("span");
  const right = element("span");
  range.setAttribute("aria-label", `Divide ${box.dataset.name}`);
  const move = () => {
    stage.style.setProperty("--cut", `${range.value}%`);
    range.setAttribute(
      "aria-valuetext",
      `${range.value} % ${left.textContent}, ${100 - range.value} % ${right.textContent}`,
    );
  };
  const label = (place, view) => {
    const swatch = element("span", { className: "swatch" });
    swatch.style.background = view.dataset.colour;
    place.replaceChildren(swatch, view.dataset.label);
  };
  const choose = (a, b) => {
    views.forEach((view) => {
      view.classList.toggle("left", view === a);
      view.classList.toggle("right", view === b);
    });
    label(left, a);
    label(right, b);
    move();
  };
  range.addEventListener("input", move);
  dragging(stage, range);
  box.classList.add("live");
  box.classList.toggle("detailed", box.querySelector(".details") !== null);
  stage.before(element("div", { className: "ends" }, left, right));
  stage.after(range);
  const pairs = views.flatMap((a, i) => views.slice(i + 1).map((b) => [a, b]));
  if (pairs.length > 1) box.append(chooser(pairs, number, choose));
  choose(...pairs[0]);
};

const dragging = (stage, range) => {
  const follow = (event) => {
    const picture = event.target.closest(".picture");
    if (!picture || !(event.buttons & 1)) return;
    const { left, width } = picture.getBoundingClientRect();
    range.value = Math.round((100 * (event.clientX - left)) / width);
    range.dispatchEvent(new Event("input"));
  };
  stage.addEventListener("pointerdown", follow);
  stage.addEventListener("pointermove", follow);
  stage.addEventListener("dragstart", (event) => event.preventDefault());
};

const chooser = (pairs, number, choose) => {
  const field = element("fieldset", { className: "pairs" }, element("legend", {}, "Compare"));
  pairs.forEach(([a, b], index) => {
    const radio = element("input", { type: "radio", name: `pair-${number}`, checked: index === 0 });
    radio.addEventListener("change", () => choose(a, b));
    field.append(element("label", {}, radio, `${a.dataset.label} and ${b.dataset.label}`));
  });
  return field;
};
