// The fleet page by keyboard and by the hundred: / searches, j and k move, x ticks, Enter opens. Without it the page works, too.
(() => {
  "use strict";
  let cursor = -1;
  const results = () => document.querySelector("[data-fleet]");
  const rows = () => [...results().querySelectorAll("tbody tr")];
  const boxes = () => [...results().querySelectorAll("input[name=miner]")];
  const across = () => results().querySelector("input[name=across]");
  const count = () => {
    const label = results().querySelector("[data-fleet-count]");
    if (!label) return;
    label.dataset.matches = label.dataset.matches || label.textContent;
    const ticked = boxes().filter((box) => box.checked).length;
    label.textContent = ticked && !across()?.checked ? `${ticked} chosen` : label.dataset.matches;
    const all = results().querySelector("[data-fleet-all]");
    all.checked = ticked > 0 && ticked === boxes().length;
    all.indeterminate = ticked > 0 && !all.checked;
  };
  const begin = () => {
    cursor = -1;
    const all = results()?.querySelector("[data-fleet-all]");
    if (all) all.hidden = false;
  };
  const move = (step) => {
    const lines = rows();
    if (!lines.length) return;
    lines[cursor]?.classList.remove("farm-cursor");
    cursor = Math.min(Math.max(cursor + step, 0), lines.length - 1);
    lines[cursor].classList.add("farm-cursor");
    lines[cursor].querySelector("a")?.focus();
    lines[cursor].scrollIntoView({ block: "nearest" });
  };
  document.addEventListener("change", (event) => {
    if (!results()?.contains(event.target)) return;
    if (event.target.matches("[data-fleet-all]")) for (const box of boxes()) box.checked = event.target.checked;
    count();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !results()) return;
    if (event.target.matches("input:not([type=checkbox]), select, textarea")) return;
    if (event.key === "/") {
      event.preventDefault();
      document.querySelector("[data-fleet-search]").focus();
    } else if (event.key === "j" || event.key === "k") move(event.key === "j" ? 1 : -1);
    else if (event.key === "x" && rows()[cursor]) {
      const box = rows()[cursor].querySelector("input[name=miner]");
      box.checked = !box.checked;
      count();
    }
  });
  document.addEventListener("htmx:afterSwap", begin);
  begin();
})();
