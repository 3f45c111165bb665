"use strict";
(() => {
  document.documentElement.classList.add("scripted");

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
    const classes = document.querySelector(`select[data-filters="${table.id}"]`);
    const filter = () => {
      const wanted = input.value.trim().toLowerCase();
      for (const row of table.tBodies[0].rows) {
        const named = row.cells[0].textContent.toLowerCase().includes(wanted);
        const held = !classes?.value || row.dataset.classes.includes(` ${classes.value} `);
        row.hidden = !(named && held);
      }
    };
    input.addEventListener("input", filter);
    classes?.addEventListener("change", filter);
    table.parentElement.before(element("label", { className: "find" }, "Find", input));
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    // Headings that span two rows come first, in the order of the columns, like their cells.
    [...table.tHead.querySelectorAll("th[data-sort]")].forEach((heading, column) => {
      const button = element("button", { type: "button" }, ...heading.childNodes);
      button.addEventListener("click", () => sortBy(table, heading, column));
      heading.append(button);
    });
    if (table.tBodies[0].rows.length > MANY_ROWS || table.classList.contains("searchable")) addFinder(table);
  }

  document.querySelectorAll(".compare").forEach(makeLive);
})();
