// Follow the system's colours; runs before the page is drawn.
(() => {
  "use strict";
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => document.documentElement.setAttribute("data-bs-theme", dark.matches ? "dark" : "light");
  dark.addEventListener("change", () => { apply(); document.dispatchEvent(new Event("farm:theme")); });
  apply();
})();
