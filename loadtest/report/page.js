// Draws the plots of the report from the JSON in #data: see plot.go.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const font = (size) => size + "px system-ui, sans-serif";
  const height = (wide) => (wide ? 300 : 200);

  const number = (v) => {
    const size = Math.abs(v);
    return v.toLocaleString("en", {maximumFractionDigits: size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3});
  };
  const time = (s) => {
    const m = Math.floor(s / 60), rest = s - 60 * m;
    return (m >= 60 ? Math.floor(m / 60) + ":" + String(m % 60).padStart(2, "0") : m) + ":" +
      (rest < 10 ? "0" : "") + (Number.isInteger(rest) ? rest : rest.toFixed(1));
  };
  const milliseconds = (v) => (v >= 1000 ? number(v / 1000) + " s" : v < 1 ? number(v * 1000) + " µs" : number(v) + " ms");
  const percentile = (x) => +(100 - 100 / x).toPrecision(12) + " %";
  const withUnit = (unit) => (v) => (v == null ? "–" : unit === "ms" ? milliseconds(v) : number(v) + (unit ? " " + unit : ""));

  // lines draws the marks: a dashed line each, and its text where there is room.
  function lines(u) {
    const c = u.ctx, box = u.bbox, ratio = devicePixelRatio;
    c.save();
    c.font = font(10 * ratio);
    c.strokeStyle = c.fillStyle = css("--soft");
    c.lineWidth = ratio;
    c.setLineDash([3 * ratio, 3 * ratio]);
    let free = box.left;
    for (const mark of data.marks) {
      const x = Math.round(u.valToPos(mark.at, "x", true));
      if (x < box.left || x > box.left + box.width) continue;
      c.beginPath();
      c.moveTo(x, box.top);
      c.lineTo(x, box.top + box.height);
      c.stroke();
      const begin = x + 4 * ratio, end = begin + c.measureText(mark.text).width;
      if (begin < free || end > box.left + box.width) continue;
      c.fillText(mark.text, begin, box.top + 9 * ratio);
      free = end;
    }
    c.restore();
  }

  // alone are the indices of values that have no neighbor to draw a line to.
  function alone(values) {
    return [...values.keys()].filter((i) => values[i] != null && values[i - 1] == null && values[i + 1] == null);
  }

  function options(plot, width, wide) {
    const axis = (more) => ({stroke: css("--soft"), font: font(11), grid: {stroke: css("--grid"), width: 1}, ticks: {show: false}, gap: 6, ...more});
    const format = withUnit(plot.unit);
    const right = plot.lines.find((l) => l.unit !== "");
    const axes = [
      axis(plot.percentiles
        ? {size: 28, values: (u, all) => all.map((x) => (x == null ? null : percentile(x)))}
        : {size: 28, values: (u, all) => all.map(time), space: 60}),
      axis({size: 62, values: (u, all) => all.map((v) => (v == null ? null : format(v)))}),
    ];
    const scales = {
      x: plot.percentiles ? {time: false, distr: 3, range: (u, from, to) => [from, to]} : {time: false, range: (u, from, to) => [from >= to ? from - 1 : from, to]},
      y: plot.log ? {distr: 3} : {range: (u, low, high) => uPlot.rangeNum(Math.min(0, low ?? 0), Math.max(high ?? 0, 1e-9), 0.1, true)},
    };
    if (right) {
      scales.right = {range: (u, low, high) => uPlot.rangeNum(0, Math.max(high ?? 0, 1), 0.1, true)};
      axes.push(axis({side: 1, scale: "right", size: 56, grid: {show: false}, values: (u, all) => all.map((v) => number(v) + " " + right.unit)}));
    }
    const series = plot.lines.map((l, i) => {
      const color = css(l.level ? "--l" + l.level : "--c" + ((i % 8) + 1));
      return {
        label: l.name, stroke: color, width: 1.75, scale: l.unit === "" ? "y" : "right",
        fill: plot.lines.length === 1 && !plot.log ? color + "1f" : undefined, dash: l.unit === "" ? undefined : [5, 3],
        value: (u, v) => withUnit(l.unit || plot.unit)(v),
        paths: plot.dots ? () => null : undefined,
        points: {show: true, size: 5, fill: color, filter: () => (plot.dots ? null : alone(l.values))},
      };
    });
    const x = plot.percentiles ? {label: "percentile", value: (u, v) => (v == null ? "–" : percentile(v))} : {label: "at", value: (u, v) => (v == null ? "–" : time(v))};
    return {
      width, height: height(wide), axes, scales, series: [x, ...series],
      cursor: {sync: plot.percentiles ? undefined : {key: "time"}, points: {size: 6}},
      legend: {live: true}, hooks: plot.percentiles ? {} : {drawClear: [lines]}, padding: [8, right ? 0 : 12, 0, 0],
    };
  }

  const drawn = data.plots.map((plot) => {
    const box = document.createElement("div"), title = document.createElement("h3");
    const wide = plot.percentiles;
    box.className = wide ? "plot wide" : "plot";
    title.textContent = plot.title[0].toUpperCase() + plot.title.slice(1);
    box.append(title);
    document.getElementById("plots").append(box);
    const target = document.createElement("div");
    box.append(target);
    return {plot, target, wide, chart: null, width: 0};
  });

  // draw makes all plots anew: colors are part of them.
  function draw() {
    for (const d of drawn) {
      d.chart?.destroy();
      d.width = d.target.clientWidth;
      d.chart = new uPlot(options(d.plot, d.width, d.wide), [d.plot.x, ...d.plot.lines.map((l) => l.values)], d.target);
    }
  }
  draw();
  addEventListener("resize", () => {
    for (const d of drawn) {
      const width = d.target.clientWidth;
      if (width !== d.width) d.chart.setSize({width: (d.width = width), height: height(d.wide)});
    }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
