// Ask: one question to several versions, side by side, with the documents that it concerns; and what
// was wrong, corrected on the spot.

import { post } from "./api.js";
import { add, button, doing, fill, first, h, named, say, tag } from "./dom.js";
import { follow } from "./jobs.js";

const asked = [];  // results of this visit, newest first
const MOST_SHOWN = 8;  // versions that are offered at once

export async function show(part, state, signal) {
  const { current, versions } = state.versions;
  const results = h("div", { class: "results", "aria-live": "polite" });
  const field = h("textarea", { id: "question", rows: 2, placeholder: "What would you like to know?", required: true });
  const choices = h("fieldset", { class: "choices" }, h("legend", { class: "hidden" }, "Who answers"), offered(current, versions));
  const ask = doing(async () => {
    const question = field.value.trim();
    const models = [...choices.querySelectorAll("input:checked")].map((box) => box.value);
    if (!question) return field.focus();
    if (!models.length) throw new Error("Choose at least one who answers.");
    const answers = await Promise.all(models.map((model) => post("/api/ask", { question, model, sources: model !== "base", max_tokens: 128 })));
    const one = { question, answers };
    asked.unshift(one);
    field.select();
    results.prepend(result(one, state, signal));  // a correction of an earlier one goes on
  });
  const form = h("form", { class: "card", on: { submit: ask } },
    h("label", { for: "question" }, "Question"), field, choices,
    h("div", { class: "row end" }, h("span", { class: "soft hint" }, "Enter asks, Shift+Enter breaks the line"),
      h("button", { type: "submit", class: "main" }, "Ask")));
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  fill(results, asked.map((one) => result(one, state, signal)));
  add(part, h("h1", {}, "Ask what it knows"),
    h("p", { class: "soft lead" }, "Answers come from the weights alone: no document is looked up."), form, results);
}

export const shown = (part) => part.querySelector("#question")?.focus();

function offered(current, versions) {
  const usable = versions.filter((one) => one.status === "committed" && one.version !== current);
  const box = (value, text, on) => h("label", { class: "chip" }, h("input", { type: "checkbox", value, checked: on }), h("span", {}, text));
  const more = usable.map((one) => box(`v${one.version}`, `Version ${one.version}`, false));
  return [
    box("base", "Bare model", true),
    current === null ? null : box("current", `Version ${current} (current)`, true),
    more.slice(0, MOST_SHOWN),
    more.length > MOST_SHOWN && h("details", {}, h("summary", {}, `${more.length - MOST_SHOWN} older`), more.slice(MOST_SHOWN)),
  ];
}

function result({ question, answers }, state, signal) {
  return h("article", { class: "card result" },
    h("h2", {}, question),
    h("div", { class: "answers" }, answers.map((one) => answer(one))),
    correction(question, answers, state, signal));
}

function answer({ model, version, answers: [one] }) {
  const current = model === "current";
  return h("section", { class: "answer" },
    h("h3", {}, version === null ? "Bare model" : `Version ${version}`, " ", current && tag("current", "good")),
    h("p", { class: "said-text" }, one.answer || "(no answer)"),
    model !== "base" && sources(one.sources));
}

function sources(found) {
  if (!found.length) return h("p", { class: "soft source" }, "Concerns nothing that was learned.");
  const unique = [...new Map(found.map((one) => [one.source + one.document, one])).values()];
  return h("p", { class: "soft source" }, "From ",
    unique.map((one, i) => [i ? "; " : "", h("strong", {}, one.document), one.source && one.source !== one.document ? ` (${first(one.source, 60)})` : ""]));
}

function correction(question, answers, state, signal) {
  const told = answers.find((one) => one.model === "current") ?? answers.at(-1);
  const place = h("div", { class: "correction" });
  const open = () => {
    const field = h("textarea", { rows: 2, required: true, id: `right-${Math.random().toString(36).slice(2)}` });
    const send = doing(async () => {
      const right = field.value.trim();
      if (!right) return field.focus();
      const made = await post("/api/interactions", {
        messages: [{ role: "user", content: question }, { role: "assistant", content: told.answers[0].answer }],
        feedback: { kind: "correction", text: right, good: false },
        version: told.version,
      });
      const line = h("div", { class: "going" });
      fill(place, line);
      const job = await follow(made.job, line, signal);
      if (!job) return;
      await state.refresh();
      if (job.status === "succeeded") say(`Remembered as ${named(job.result.version)}. Ask again.`);
    });
    fill(place, h("form", { on: { submit: send } },
      h("label", { for: field.id }, "What is right?"), field,
      h("p", { class: "soft" }, "The model writes its own training text from this, and keeps it only if it then answers right and broke little."),
      h("div", { class: "row end" }, button("Cancel", () => close(), "quiet"), h("button", { type: "submit", class: "main" }, "Remember this"))));
    field.focus();
  };
  const close = () => fill(place, button("Correct this", open, "quiet"));
  close();
  return place;
}
