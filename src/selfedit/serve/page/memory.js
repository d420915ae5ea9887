// Conversations: what was corrected or noted, what was remembered of it, and the way to take it back.

import { get, post } from "./api.js";
import { add, button, doing, fill, h, named, say, tag, when } from "./dom.js";
import { follow } from "./jobs.js";

const LOOK = { remembered: "good", rejected: "warn", undone: "", recorded: "" };
const WORDS = { remembered: "remembered", rejected: "not kept", undone: "taken back or replaced", recorded: "recorded" };

export async function show(part, state, signal) {
  const { interactions } = await get("/api/interactions");
  const again = async () => { await state.refresh(); part.replaceChildren(); await show(part, state, signal); };
  const field = h("textarea", { id: "note", rows: 2, required: true, placeholder: "The pump of Orro is kept in bay nine." });
  const going = h("div", { class: "going" });
  const note = doing(async () => {
    const text = field.value.trim();
    if (!text) return field.focus();
    const made = await post("/api/interactions", { messages: [], feedback: { kind: "note", text } });
    field.value = "";
    if (await follow(made.job, going, signal)) await again();
  });
  const latest = interactions.find((one) => one.state === "remembered" && one.outcome.version === state.versions.current);
  add(part, h("h1", {}, "Conversations"),
    h("p", { class: "soft lead" }, "A correction, a rating or an outcome becomes a self-edit: the model writes what is to be remembered and how it will test itself. Newer words settle a contradiction with older ones."),
    h("form", { class: "card", on: { submit: note } }, h("label", { for: "note" }, "Remember this"), field, going,
      h("div", { class: "row end" }, h("button", { type: "submit", class: "main" }, "Remember"))),
    h("h2", {}, "What happened"),
    interactions.length ? h("ol", { class: "interactions" }, interactions.map((one) => entry(one, one === latest, again, signal)))
      : h("p", { class: "soft" }, "No conversation with feedback was recorded yet. Correct an answer under ", h("a", { href: "#ask" }, "Ask"), ", in selfedit chat, or by /api/interactions."));
}

function entry(one, isLatest, again, signal) {
  const place = h("div", { class: "going" });
  const undo = doing(async () => {
    const { version } = await post("/api/undo", {});
    await again();
    say(`Taken back: ${named(version)} is current.`);
  });
  const learn = doing(async () => {
    if (await follow(await post(`/api/interactions/${one.id}/learn`, {}), place, signal)) await again();
  });
  return h("li", { class: "card" },
    h("div", { class: "row" }, tag(WORDS[one.state], LOOK[one.state]), h("span", { class: "soft moment" }, when(one.created)),
      isLatest && button("Undo", undo, "quiet small", { "aria-label": `Undo what was remembered of conversation ${one.id}` }),
      one.state === "recorded" && saysWhatIsRight(one.feedback) && button("Learn it", learn, "quiet small")),
    h("dl", { class: "turns" }, one.messages.slice(-6).map((turn) => [h("dt", {}, turn.role), h("dd", {}, turn.content)]),
      h("dt", {}, one.feedback.kind), h("dd", { class: "feedback" }, feedback(one.feedback))),
    one.outcome && learned(one.outcome), place);
}

/** A bad rating alone says nothing that could be learned. */
const saysWhatIsRight = ({ text, answer, good }) => Boolean(text || answer || good);

function feedback({ text, answer, good }) {
  const judged = good === null ? "" : good ? "good. " : "wrong. ";
  return `${judged}${text}${answer ? ` (${answer})` : ""}`;
}

function learned(outcome) {
  return h("div", { class: "learned" },
    h("p", {}, h("span", { class: "soft" }, outcome.committed ? `In version ${outcome.version}: ` : "Tried: "), h("q", {}, outcome.remembered)),
    h("p", { class: "soft" }, outcome.reason),
    outcome.replaced && h("p", { class: "soft" }, "It took the place of ", h("q", {}, outcome.replaced)),
    outcome.tested_by.length > 0 && h("details", {}, h("summary", {}, "How it tested itself"),
      h("ul", { class: "soft" }, outcome.tested_by.map((own) => h("li", {}, `${own.question} — ${own.answer}`)))),
    outcome.notes.length > 0 && h("details", {}, h("summary", {}, "Notes"), h("ul", { class: "soft" }, outcome.notes.map((own) => h("li", {}, own)))));
}
