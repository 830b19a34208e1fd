// The rack map by keyboard: one tab stop per rack, arrows from slot to slot. Without this file every slot is a stop of its own.
(() => {
  "use strict";
  const links = (within) => [...within.querySelectorAll("td a")];
  const stopAt = (table, kept) => links(table).forEach((link) => { link.tabIndex = link === kept ? 0 : -1; });
  const settle = () => {
    for (const table of document.querySelectorAll("[data-rack-map] table")) {
      const found = links(table);
      stopAt(table, found.includes(document.activeElement) ? document.activeElement : found[0]);
    }
  };
  const vertical = (link, next) => {
    const column = link.closest("td").cellIndex;
    for (let row = link.closest("tr")[next]; row; row = row[next]) {
      const there = row.cells[column]?.querySelector("a");
      if (there) return there;
    }
    return null;
  };
  document.addEventListener("keydown", (event) => {
    const link = event.target.closest?.("[data-rack-map] td a");
    if (!link) return;
    const all = links(link.closest("[data-rack-map]"));
    const here = links(link.closest("table"));
    const target = {
      ArrowRight: () => all[all.indexOf(link) + 1],
      ArrowLeft: () => all[all.indexOf(link) - 1],
      ArrowDown: () => vertical(link, "nextElementSibling"),
      ArrowUp: () => vertical(link, "previousElementSibling"),
      Home: () => here[0],
      End: () => here[here.length - 1],
    }[event.key];
    if (!target) return;
    event.preventDefault();
    const to = target();
    if (!to) return;
    stopAt(to.closest("table"), to);
    to.focus();
  });
  document.addEventListener("htmx:afterSettle", settle);
  settle();
})();
