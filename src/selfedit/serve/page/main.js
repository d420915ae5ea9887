// The page's frame: which part is shown, what stands at the top, and the report's window.

import { call, get, hasKey } from "./api.js";
import { fill, h, named, say } from "./dom.js";
import * as ask from "./ask.js";
import * as history from "./history.js";
import * as learn from "./learn.js";
import * as memory from "./memory.js";
import * as runs from "./runs.js";

const PAGES = { ask, learn, history, memory, runs };
const TITLES = { ask: "Ask", learn: "Learn", history: "History", memory: "Conversations", runs: "Runs" };

/** What all parts know: the versions, and how to have something changed shown. */
const state = { versions: null, refresh, showReport };

/** Read the versions anew, and show the current one at the top. */
async function refresh() {
  state.versions = await get("/api/versions");
  const { model, current } = state.versions;
  fill(document.getElementById("standing"),
    h("span", { class: "soft" }, model), " ",
    h("span", { class: "tag good" }, named(current)));
  return state.versions;
}

/** A report in its own window: it runs nothing, and has no rights of this page. */
async function showReport(path, title) {
  if (hasKey()) {  // a frame sends no key: the file is saved, and opened from there
    const page = await (await call(path)).blob();
    const link = h("a", { href: URL.createObjectURL(page), download: `${title.toLowerCase().replaceAll(" ", "-")}.html` });
    link.click();
    URL.revokeObjectURL(link.href);
    return;
  }
  document.getElementById("report-title").textContent = title;
  document.getElementById("report-frame").src = path;
  document.getElementById("report").showModal();
}

function closeReport() {
  document.getElementById("report-frame").removeAttribute("src");
}

let leave = new AbortController();

async function show() {
  const name = location.hash.slice(1) in PAGES ? location.hash.slice(1) : "ask";
  leave.abort();
  leave = new AbortController();
  const mine = leave;
  document.title = `${TITLES[name]} · selfedit`;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.page === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const content = document.getElementById("content");
  try {
    await refresh();
    const part = h("div", { class: `part ${name}` });
    await PAGES[name].show(part, state, mine.signal);
    if (!mine.signal.aborted) fill(content, part);
    PAGES[name].shown?.(part);
  } catch (error) {
    if (!mine.signal.aborted) fill(content, h("h1", {}, TITLES[name]), h("p", { class: "verdict bad" }, error.message));
  }
}

window.addEventListener("hashchange", async () => {
  await show();
  scrollTo(0, 0);
  if (document.activeElement === document.body) document.getElementById("content").focus({ preventScroll: true });
});
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, dialog");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    if (location.hash.slice(1) === "ask" || !location.hash) document.getElementById("question")?.focus();
    else location.hash = "#ask";
  }
});
document.getElementById("report").addEventListener("close", closeReport);
document.querySelector("[data-close]").addEventListener("click", () => document.getElementById("report").close());
window.addEventListener("unhandledrejection", (event) => say(event.reason?.message ?? "Something went wrong.", null, "bad"));
show();
