// Back-test of a rule in <figure data-backtest="id of its JSON">: price as steps, the break-even band, curtailed stretches shaded.
(() => {
  "use strict";
  const ink = () => (document.documentElement.dataset.bsTheme === "dark"
    ? { text: "#a3adba", grid: "#2c3644" } : { text: "#5b6573", grid: "#e6e8eb" });
  const show = (value) => (value === null || value === undefined ? "–"
    : value.toLocaleString([], { maximumFractionDigits: 2 }));

  function shade(plot, stretches) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.fillStyle = "#4b4fc433";
    for (const [from, to] of stretches) {
      const left = plot.valToPos(from, "x", true);
      ctx.fillRect(left, bbox.top, Math.max(1, plot.valToPos(to, "x", true) - left), bbox.height);
    }
    ctx.restore();
  }

  function draw(figure, data) {
    const box = document.createElement("div");
    box.className = "farm-chart-panel farm-chart-wide";
    const heading = document.createElement("h3");
    heading.className = "farm-chart-title";
    heading.textContent = "Price and break-even, $/MWh";
    const latest = document.createElement("span");
    latest.className = "farm-chart-latest";
    heading.append(latest);
    box.append(heading);
    figure.append(box);
    const { text, grid } = ink();
    const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { show: false } };
    const stepped = uPlot.paths.stepped({ align: 1 });
    const options = {
      width: box.clientWidth,
      height: 280,
      legend: { show: false },
      cursor: { y: false },
      axes: [{ ...axis, size: 40 }, { ...axis, size: 64 }],
      bands: [{ series: [2, 3], fill: "#d9822b33" }],
      series: [
        {},
        { stroke: "#2f6fc2", width: 1.5, paths: stepped, points: { show: false } },
        { stroke: "#d9822b", width: 1, points: { show: false } },
        { stroke: "#d9822b", width: 1, points: { show: false } },
      ],
      hooks: {
        drawClear: [(plot) => shade(plot, data.curtailed)],
        setCursor: [(plot) => {
          const at = plot.cursor.idx;
          latest.textContent = at === null || at === undefined ? ""
            : ` ${new Date(data.x[at] * 1000).toLocaleString()}: ${show(data.price[at])}, band ${show(data.low[at])} to ${show(data.high[at])}`;
        }],
      },
    };
    const plot = new uPlot(options, [data.x, data.price, data.high, data.low], box);
    addEventListener("resize", () => plot.setSize({ width: box.clientWidth, height: 280 }));
  }

  document.querySelectorAll("figure[data-backtest]").forEach((figure) => {
    const data = JSON.parse(document.getElementById(figure.dataset.backtest).textContent);
    if (data.x.length) draw(figure, data);
  });
})();
