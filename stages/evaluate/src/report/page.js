"use strict";
// Draws the charts in the colours of the page, and again when the reader's colour scheme changes.
(() => {
  const charts = [...document.querySelectorAll(".chart")];
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  const config = { displayModeBar: false, responsive: true, scrollZoom: false, doubleClick: false };

  const draw = () => {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const inColour = (key, value) =>
      key === "color" && typeof value === "string" && value.startsWith("--") ? colour(value) : value;
    const axis = { gridcolor: colour("--grid"), zerolinecolor: colour("--axis"), linecolor: colour("--axis") };
    const template = {
      layout: {
        paper_bgcolor: "rgba(0, 0, 0, 0)",
        plot_bgcolor: "rgba(0, 0, 0, 0)",
        font: { color: colour("--ink"), family: getComputedStyle(document.body).fontFamily, size: 12 },
        colorway: [colour("--first"), colour("--second")],
        dragmode: false,
        hoverlabel: { bgcolor: colour("--paper"), bordercolor: colour("--axis"), font: { color: colour("--ink") } },
        xaxis: axis,
        yaxis: axis,
      },
    };
    for (const chart of charts) {
      const { data, layout } = JSON.parse(chart.nextElementSibling.textContent, inColour);
      Plotly.react(chart, data, { ...layout, template }, config);
    }
  };

  // Arrow keys go through the points of the first trace that has any, and show each.
  const step = (event) => {
    const chart = event.currentTarget;
    const by = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    const trace = chart.data.findIndex((trace) => trace.x.length > 0);
    if (by === undefined || trace < 0) return;
    event.preventDefault();
    const points = chart.data[trace].x.length;
    const next = chart.point === undefined ? (by > 0 ? 0 : points - 1) : (chart.point + by + points) % points;
    chart.point = next;
    Plotly.Fx.hover(chart, [{ curveNumber: trace, pointNumber: next }]);
  };

  draw();
  scheme.addEventListener("change", draw);
  for (const chart of charts) {
    chart.addEventListener("keydown", step);
    chart.addEventListener("blur", () => {
      chart.point = undefined;
      Plotly.Fx.unhover(chart);
    });
  }
})();
