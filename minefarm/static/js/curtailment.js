// A plan's page: the reduction that was asked for and what was measured, and buttons that follow the plan's state.
(() => {
  "use strict";
  const HEIGHT = 240;
  const EVERY_MS = 15000;
  let drawn = null;

  // The canvas takes plain colours only, no CSS variables.
  const ink = () => (document.documentElement.dataset.bsTheme === "dark"
    ? { text: "#a3adba", grid: "#2c3644" } : { text: "#5b6573", grid: "#e6e8eb" });
  const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
  const show = (value) => (value === null || value === undefined ? "no reading" : `${value.toLocaleString([], { maximumFractionDigits: 1 })} kW`);

  function options(data, width, latest) {
    const { text, grid } = ink();
    const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { show: false } };
    return {
      width,
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false },
      scales: { x: { time: true }, y: { range: (_, __, top) => [0, (top || 1) * 1.1] } },
      axes: [{ ...axis, size: 28, values: (_, splits) => splits.map(clock) }, { ...axis, size: 60 }],
      series: [
        {},
        { stroke: "#c2476b", width: 2, dash: [6, 4], paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } },
        { stroke: "#2f6fc2", width: 2, fill: "#2f6fc222", spanGaps: false, points: { show: data.t.length < 40, size: 5 } },
      ],
      hooks: {
        setCursor: [(plot) => {
          const at = plot.cursor.idx;
          const now = drawn.data;
          latest.textContent = at === null || at === undefined ? ""
            : ` ${clock(now.t[at])}: asked ${show(now.requested_kw[at])}, measured ${show(now.measured_kw[at])} (${now.read[at]} of ${now.machines} machines read)`;
        }],
      },
    };
  }

  function draw(figure, data) {
    const columns = [data.t, data.requested_kw, data.measured_kw];
    if (drawn && drawn.figure === figure && drawn.data.t.length) {
      drawn.data = data;
      drawn.plot.setData(columns);
      return;
    }
    const panel = document.createElement("div");
    panel.className = "farm-chart-panel farm-chart-wide";
    const heading = document.createElement("p");
    heading.className = "farm-chart-title";
    for (const [name, word] of [["asked", "asked for"], ["measured", "measured"]]) {
      const key = document.createElement("span");
      key.className = `plan-key plan-key-${name}`;
      heading.append(key, word);
    }
    const latest = document.createElement("span");
    latest.className = "farm-chart-latest";
    heading.append(latest);
    panel.append(heading);
    figure.prepend(panel);
    drawn = { figure, data, panel, plot: null };
    drawn.plot = new uPlot(options(data, panel.clientWidth, latest), columns, panel);
  }

  async function load(figure) {
    const note = figure.querySelector("[data-chart-note]");
    try {
      const answer = await fetch(figure.dataset.planChart, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      const data = await answer.json();
      if (!data.t.length) { note.textContent = "Nothing has been measured yet."; return; }
      draw(figure, data);
      const unread = data.measured_kw.filter((value) => value === null).length;
      note.textContent = `${data.settled ? "As settled, means of 5 minutes." : "Baseline less measured power of the plan's machines."} `
        + `A machine without a reading counts for nothing; ${unread ? `${unread} of ${data.t.length} moments have no reading and stay empty` : "every moment has readings"}. `
        + `Times in ${Intl.DateTimeFormat().resolvedOptions().timeZone}.`;
    } catch (error) {
      note.textContent = `The chart could not be loaded (${error.message}). Reload the page to try again.`;
    }
  }

  const figures = () => document.querySelectorAll("figure[data-plan-chart]");
  document.addEventListener("DOMContentLoaded", () => figures().forEach(load));
  document.addEventListener("farm:theme", () => {
    if (drawn) { drawn.plot.destroy(); drawn.panel.remove(); drawn = null; }
    figures().forEach(load);
  });
  setInterval(() => {
    if (!document.hidden) document.querySelectorAll("figure[data-plan-running]").forEach(load);
  }, EVERY_MS);
  addEventListener("resize", () => { if (drawn) drawn.plot.setSize({ width: drawn.panel.clientWidth, height: HEIGHT }); });

  // What is open stays open over a refresh: it is not swapped away under somebody's hand.
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.target.id === "plan-live" && event.target.querySelector("details[open]")) event.preventDefault();
  });
  // The buttons follow the plan, unless somebody is at one of them.
  document.addEventListener("htmx:afterSwap", () => {
    const acts = document.getElementById("plan-acts");
    const live = document.getElementById("plan-live");
    if (!acts || !live || acts.dataset.planState === live.dataset.planState) return;
    if (acts.querySelector("details[open]") || acts.contains(document.activeElement)) return;
    htmx.ajax("GET", location.pathname, { target: "#plan-acts", select: "#plan-acts", swap: "outerHTML" });
  });
})();
