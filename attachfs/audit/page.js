"use strict";
(() => {
  const body = document.querySelector("tbody");
  const rows = Array.from(body.rows, (row) => ({
    row,
    verdict: row.dataset.verdict,
    text: row.textContent.toLowerCase(),
  }));
  const search = document.getElementById("search");
  const buttons = Array.from(document.querySelectorAll("fieldset button"));
  const shown = document.getElementById("shown");
  const none = document.getElementById("none");

  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = new Set(
      buttons
        .filter((button) => button.getAttribute("aria-pressed") === "true")
        .map((button) => button.dataset.verdict),
    );
    let count = 0;
    for (const { row, verdict, text } of rows) {
      const matches = wanted.has(verdict) && words.every((word) => text.includes(word));
      row.hidden = !matches;
      count += matches;
    }
    const number = (value) => value.toLocaleString("en");
    shown.textContent = `${number(count)} of ${number(rows.length)}`;
    none.hidden = count > 0 || rows.length === 0;
  };

  const keyOf = (row, column) => {
    const cell = row.cells[column];
    return "key" in cell.dataset ? Number(cell.dataset.key) : cell.textContent;
  };
  const order = new Intl.Collator("en", { numeric: true });
  const sort = (header, column) => {
    const ascending = header.getAttribute("aria-sort") !== "ascending";
    for (const other of header.parentNode.cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const keyed = rows.map(({ row }) => ({ row, key: keyOf(row, column) }));
    keyed.sort((a, b) => {
      const compared =
        typeof a.key === "number" ? a.key - b.key : order.compare(a.key, b.key);
      return ascending ? compared : -compared;
    });
    body.append(...keyed.map(({ row }) => row));
  };

  document.querySelectorAll("th").forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    button.addEventListener("click", () => sort(header, column));
    header.append(button);
  });
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const pressed = button.getAttribute("aria-pressed") === "true";
      button.setAttribute("aria-pressed", String(!pressed));
      filter();
    });
  }
  let timer;
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(filter, rows.length > 2000 ? 150 : 0);
  });
  const form = document.getElementById("controls");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
})();
