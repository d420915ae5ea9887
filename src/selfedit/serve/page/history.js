// History: every version with what it learned, what was kept and lost, its self-edits, and the way back.

import { get, post } from "./api.js";
import { lines } from "./charts.js";
import { add, bar, button, doing, fill, h, named, ofTotal, percent, plural, say, tag, when } from "./dom.js";
import { edit, follow } from "./jobs.js";

export async function show(part, state, signal) {
  const { current, versions } = state.versions;
  const again = async () => { await state.refresh(); part.replaceChildren(); await show(part, state, signal); };
  add(part, h("h1", {}, "History"),
    h("p", { class: "soft lead" }, "Nothing is overwritten: any version that was kept can be made current again."));
  if (!versions.length) {
    add(part, h("p", {}, "There is no version yet: the bare model answers. ", h("a", { href: "#learn" }, "Learn a document"), " makes one."));
    return;
  }
  add(part, trend(versions), holdings(versions, current, again, signal),
    h("h2", {}, "Versions"),
    h("ol", { class: "versions" }, versions.map((one) => entry(one, state, again, signal)), bare(current, again)));
}

async function goTo(version, again) {
  const before = (await get("/api/versions")).current;
  await post("/api/rollback", { version });
  await again();
  const back = doing(async () => { await post("/api/rollback", { version: before ?? 0 }); await again(); });
  say(`${named(version || null).replace(/^./, (c) => c.toUpperCase())} is current now.`, ["Take that back", back]);
}

function bare(current, again) {
  return h("li", { class: `version ${current === null ? "is-current" : ""}` },
    h("div", { class: "row" }, h("h3", {}, "The bare model"), current === null ? tag("current", "good") : button("Make current", doing(() => goTo(0, again)), "quiet small", { "aria-label": "Make the bare model current" })),
    h("p", { class: "soft" }, "As it was before anything was learned."));
}

function entry(one, state, again, signal) {
  const older = state.versions.versions.find((other) => other.version === one.parent);
  const known = new Set((older?.documents ?? []).map((own) => own.digest));
  const added = one.documents.filter((own) => !known.has(own.digest));
  const more = h("div", { class: "unfolded" });
  const edits = doing(async (event, pressed) => {
    const open = more.childElementCount > 0;
    pressed.setAttribute("aria-expanded", String(!open));
    fill(more, open ? null : await selfEdits(one.version));
  });
  const report = () => state.showReport(`/api/versions/${one.version}/report`, `Version ${one.version}`);
  const probe = doing(async () => {
    const line = h("div", { class: "going" });
    fill(more, line);
    const job = await follow(await post("/api/probe", { version: one.version }), line, signal);
    if (job?.status === "succeeded") fill(more, kept({ ...one.scores, ...job.result }));
  });
  return h("li", { class: `version ${one.current ? "is-current" : ""} ${one.status}` },
    h("div", { class: "row" }, h("h3", {}, `Version ${one.version}`),
      one.current && tag("current", "good"), one.status === "rejected" && tag("not kept", "warn"),
      h("span", { class: "soft moment" }, when(one.created))),
    added.length > 0 && h("p", {}, "Learned ", added.map((own, i) => [i ? ", " : "", h("strong", {}, own.title)]), h("span", { class: "soft" }, ` (${plural(one.documents.length, "document")} in all)`)),
    h("p", { class: "soft" }, one.reason),
    kept(one.scores),
    h("div", { class: "row actions" },
      one.status === "committed" && !one.current && button("Make current", doing(() => goTo(one.version, again)), "quiet small", { "aria-label": `Make version ${one.version} current` }),
      one.run !== null && button("Self-edits", edits, "quiet small", { "aria-expanded": "false", "aria-label": `Self-edits of version ${one.version}` }),
      one.run !== null && button("Report", report, "quiet small", { "aria-label": `Report of version ${one.version}` }),
      one.status !== "deleted" && (one.scores.general_kept ?? null) === null && button("What did it break?", probe, "quiet small")),
    more);
}

/** What was measured of a version, in a few bars. */
function kept(scores) {
  const rows = [];
  const row = (name, value, words, note = "", mark = null) =>
    rows.push(h("div", { class: "measure" }, h("dt", {}, name), h("dd", {}, bar(value, `${name}: ${words}`, mark), h("span", { class: "number" }, words), note && h("span", { class: "soft" }, note))));
  const is = (value) => value !== null && value !== undefined;
  if (is(scores.accuracy_after)) row("New questions", scores.accuracy_after, ofTotal(scores.accuracy_after, scores.num_questions), `before: ${ofTotal(scores.accuracy_before, scores.num_questions)}`, scores.accuracy_before);
  if (scores.num_older) row("Older questions", scores.older_after, ofTotal(scores.older_after, scores.num_older), `before: ${ofTotal(scores.older_before, scores.num_older)}`, scores.older_before);
  if (is(scores.general_kept)) row("General knowledge kept", scores.general_kept, percent(scores.general_kept), `${scores.general_after} of ${scores.general_before} questions`);
  if (is(scores.leakage)) row("Leaked to neighbours", scores.leakage, percent(scores.leakage), `of ${scores.num_neighbours} questions about other things`);
  if (is(scores.drift)) row("Drift", Math.min(1, scores.drift / 0.2), scores.drift.toFixed(3), "nats a token from the bare model; the bar ends at 0.2");
  return rows.length > 0 && h("dl", { class: "measures" }, rows);
}

function trend(versions) {
  const committed = versions.filter((one) => one.status === "committed").toReversed();
  const series = (name, field) => ({ name, points: committed.map((one) => [one.version, one.scores[field] ?? null]) });
  const shares = [
    ["General knowledge kept", "general_kept", 1, percent],
    ["Older questions right", "older_after", 1, percent],
    ["Leaked to neighbours", "leakage", 1, percent],
    ["Drift, nats a token", "drift", null, (value) => value.toFixed(2)],
  ];
  const charts = shares.map(([name, field, most, show]) => {
    const own = series(name, field);
    const points = own.points.filter(([, value]) => value !== null);
    if (points.length < 2) return null;
    const words = `${name} by version: ${points.map(([at, value]) => `${at}: ${show(value)}`).join(", ")}`;
    return h("figure", {}, h("figcaption", {}, name), lines({ series: [own], x: "version", words, most, show, width: 310, height: 165 }));
  }).filter(Boolean);
  return charts.length > 0 && h("section", { class: "card" }, h("h2", {}, "What was kept, and what was lost"), h("div", { class: "charts" }, charts));
}

function holdings(versions, current, again, signal) {
  const now = versions.find((one) => one.version === current);
  if (!now?.documents.length) return null;
  const place = h("div", { class: "going" });
  const forget = (own) => doing(async () => {
    if (!confirm(`Forget ${own.title}? A version without it becomes current; older versions keep it.`)) return;
    const job = await follow(await post("/api/forget", { document: own.source }), place, signal);
    if (job?.status === "succeeded") { await again(); say(`${own.title} is forgotten.`); }
  });
  return h("section", { class: "card" }, h("h2", {}, `What ${named(current)} knows`),
    h("ul", { class: "holdings" }, now.documents.map((own) => h("li", {},
      h("span", {}, h("strong", {}, own.title), " ", h("span", { class: "soft" }, `${plural(own.passages, "passage")}, ${plural(own.statements, "training text")}, ${plural(own.questions, "question")}`)),
      button("Forget", forget(own), "quiet small", { "aria-label": `Forget ${own.title}` })))),
    place);
}

async function selfEdits(version) {
  const found = await get(`/api/versions/${version}/edits`);
  if (!found.edits.length) return h("p", { class: "soft" }, "This version has no trials of its own: it was made without, or an earlier run had stored the same ones.");
  const curves = found.edits.filter((one) => one.losses.length > 1).slice(0, 8)
    .map((one) => ({ name: `${one.passage}, edit ${one.candidate}, step`, points: one.losses.map((loss, step) => [step + 1, loss]) }));
  const words = `Training loss: ${curves.map((one) => `${one.name.replace(", step", "")} from ${one.points[0][1]?.toFixed(2)} to ${one.points.at(-1)[1]?.toFixed(2)}`).join("; ")}`;
  const chart = lines({ series: curves, x: "optimizer step", words, show: (value) => value.toFixed(1) });
  return [
    h("h4", {}, "Self-edits and their rewards"),
    h("ol", { class: "candidates" }, found.edits.map(edit)),
    found.left_out > 0 && h("p", { class: "soft" }, `${found.left_out} more are in the report.`),
    found.stored_earlier > 0 && h("p", { class: "soft" }, `${plural(found.stored_earlier, "trial")} with the same inputs had been run before.`),
    chart && h("figure", {}, h("figcaption", {}, "Training loss, nats a token"), chart,
      h("ul", { class: "legend" }, curves.map((one, number) => h("li", { class: `c${number % 8}` }, one.name.replace(", step", ""))))),
  ];
}
