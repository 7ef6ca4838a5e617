"use strict";
(() => {
  const body = document.querySelector("tbody");
  const heads = [...document.querySelectorAll("th[data-key]")];
  const names = new Intl.Collator(undefined, { numeric: true });

  const valueOf = (row, column, kind) => {
    const cell = row.cells[column];
    const text = cell.dataset.v ?? cell.textContent.trim();
    return kind === "number" ? (text === "" ? NaN : Number(text)) : text;
  };

  const sort = (head) => {
    const kind = head.dataset.key;
    const way = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    const keyed = [...body.rows].map((row) => [valueOf(row, head.cellIndex, kind), row]);
    const missing = (value) => value === "" || Number.isNaN(value);
    keyed.sort(([a], [b]) => {
      if (missing(a) || missing(b)) return missing(a) - missing(b); // unknown values come last in both orders
      return way * (kind === "number" ? a - b : names.compare(a, b));
    });
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
    body.append(...keyed.map(([, row]) => row));
  };
  for (const head of heads) head.querySelector("button").addEventListener("click", () => sort(head));

  const filter = document.getElementById("filter");
  const shown = document.getElementById("shown");
  const choose = () => {
    const wanted = filter.value.trim().toLowerCase();
    let count = 0;
    for (const row of body.rows) {
      row.hidden = wanted !== "" && !row.textContent.toLowerCase().includes(wanted);
      count += !row.hidden;
    }
    shown.textContent = wanted === "" ? "" : count + " of " + body.rows.length;
  };
  filter.addEventListener("input", choose);
  choose();
})();
