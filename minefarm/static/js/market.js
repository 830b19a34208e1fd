// Charts of <figure data-market-url>: price with its averages and bands, RSI, MACD, difficulty, hashprice. Gaps stay gaps.
(() => {
  "use strict";
  const HEIGHT = 220;
  const around = (_, low, top) => {
    const margin = (top - low) * 0.08 || Math.abs(top) * 0.01 || 1;
    return [low - margin, top + margin];
  };
  const fromZero = (_, __, top) => [0, (top || 1) * 1.1];
  const PANELS = [
    { title: "Price, $", range: around, lines: [
      ["btc_price", "close", "#2f6fc2", 2], ["ema_12", "EMA 12", "#d9822b", 1], ["ema_26", "EMA 26", "#c2476b", 1],
      ["bb_upper", "upper band", "#8892a0", 1, [4, 4]], ["bb_lower", "lower band", "#8892a0", 1, [4, 4]]] },
    { title: "Hashprice, $/PH/day", range: fromZero, lines: [["hashprice_usd_per_ph_day", "hashprice", "#2f9e5f", 2]] },
    { title: "Difficulty, T", range: fromZero, size: 1e12, lines: [["network_difficulty", "difficulty", "#7a5bc2", 2]] },
    { title: "RSI 14", range: () => [0, 100], marks: [30, 70], lines: [["rsi", "RSI", "#d9822b", 2]] },
    { title: "MACD 12/26/9, $", range: around, marks: [0], lines: [
      ["macd", "MACD", "#2f6fc2", 2], ["macd_signal", "signal line", "#c2476b", 1], ["macd_histogram", "histogram", "#8892a0", 1]] },
  ];
  const SIGNALS = { BUY: "#2f9e5f", SELL: "#c2476b" };
  let charts = [];

  // The canvas takes plain colours only, no CSS variables.
  const ink = () => (document.documentElement.dataset.bsTheme === "dark"
    ? { text: "#a3adba", grid: "#2c3644" } : { text: "#5b6573", grid: "#e6e8eb" });
  const date = (seconds) => new Date(seconds * 1000).toLocaleDateString([], { day: "numeric", month: "short" });
  const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
  const tick = (seconds) => {
    const at = new Date(seconds * 1000);
    return at.getHours() || at.getMinutes() ? clock(seconds) : date(seconds);
  };
  const show = (value) => (value === null || value === undefined ? "–" : value.toLocaleString([], { maximumFractionDigits: 2 }));
  const hoursOf = (figure) => figure.dataset.chartHours || "24";

  // Levels such as 30 and 70, and on the price the moments at which a signal began.
  function marks(panel, data) {
    return (plot) => {
      const { ctx, bbox } = plot;
      ctx.save();
      ctx.strokeStyle = ink().text;
      ctx.setLineDash([3, 5]);
      for (const level of panel.marks || []) {
        const y = plot.valToPos(level, "y", true);
        ctx.beginPath();
        ctx.moveTo(bbox.left, y);
        ctx.lineTo(bbox.left + bbox.width, y);
        ctx.stroke();
      }
      ctx.setLineDash([]);
      if (panel.lines[0][0] === "btc_price") {
        data.signal.forEach((signal, at) => {
          if (!SIGNALS[signal] || data.signal[at - 1] === signal || data.btc_price[at] === null) return;
          ctx.fillStyle = SIGNALS[signal];
          ctx.beginPath();
          ctx.arc(plot.valToPos(data.t[at], "x", true), plot.valToPos(data.btc_price[at], "y", true), 4 * devicePixelRatio, 0, 7);
          ctx.fill();
        });
      }
      ctx.restore();
    };
  }

  function draw(figure, data, panel) {
    const box = document.createElement("div");
    box.className = "farm-chart-panel";
    const heading = document.createElement("h3");
    heading.className = "farm-chart-title";
    heading.textContent = panel.title;
    const latest = document.createElement("span");
    latest.className = "farm-chart-latest";
    heading.append(latest);
    box.append(heading);
    figure.append(box);
    const columns = panel.lines.map(([name]) => data[name].map((value) => (value === null ? null : value / (panel.size || 1))));
    const known = columns[0].filter((value) => value !== null);
    if (!known.length) {
      const empty = document.createElement("p");
      empty.className = "text-secondary farm-chart-empty";
      empty.textContent = "Nothing is known of this time.";
      box.append(empty);
      return;
    }
    const { text, grid } = ink();
    const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { show: false } };
    const options = {
      width: box.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false },
      scales: { x: { time: true, range: [data.t[0], data.t.at(-1) + data.step_s] }, y: { range: panel.range } },
      axes: [{ ...axis, size: 28, values: (_, splits) => splits.map(tick) }, { ...axis, size: 64 }],
      series: [{}, ...panel.lines.map(([, , stroke, width, dash]) => ({ stroke, width, dash, spanGaps: false, points: { show: known.length < 60, size: 4 } }))],
      hooks: {
        draw: [marks(panel, data)],
        setCursor: [(plot) => {
          const at = plot.cursor.idx;
          if (at === null || at === undefined) { latest.textContent = ""; return; }
          const values = panel.lines.map(([, name], line) => `${panel.lines.length > 1 ? `${name} ` : ""}${show(columns[line][at])}`);
          const signal = panel.lines[0][0] === "btc_price" && data.signal[at] ? `, ${data.signal[at]}` : "";
          latest.textContent = ` ${date(data.t[at])} ${clock(data.t[at])}: ${values.join(", ")}${signal}`;
        }],
      },
    };
    charts.push({ figure, box, plot: new uPlot(options, [data.t, ...columns], box) });
    box.append(table(panel, known));
  }

  // What the line shows, for those who do not see it.
  function table(panel, known) {
    const list = document.createElement("table");
    list.className = "visually-hidden";
    list.createCaption().textContent = panel.title;
    for (const [name, value] of [["latest known", known.at(-1)], ["lowest", Math.min(...known)], ["highest", Math.max(...known)]]) {
      const row = list.insertRow();
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = name;
      row.append(head);
      row.insertCell().textContent = show(value);
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
      const answer = await fetch(`${figure.dataset.marketUrl}?hours=${hoursOf(figure)}`, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      const data = await answer.json();
      clear(figure);
      PANELS.forEach((panel) => draw(figure, data, panel));
      const missing = data.btc_price.filter((value) => value === null).length;
      note.textContent = `Last values of every ${data.step_s >= 3600 ? `${data.step_s / 3600} h` : `${data.step_s / 60} min`}, times in `
        + `${Intl.DateTimeFormat().resolvedOptions().timeZone}. ${missing ? `${missing} of ${data.t.length} intervals have no price and stay empty. ` : ""}`
        + `Dots on the price mark where a signal begins: green to buy, red to sell.${data.generated ? " Made-up figures." : ""}`;
    } catch (error) {
      note.textContent = `The chart could not be loaded (${error.message}). Reload the page to try again.`;
    }
  }

  function ranges(card) {
    const figure = card.querySelector("figure[data-market-url]");
    const group = card.querySelector("[data-chart-ranges]");
    if (!figure || !group) return;
    group.hidden = false;
    group.addEventListener("click", ({ target }) => {
      const chosen = target.closest("[data-chart-hours]");
      if (!chosen) return;
      figure.dataset.chartHours = chosen.dataset.chartHours;
      group.querySelectorAll("button").forEach((button) => button.setAttribute("aria-pressed", String(button === chosen)));
      load(figure);
    });
  }

  const reload = () => document.querySelectorAll("figure[data-market-url]").forEach(load);
  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("section.card").forEach(ranges);
    reload();
  });
  document.addEventListener("farm:theme", reload);
  setInterval(() => { if (!document.hidden) reload(); }, 300000);
  addEventListener("resize", () => charts.forEach(({ box, plot }) => plot.setSize({ width: box.clientWidth, height: HEIGHT })));
})();
