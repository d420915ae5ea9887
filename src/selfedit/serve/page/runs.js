// Runs: everything that the library computed, with its report. Forgetting matrices (`selfedit eval
// continual`) and the rounds of an outer loop (`selfedit train`) are in theirs.

import { get } from "./api.js";
import { add, button, h, tag, when } from "./dom.js";

const LOOK = { finished: "good", failed: "bad", interrupted: "warn", running: "warn" };

export async function show(part, state) {
  const { runs } = await get("/api/runs");
  const own = runs.filter((one) => one.kind !== "interaction");
  add(part, h("h1", {}, "Runs"),
    h("p", { class: "soft lead" }, "Every command that computed something in this library. A report has the questions with their answers, the training curves, and the forgetting matrix where one was measured."));
  if (!own.length) {
    add(part, h("p", { class: "soft" }, "Nothing was run yet."));
    return;
  }
  add(part, h("div", { class: "card scroll", tabindex: 0, role: "region", "aria-label": "Runs" }, h("table", {},
    h("thead", {}, h("tr", {}, ["Run", "Kind", "Started", "Ended", "Result", "Report"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, own.map((one) => h("tr", {},
      h("th", { scope: "row" }, String(one.run)), h("td", {}, one.kind), h("td", {}, when(one.started)),
      h("td", {}, tag(one.state, LOOK[one.status])), h("td", {}, one.line || "–"),
      h("td", {}, button("Open", () => state.showReport(`/api/runs/${one.run}/report`, `Run ${one.run}`), "quiet small", { "aria-label": `Report of run ${one.run}` }))))))));
}
