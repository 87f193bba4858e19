"use strict";
// Tables are sorted by the column whose heading is pressed; numbers by their value, cells without one last.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const compare = new Intl.Collator(undefined, {numeric: true}).compare;
  const value = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.key === undefined ? null : Number(cell.dataset.key);
  };
  const order = (column, up) => (a, b) => {
    if (!heads[column].classList.contains("n")) {
      const texts = compare(a.cells[column].textContent, b.cells[column].textContent);
      return up ? texts : -texts;
    }
    const x = value(a, column), y = value(b, column);
    if (x === null || y === null) return (x === null) - (y === null);
    return up ? x - y : y - x;
  };
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    const rows = [...table.tBodies[0].rows].sort(order(column, up));
    table.tBodies[0].append(...rows);
    for (const other of heads) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
  }));
}
// Paper cannot be unfolded.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open]):not(.raw)")];
  for (const one of folded) one.open = true;
});
addEventListener("afterprint", () => { for (const one of folded) one.open = false; });
