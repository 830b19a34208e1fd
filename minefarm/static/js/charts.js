// Charts of <figure data-chart-url>: hashrate, power and temperature over time. A gap in the data is a gap in the line.
(() => {
  "use strict";
  const HEIGHT = 200;
  const UNITS = {
    hashrate_ths: [[1e6, "EH/s"], [1e3, "PH/s"], [1, "TH/s"]],
    power_kw: [[1e3, "MW"], [1, "kW"]],
    temperature_c: [[1, "°C"]],
  };
  const TITLES = { hashrate_ths: "Hashrate", power_kw: "Power", temperature_c: "Hottest chip" };
  const COLOURS = { hashrate_ths: "#2f9e5f", power_kw: "#d9822b", temperature_c: "#c2476b" };
  // Amounts are drawn from zero, a temperature within its own neighbourhood.
  const fromZero = (_, __, top) => [0, (top || 1) * 1.1];
  const around = (_, low, top) => [Math.floor((low - 3) / 5) * 5, Math.ceil((top + 3) / 5) * 5];
  let charts = [];

  // The canvas takes plain colours only, no CSS variables.
  const ink = () => (document.documentElement.dataset.bsTheme === "dark"
    ? { text: "#a3adba", grid: "#2c3644" } : { text: "#5b6573", grid: "#e6e8eb" });
  const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
  const date = (seconds) => new Date(seconds * 1000).toLocaleDateString([], { day: "numeric", month: "short" });
  const moment = (seconds, step) => (step >= 86400 ? date(seconds) : step >= 1800 ? `${date(seconds)} ${clock(seconds)}` : clock(seconds));
  // Midnight is told by its date, so that two days on one axis are told apart.
  const tick = (seconds) => {
    const at = new Date(seconds * 1000);
    return at.getHours() || at.getMinutes() ? clock(seconds) : date(seconds);
  };
  const RANGES = { 24: "24 hours", 168: "7 days", 720: "30 days", 2160: "90 days", 8784: "year" };
  const hoursOf = (figure) => figure.dataset.chartHours || "24";
  const step = (seconds) => (seconds >= 86400 ? `${seconds / 86400} days` : seconds >= 3600 ? `${seconds / 3600} hours` : `${seconds / 60} minutes`)
    .replace(/^1 (day|hour)s$/, "a $1").replace("a hour", "an hour");
  const finite = (values) => values.filter((value) => value !== null);
  const unitFor = (metric, values) => {
    const top = Math.max(0, ...finite(values));
    return UNITS[metric].find(([size]) => top >= size) || UNITS[metric].at(-1);
  };
  const digits = (value) => (value >= 100 ? 0 : value >= 10 ? 1 : 2);
  const show = (value, unit) => (value === null || value === undefined ? "–" : `${value.toFixed(digits(value))} ${unit}`);

  function draw(figure, data, metric) {
    const [size, unit] = unitFor(metric, data[metric]);
    const values = data[metric].map((value) => (value === null ? null : value / size));
    const known = finite(values);
    const panel = document.createElement("div");
    panel.className = "farm-chart-panel";
    const heading = document.createElement("h3");
    heading.className = "farm-chart-title";
    heading.textContent = `${TITLES[metric]}, ${unit}`;
    const latest = document.createElement("span");
    latest.className = "farm-chart-latest";
    heading.append(latest);
    panel.append(heading);
    figure.append(panel);
    if (!known.length) {
      const empty = document.createElement("p");
      empty.className = "text-secondary farm-chart-empty";
      empty.textContent = "No reading in this time.";
      panel.append(empty);
      return;
    }
    const { text, grid } = ink();
    // A young farm's chart begins with its first reading, but never shows less than an hour.
    const first = data.t[data[metric].findIndex((value) => value !== null)];
    const end = data.t.at(-1) + data.step_s;
    const start = Math.max(data.t[0], Math.min(first - data.step_s, end - 3600));
    const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { show: false } };
    const absolute = metric !== "temperature_c";
    const options = {
      width: panel.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false },
      scales: { x: { time: true, range: [start, end] }, y: { range: absolute ? fromZero : around } },
      axes: [{ ...axis, size: 28, values: (_, splits) => splits.map(tick) }, { ...axis, size: 56 }],
      series: [{}, { stroke: COLOURS[metric], width: 2, fill: absolute ? `${COLOURS[metric]}22` : undefined, spanGaps: false, points: { show: known.length < 60, size: 5 } }],
      hooks: {
        setCursor: [(plot) => {
          const at = plot.cursor.idx;
          if (at === null || at === undefined) { latest.textContent = ""; return; }
          latest.textContent = ` ${moment(data.t[at], data.step_s)}: ${values[at] === null ? "no reading" : show(values[at], unit)}`;
        }],
      },
    };
    charts.push({ figure, panel, plot: new uPlot(options, [data.t, values], panel) });
    panel.append(table(figure, metric, unit, known));
  }

  // What the line shows, for those who do not see it.
  function table(figure, metric, unit, known) {
    const list = document.createElement("table");
    list.className = "visually-hidden";
    const caption = list.createCaption();
    caption.textContent = `${TITLES[metric]} over the last ${RANGES[hoursOf(figure)]}`;
    const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
    for (const [name, value] of [["latest known", known.at(-1)], ["mean", mean], ["lowest", Math.min(...known)], ["highest", Math.max(...known)]]) {
      const row = list.insertRow();
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = name;
      row.append(head);
      row.insertCell().textContent = show(value, unit);
    }
    return list;
  }

  function clear(figure) {
    for (const chart of charts.filter((one) => one.figure === figure)) chart.plot.destroy();
    charts = charts.filter((one) => one.figure !== figure);
    figure.querySelectorAll(".farm-chart-panel").forEach((panel) => panel.remove());
  }

  async function load(figure) {
    const note = figure.querySelector("[data-chart-note]");
    try {
      const answer = await fetch(`${figure.dataset.chartUrl}?hours=${hoursOf(figure)}`, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      const data = await answer.json();
      clear(figure);
      for (const metric of Object.keys(UNITS)) draw(figure, data, metric);
      const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
      const began = data.t.find((_, at) => data.hashrate_ths[at] !== null);
      const young = began && began > data.t[0] + Math.max(3600, data.step_s) ? `Readings began at ${moment(began, data.step_s)}. ` : "";
      note.textContent = `${young}Means of ${step(data.step_s)} (of the chip: the highest), times in ${zone}; a gap means no reading.`
        + (data.power_estimated ? " Power is estimated for machines that do not report it." : "");
    } catch (error) {
      note.textContent = `The chart could not be loaded (${error.message}). Reload the page to try again.`;
    }
  }

  // The buttons beside a chart: how far back it goes, for the file as well.
  function ranges(card) {
    const figure = card.querySelector("figure[data-chart-url]");
    const group = card.querySelector("[data-chart-ranges]");
    if (!figure || !group) return;
    group.hidden = false;
    group.addEventListener("click", ({ target }) => {
      const chosen = target.closest("[data-chart-hours]");
      if (!chosen) return;
      figure.dataset.chartHours = chosen.dataset.chartHours;
      group.querySelectorAll("button").forEach((button) => button.setAttribute("aria-pressed", String(button === chosen)));
      const file = card.querySelector("[data-chart-csv]");
      if (file) file.href = `${figure.dataset.chartUrl}?as=csv&hours=${hoursOf(figure)}`;
      load(figure);
    });
  }

  const figures = () => document.querySelectorAll("figure[data-chart-url]");
  const reload = () => figures().forEach(load);
  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("section.card").forEach(ranges);
    reload();
  });
  document.addEventListener("farm:theme", reload);
  setInterval(() => { if (!document.hidden) reload(); }, 300000);
  addEventListener("resize", () => charts.forEach(({ panel, plot }) => plot.setSize({ width: panel.clientWidth, height: HEIGHT })));
})();
