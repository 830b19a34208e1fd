// The board of deals: a card is moved by the pointer or by the arrow keys; the server decides, the page follows.
"use strict";

(() => {
  const board = document.querySelector("[data-board]");
  if (!board) return;
  const lanes = [...board.querySelectorAll("[data-stage]")];
  const said = document.querySelector("[data-board-said]");
  const error = document.querySelector("[data-board-error]");
  let dragged = null;

  const laneOf = (card) => card.closest("[data-stage]");

  const mark = () => {
    for (const lane of lanes) {
      const empty = lane.querySelector("[data-empty]");
      if (empty) empty.hidden = lane.querySelector("[data-card]") !== null;
    }
  };

  // Sums are the server's: no page adds up money.
  const refreshSums = async () => {
    const reply = await fetch(window.location.href, { headers: { Accept: "text/html" } });
    if (!reply.ok) return;
    const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
    for (const old of document.querySelectorAll("[data-sum]")) {
      const now = fresh.querySelector(`[data-sum="${old.dataset.sum}"]`);
      if (now) old.replaceWith(now);
    }
  };

  const put = (card, lane) => {
    lane.querySelector("ul").prepend(card);
    mark();
  };

  const fail = (message, page) => {
    error.textContent = `${message} `;
    if (page) {
      const link = document.createElement("a");
      link.href = page;
      link.textContent = "Open the deal";
      error.append(link);
    }
    error.hidden = false;
  };

  // The card stands in its new lane at once, and goes back where the server refuses.
  const move = async (card, lane) => {
    const from = laneOf(card);
    if (!lane || from === lane || card.dataset.moving) return;
    card.dataset.moving = "1";
    error.hidden = true;
    put(card, lane);
    card.focus();
    const form = card.querySelector("form");
    const body = new URLSearchParams(new FormData(form));
    body.set("to", lane.dataset.stage);
    body.set("seen", from.dataset.stage);
    try {
      const reply = await fetch(card.dataset.card, { method: "POST", body, headers: { Accept: "application/json" } });
      const told = await reply.json();
      if (!reply.ok) {
        put(card, from);
        fail(told.error.message, told.page);
        return;
      }
      form.querySelector("[name=seen]").value = told.stage;
      form.querySelector("[name=to]").value = told.stage;
      card.querySelector("[data-probability]").textContent = told.probability;
      card.setAttribute("aria-label", `${card.querySelector("a").textContent}, ${told.label}`);
      said.textContent = `${card.querySelector("a").textContent} moved to ${told.label}`;
      refreshSums().catch(() => {});
    } catch {
      put(card, from);
      fail("The server did not answer: the card is where it was.");
    } finally {
      delete card.dataset.moving;
      card.focus();
    }
  };

  board.addEventListener("dragstart", (event) => {
    dragged = event.target.closest("[data-card]");
    if (!dragged) return;
    dragged.classList.add("farm-card-dragged");
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData("text/plain", dragged.dataset.card);
  });
  board.addEventListener("dragend", () => {
    if (dragged) dragged.classList.remove("farm-card-dragged");
    for (const lane of lanes) lane.classList.remove("farm-lane-over");
    dragged = null;
  });
  board.addEventListener("dragover", (event) => {
    const lane = event.target.closest("[data-stage]");
    if (!dragged || !lane) return;
    event.preventDefault();
    for (const other of lanes) other.classList.toggle("farm-lane-over", other === lane);
  });
  board.addEventListener("drop", (event) => {
    const lane = event.target.closest("[data-stage]");
    if (!dragged || !lane) return;
    event.preventDefault();
    move(dragged, lane);
  });
  board.addEventListener("keydown", (event) => {
    const card = event.target;
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step || !card.matches("[data-card][draggable]")) return;
    event.preventDefault();
    move(card, lanes[lanes.indexOf(laneOf(card)) + step]);
  });
})();
