// <time datetime data-relative> as "2 min ago", with the local time as its title; refreshed as time passes and after htmx swaps.
(() => {
  "use strict";
  const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
  const steps = [["day", 86400], ["hour", 3600], ["minute", 60]];
  const words = (seconds) => {
    for (const [unit, size] of steps) {
      if (Math.abs(seconds) >= size) return relative.format(-Math.floor(seconds / size), unit);
    }
    return seconds < 60 ? "just now" : "";
  };
  const refresh = () => {
    for (const element of document.querySelectorAll("time[data-relative]")) {
      const moment = new Date(element.dateTime);
      element.title = moment.toLocaleString();
      element.textContent = words((Date.now() - moment) / 1000);
    }
  };
  document.addEventListener("DOMContentLoaded", refresh);
  document.addEventListener("htmx:afterSettle", refresh);
  setInterval(refresh, 15000);
})();
