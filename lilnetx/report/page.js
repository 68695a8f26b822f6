// Sorts a table by a column when its title is pressed; pressed again, the other way round.
for (const table of document.querySelectorAll("table")) {
  const titles = [...table.querySelectorAll("thead th")];
  titles.forEach((title, column) => {
    const button = title.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const numeric = column > 0;
      const before = title.getAttribute("aria-sort");
      const largestFirst = before ? before === "ascending" : numeric;
      const sign = largestFirst ? -1 : 1;
      const value = (row) => row.cells[column].dataset.sort;
      const compare = (a, b) => {
        const [x, y] = [Number(value(a)), Number(value(b))];
        return Number.isNaN(x) || Number.isNaN(y) ? value(a).localeCompare(value(b)) : x - y;
      };
      const body = table.tBodies[0];
      body.append(...[...body.rows].sort((a, b) => sign * compare(a, b)));
      for (const other of titles) other.removeAttribute("aria-sort");
      title.setAttribute("aria-sort", largestFirst ? "descending" : "ascending");
    });
  });
}
