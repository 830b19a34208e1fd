// Around htmx's refreshes: none while nobody looks, the sign-in page when the session is over, a word when the server is silent.
(() => {
  "use strict";
  const path = (address) => address.split("?")[0];
  const notice = () => document.querySelector("[data-stale]");
  const stale = () => {
    const element = notice();
    if (!element || !element.hidden) return;
    const since = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
    element.textContent = `The server has not answered since ${since}: these numbers grow old. The page keeps trying.`;
    element.hidden = false;
  };
  document.addEventListener("htmx:beforeRequest", (event) => {
    const { target } = event;
    // Nobody's typing is swapped away.
    const typing = target.hasAttribute("data-patient") && target.contains(document.activeElement) && document.activeElement.matches("input");
    if (document.hidden || typing) event.preventDefault();
  });
  // A redirect is followed unseen; only the path of the answer tells.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { responsePath, finalRequestPath } = event.detail.pathInfo;
    if (!responsePath || path(responsePath) === path(finalRequestPath)) return;
    event.preventDefault();
    location.reload();
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.successful && notice()) notice().hidden = true;
  });
  for (const failure of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) document.addEventListener(failure, stale);
})();
