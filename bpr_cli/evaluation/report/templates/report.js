"use strict";
(() => {
  document.documentElement.classList.add("scripted");

  const element = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };

  // Sortable tables. Missing values come last in both orders.
  const MANY_ROWS = 20;
  const keyOf = (cell, kind) => {
    if (kind === "text") return cell.textContent.trim();
    return cell.dataset.value === "" ? NaN : Number(cell.dataset.value);
  };
  const compare = (a, b, kind, sign) => {
    if (kind === "text") return sign * a.localeCompare(b, undefined, { numeric: true });
    if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
    return sign * (a - b);
  };
  const sortBy = (table, heading, column) => {
    const kind = heading.dataset.sort;
    const now = heading.getAttribute("aria-sort");
    const first = kind === "text" ? "ascending" : "descending";
    const other = kind === "text" ? "descending" : "ascending";
    const order = now === first ? other : first;
    table.querySelectorAll("th[aria-sort]").forEach((each) => each.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", order);
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [keyOf(row.cells[column], kind), row]);
    rows.sort((a, b) => compare(a[0], b[0], kind, order === "ascending" ? 1 : -1));
    body.append(...rows.map((pair) => pair[1]));
  };
  const addFinder = (table) => {
    const input = element("input", { type: "search" });
    input.addEventListener("input", () => {
      const wanted = input.value.trim().toLowerCase();
      for (const row of table.tBodies[0].rows) {
        row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
      }
    });
    table.parentElement.before(element("label", { className: "find" }, "Find", input));
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    // Headings that span two rows come first, in the order of the columns, like their cells.
    [...table.tHead.querySelectorAll("th[data-sort]")].forEach((heading, column) => {
      const button = element("button", { type: "button" }, ...heading.childNodes);
      button.addEventListener("click", () => sortBy(table, heading, column));
      heading.append(button);
    });
    if (table.tBodies[0].rows.length > MANY_ROWS) addFinder(table);
  }

  // Images: two stacked segmentations, divided by a slider.
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
      const swatch = element("span", { className: `swatch ${view.dataset.key}` });
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
  document.querySelectorAll(".compare").forEach(makeLive);
})();
