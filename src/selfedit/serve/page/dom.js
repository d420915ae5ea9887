// Elements from plain values. Text is always a text node: nothing that a document or a model wrote is
// ever read as HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An element. props: attributes; `on`: listeners by event; false and null leave an attribute out. */
export function h(tag, props = {}, ...children) {
  return filled(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function s(tag, props = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), props, children);
}

function filled(element, { on = {}, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const [name, listener] of Object.entries(on)) element.addEventListener(name, listener);
  return add(element, ...children);
}

/** Put children behind those that an element holds; what is null, undefined or false is none. */
export function add(element, ...children) {
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Put children in place of what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter(Boolean));
  return element;
}

/** A word or two in a pill. look: "", good, warn or bad. */
export const tag = (text, look = "") => h("span", { class: `tag ${look}` }, text);

/** A button. kind: "", main or quiet. */
export function button(text, action, kind = "", props = {}) {
  return h("button", { type: "button", class: kind, on: { click: action }, ...props }, text);
}

/** A bar from 0 to 1 with its value in words; mark: another value, as a line across. */
export function bar(value, words, mark = null) {
  const inside = h("span", { class: "fill" });
  inside.style.width = `${100 * Math.min(1, Math.max(0, value ?? 0))}%`;
  const track = h("span", { class: "track", role: "img", "aria-label": words }, inside);
  if (mark !== null) {
    const line = h("span", { class: "mark" });
    line.style.left = `${100 * mark}%`;
    track.append(line);
  }
  return track;
}

let hiding = 0;

/** Say something at the foot of the page, for a while. action: [text, function]. */
export function say(text, action = null, look = "") {
  const toast = document.getElementById("toast");
  const act = action && button(action[0], () => { toast.replaceChildren(); action[1](); }, "quiet");
  fill(toast, h("p", { class: `said ${look}` }, text, act));
  clearTimeout(hiding);
  hiding = setTimeout(() => toast.replaceChildren(), look === "bad" ? 12000 : 8000);
}

/** Run an action of a button; while it runs the button is off, and what goes wrong is said. */
export const doing = (action) => async (event) => {
  const pressed = event?.currentTarget;
  const off = pressed instanceof HTMLFormElement ? [...pressed.querySelectorAll("[type=submit]")] : [pressed];
  event?.preventDefault?.();
  if (off.some((one) => one?.disabled)) return;  // it runs: Enter sends a form whose button is off, too
  for (const one of off) if (one) one.disabled = true;
  try {
    await action(event, pressed);
  } catch (error) {
    say(error.message, null, "bad");
  } finally {
    for (const one of off) if (one) one.disabled = false;
  }
};

export const percent = (share) => (share === null || share === undefined ? "–" : `${Math.round(100 * share)}%`);

/** "4 of 6" for a share of a count. */
export const ofTotal = (share, count) => (share === null || share === undefined ? "–" : `${Math.round(share * count)} of ${count}`);

export const named = (version) => (version === null || version === undefined ? "the bare model" : `version ${version}`);

export const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

const TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** A moment, from an ISO string or seconds since 1970. */
export function when(moment) {
  const date = typeof moment === "number" ? new Date(1000 * moment) : new Date(moment);
  return h("time", { datetime: date.toISOString() }, TIME.format(date));
}

export const first = (text, most = 120) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
