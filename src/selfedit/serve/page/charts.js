// Small line charts as SVG, in the page's colours.

import { s } from "./dom.js";

const LEFT = 44, RIGHT = 10, TOP = 10, BOTTOM = 34;

/**
 * series: [{name, points: [[x, y], ...]}]. words: what the chart shows, for those who do not see it.
 * most: top of the axis; null: the largest value. show: a value as text. width, height: about as wide
 * as it will stand on the page, so that its words have the size of the others.
 */
export function lines({ series, x, words, most = null, show = (value) => String(value), whole = true, width: W = 600, height: H = 210 }) {
  const points = series.flatMap((one) => one.points.filter(([, value]) => value !== null));
  if (!points.length) return null;
  const xs = points.map(([at]) => at);
  const [low, high] = [Math.min(...xs), Math.max(...xs)];
  const top = most ?? niceTop(Math.max(...points.map(([, value]) => value)));
  const px = (at) => LEFT + (high === low ? 0.5 : (at - low) / (high - low)) * (W - LEFT - RIGHT);
  const py = (value) => H - BOTTOM - (value / top) * (H - TOP - BOTTOM);
  const svg = s("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": words, class: "chart" });
  for (const share of [0, 0.5, 1]) {
    const y = py(share * top);
    svg.append(s("line", { x1: LEFT, x2: W - RIGHT, y1: y, y2: y, class: "grid" }));
    svg.append(s("text", { x: LEFT - 7, y: y + 4, "text-anchor": "end" }, show(share * top)));
  }
  for (const at of ticks(low, high, whole)) {
    svg.append(s("text", { x: px(at), y: H - BOTTOM + 17, "text-anchor": "middle" }, String(at)));
  }
  svg.append(s("text", { x: W - RIGHT, y: H - 3, "text-anchor": "end", class: "axis" }, x));
  series.forEach((one, number) => svg.append(...drawn(one, number, px, py, show)));
  return svg;
}

function drawn(one, number, px, py, show) {
  const known = one.points.filter(([, value]) => value !== null);
  const path = known.map(([at, value], i) => `${i ? "L" : "M"}${px(at).toFixed(1)} ${py(value).toFixed(1)}`).join("");
  const look = `c${number % 8}`;
  const dots = known.length > 24 ? [] : known.map(([at, value]) =>
    s("circle", { cx: px(at), cy: py(value), r: 3.2, class: look }, s("title", {}, `${one.name} ${at}: ${show(value)}`)));
  return [s("path", { d: path, class: `curve ${look}` }), ...dots];
}

function niceTop(value) {
  if (value <= 0) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return unit * [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((step) => step * unit >= value * 0.999);
}

function ticks(low, high, whole) {
  if (low === high) return [low];
  const step = Math.max(whole ? 1 : 0, 10 ** Math.ceil(Math.log10((high - low) / 8)));
  const steps = [step / 10, step / 5, step / 2, step].filter((own) => !whole || Number.isInteger(own));
  const chosen = steps.find((own) => (high - low) / own <= 8) ?? step;
  const found = [];
  for (let at = Math.ceil(low / chosen) * chosen; at <= high + 1e-9; at += chosen) found.push(at);
  return found;
}
