// A job as it runs: its stage, its self-edits as they are scored, and how it ended.

import { events, post } from "./api.js";
import { bar, button, doing, fill, h, ofTotal, percent, tag } from "./dom.js";

const LOOK = { queued: "", running: "", succeeded: "good", failed: "bad", cancelled: "warn" };
const KINDS = { learn: "Learn", remember: "Remember", forget: "Forget", probe: "Probe" };
export const ENDED = ["succeeded", "failed", "cancelled"];

/** What uploaded files are called, by their ids. */
export const filenames = new Map();

/** The job's line, kept fresh until it ends; the job as it then is, or null where the page was left. */
export async function follow(job, place, signal, onReport = null) {
  const view = new JobView(job, place, onReport);
  for await (const event of events(job.id, signal)) {
    view.take(event);
    if (event.type === "end") return event;
  }
  return null;
}

/** What is shown of a job that has ended. */
export function ended(job, place, onReport = null) {
  new JobView(job, place, onReport);
}

class JobView {
  constructor(job, place, onReport) {
    this.job = job;
    this.onReport = onReport;
    this.stage = h("span", { class: "soft stage" }, job.status === "queued" ? "waits for its turn" : "");
    this.meter = h("progress", { max: 1, "aria-label": "Progress of the stage" });
    this.going = h("div", { class: "meter" }, this.meter, this.stage);
    this.warnings = h("ul", { class: "warnings soft" });
    this.count = h("summary", {}, "");
    this.list = h("ol", { class: "candidates" });
    this.edits = h("details", { class: "edits", hidden: true }, this.count, this.list);
    this.status = h("span", { class: "row" });
    this.result = h("div", { class: "outcome" });
    fill(place, h("div", { class: "row" }, h("strong", {}, `${KINDS[job.kind] ?? job.kind}`), h("span", { class: "what" }, what(job)), this.status),
      this.going, this.warnings, this.result, this.edits);
    this.show(job);
  }

  take(event) {
    if (event.type === "status" && event.status !== "queued") this.show({ ...this.job, status: event.status });
    if (event.type === "stage") this.at(event.stage, 0, event.total, "");
    if (event.type === "progress") this.at(event.stage, event.done, event.total, event.note);
    if (event.type === "warning") this.warnings.append(h("li", {}, event.text));
    if (event.type === "candidate") this.candidate(event);
    if (event.type === "end") this.show(event);
  }

  at(stage, done, total, note) {
    if (total) {
      this.meter.max = total;
      this.meter.value = Math.min(done, total);
    } else this.meter.removeAttribute("value");
    const part = total ? `: ${Math.floor(done + 1e-6)} of ${total}` : "";
    this.stage.textContent = `${stage}${part}${note ? ` (${note})` : ""}`;
  }

  candidate(one) {
    this.list.append(edit({ ...one, passage: one.title }));
    this.edits.hidden = false;
    this.count.textContent = this.list.children.length === 1 ? "1 self-edit, with its reward" : `${this.list.children.length} self-edits, with their rewards`;
  }

  show(job) {
    this.job = job;
    const over = ENDED.includes(job.status);
    fill(this.status, tag(job.rejected ? "not kept" : job.status, job.rejected ? "warn" : LOOK[job.status]),
      over ? null : button("Cancel", doing(() => post(`/api/jobs/${job.id}/cancel`, {})), "quiet small"));
    this.going.hidden = over;
    if (over) fill(this.result, outcome(job, this.onReport));
  }
}

function what(job) {
  const { documents = [], document, version, interaction } = job.request;
  const names = documents.map((one) => one.title || filenames.get(one.file) || one.source || (one.characters ? `a text of ${one.characters} characters` : "a file"));
  return names.join(", ") || document || (interaction ? `conversation ${interaction}` : version ? `version ${version}` : "");
}

function outcome(job, onReport) {
  const result = job.result ?? {};
  const said = [];
  if (result.num_questions && result.accuracy_after !== null) {
    said.push(h("p", { class: "big" }, percent(result.accuracy_before), h("span", { class: "to", "aria-hidden": "true" }, " → "),
      h("span", { class: "hidden" }, "to"), percent(result.accuracy_after)),
      h("p", { class: "soft" }, `${ofTotal(result.accuracy_before, result.num_questions)} → ${ofTotal(result.accuracy_after, result.num_questions)} questions${result.held_out ? ", held out" : ""}`));
  }
  if (result.remembered) said.push(h("p", { class: "quoted" }, result.remembered));
  if (result.replaced) said.push(h("p", {}, "It takes the place of ", h("q", {}, result.replaced)));
  const good = job.status === "succeeded";
  const reason = job.error || result.reason;
  const now = good && result.version && job.kind !== "probe" ? `Kept as version ${result.version}: ` : "";
  if (now || reason) said.push(h("p", { class: `verdict ${good ? "good" : job.rejected ? "warn" : job.status === "failed" ? "bad" : "warn"}` }, now, reason));
  const notes = (result.notes ?? []).map((note) => h("li", {}, note));
  if (notes.length) said.push(h("ul", { class: "soft notes" }, notes));
  if (onReport && result.version && ["learn", "remember"].includes(job.kind)) said.push(button("Report", () => onReport(result.version), "quiet"));
  return said;
}

/** A self-edit with its reward. */
export function edit(one) {
  const look = one.kept ? "good" : one.status === "scored" ? "" : "warn";
  const alone = one.status === "scored" ? "not compared" : "no reward";
  const words = one.reward === null || one.reward === undefined ? alone : `reward ${percent(one.reward)}`;
  return h("li", {},
    h("div", { class: "row" },
      h("strong", {}, `Edit ${one.candidate}`), h("span", { class: "soft passage" }, one.passage),
      bar(one.reward, words), h("span", { class: "number" }, words), tag(one.kept ? "kept" : one.status, look)),
    one.reason && h("p", { class: "soft" }, one.reason),
    one.text && h("details", {}, h("summary", {}, "What it wrote"), h("p", { class: "text" }, one.text)));
}
