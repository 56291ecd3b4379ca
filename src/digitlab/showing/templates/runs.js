"use strict";
(() => {
  document.documentElement.classList.add("script");
  const said = document.getElementById("sorted");

  // ---- sorting: numbers fall first, words rise first; what is missing always stays last
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
    const collator = new Intl.Collator("en", { numeric: true });
    const value = (row, column) => row.cells[column].dataset.v;
    heads.forEach((head, column) => {
      const button = head.querySelector("button");
      if (!button) return;
      const number = button.dataset.number === "1";
      button.addEventListener("click", () => {
        const now = head.getAttribute("aria-sort");
        const order = now === "none" ? (number ? "descending" : "ascending") : now === "ascending" ? "descending" : "ascending";
        for (const other of heads) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", other === head ? order : "none");
        const sign = order === "ascending" ? 1 : -1;
        const rows = [...body.rows].sort((a, b) => {
          const x = value(a, column), y = value(b, column);
          if (x === "" || y === "") return (x === "") - (y === "");
          return sign * (number ? Number(x) - Number(y) : collator.compare(x, y));
        });
        body.append(...rows);
        said.textContent = `Sorted by ${button.textContent}, ${order}`;
      });
    });
  }

  // ---- a run pointed at anywhere stands out everywhere
  let current = null;
  function choose(run) {
    if (run === current) return;
    current = run;
    for (const node of document.querySelectorAll(".on")) node.classList.remove("on");
    const found = run === null ? [] : document.querySelectorAll(`.big-chart .r${run}`);
    document.documentElement.classList.toggle("choosing", found.length > 0);
    for (const node of found) node.classList.add("on");
    if (run !== null) for (const node of document.querySelectorAll(`[data-run="${run}"]`)) node.classList.add("on");
  }
  for (const kind of ["pointerover", "focusin"]) {
    document.addEventListener(kind, (event) => {
      const node = event.target instanceof Element ? event.target.closest("[data-run]") : null;
      choose(node ? node.dataset.run : null);
    });
  }
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") choose(null); });
})();
