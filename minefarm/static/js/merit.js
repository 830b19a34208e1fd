// Merit order in <figure data-merit-url>: break-even of the machines over their cumulative kW, and each site's price as a line.
(() => {
  "use strict";
  const INKS = ["#c2476b", "#d9822b", "#7a5bc2", "#2f9e5f"];
  const ink = () => (document.documentElement.dataset.bsTheme === "dark"
    ? { text: "#a3adba", grid: "#2c3644" } : { text: "#5b6573", grid: "#e6e8eb" });
  const show = (value) => value.toLocaleString([], { maximumFractionDigits: 2 });

  function draw(figure, data) {
    const box = document.createElement("div");
    box.className = "farm-chart-panel farm-chart-wide";
    const heading = document.createElement("h3");
    heading.className = "farm-chart-title";
    heading.textContent = "Break-even, $/MWh, over cumulative kW";
    const latest = document.createElement("span");
    latest.className = "farm-chart-latest";
    heading.append(latest);
    box.append(heading);
    figure.append(box);
    const { text, grid } = ink();
    const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { show: false } };
    const levels = data.prices.map((price) => data.kw.map(() => price.usd_per_mwh));
    const highest = Math.max(...data.break_even, ...data.prices.map((price) => price.usd_per_mwh));
    const lowest = Math.min(0, ...data.prices.map((price) => price.usd_per_mwh));
    const options = {
      width: box.clientWidth,
      height: 260,
      legend: { show: false },
      cursor: { y: false },
      scales: { x: { time: false }, y: { range: () => [lowest, highest * 1.1] } },
      axes: [{ ...axis, size: 28 }, { ...axis, size: 64 }],
      series: [
        {},
        { stroke: "#2f6fc2", width: 2, fill: "#2f6fc222", paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } },
        ...data.prices.map((_, at) => ({ stroke: INKS[at % INKS.length], width: 1, dash: [6, 4], points: { show: false } })),
      ],
      hooks: {
        setCursor: [(plot) => {
          const at = plot.cursor.idx;
          latest.textContent = at === null || at === undefined ? "" : ` ${show(data.kw[at])} kW: ${show(data.break_even[at])} $/MWh`;
        }],
      },
    };
    const plot = new uPlot(options, [data.kw, data.break_even, ...levels], box);
    addEventListener("resize", () => plot.setSize({ width: box.clientWidth, height: 260 }));
  }

  async function load(figure) {
    const note = figure.querySelector("[data-chart-note]");
    try {
      const answer = await fetch(figure.dataset.meritUrl, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      const data = await answer.json();
      if (data.kw.length) draw(figure, data);
      const prices = data.prices.map((price) => `${price.site} ${show(price.usd_per_mwh)} $/MWh`).join(", ");
      note.textContent = prices ? `Broken lines are prices now: ${prices}. Machines whose step lies below their site's line lose money.`
        : "No site has a price of electricity in USD now.";
    } catch (error) {
      note.textContent = `The chart could not be loaded (${error.message}). Reload the page to try again.`;
    }
  }

  document.querySelectorAll("figure[data-merit-url]").forEach(load);
})();
