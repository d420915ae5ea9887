// Learn: documents in, and what became of them, live.

import { get, post, upload } from "./api.js";
import { add, button, doing, fill, first, h, plural, say, when } from "./dom.js";
import { ENDED, ended, filenames, follow } from "./jobs.js";

// Files that wait to be sent: {file, replaces}; the latter is a learned document's source, or "".
const chosen = [];
const MOST_JOBS = 30;

export async function show(part, state, signal) {
  const jobs = h("div", { class: "jobs" });
  add(part, h("h1", {}, "Learn"),
    h("p", { class: "soft lead" }, "The model writes its own training text, learns from it, and is tested without it. A new version is kept only if it knows more, forgot little and broke little."),
    form(jobs, state, signal), h("h2", {}, "Jobs"), jobs);
  for (const file of (await get("/v1/files")).data) filenames.set(file.id, file.filename);
  const found = (await get("/api/jobs")).jobs.slice(0, MOST_JOBS);
  if (!found.length) jobs.append(h("p", { class: "soft empty" }, "Nothing was learned here yet."));
  for (const job of found) addJob(jobs, job, state, signal, false);
}

function addJob(jobs, job, state, signal, atTop) {
  const place = h("div", {});
  const card = h("article", { class: "card job" }, h("p", { class: "soft moment" }, when(job.created_at)), place);
  jobs.querySelector(".empty")?.remove();
  if (atTop) jobs.prepend(card);
  else jobs.append(card);
  const report = (version) => state.showReport(`/api/versions/${version}/report`, `Version ${version}`);
  if (ENDED.includes(job.status)) ended(job, place, report);
  else follow(job, place, signal, report).then((done) => done && state.refresh());
}

function form(jobs, state, signal) {
  const list = h("ul", { class: "files" });
  const picker = h("input", { type: "file", id: "files", multiple: true, class: "hidden-input" });
  const drop = h("label", { class: "drop", for: "files" },
    h("span", { class: "drop-main" }, "Drop documents here, or choose them"),
    h("span", { class: "soft" }, "Text, Markdown, HTML, PDF, DOCX, EPUB, source code; JSON lines of statements"), picker);
  const text = h("textarea", { id: "text", rows: 4, placeholder: "# A title\n\nA text that is to be learned." });
  const questions = h("textarea", { id: "questions", rows: 3, placeholder: "Who founded the observatory? | Maren Hollick" });
  const preset = h("select", { id: "preset" }, ["balanced", "fast", "paper"].map((name) => h("option", { value: name }, name)));
  let learned = [];  // documents of the current version
  const showFiles = () => fill(list, chosen.map((one, i) => h("li", {}, h("span", {}, one.file.name), h("span", { class: "soft" }, size(one.file.size)),
    replacing(one, learned),
    button("Remove", () => { chosen.splice(i, 1); showFiles(); }, "quiet small", { "aria-label": `Remove ${one.file.name}` }))));
  const lookUp = doing(async () => { learned = await learnedNow(); showFiles(); });
  const take = (files) => {
    chosen.push(...Array.from(files, (file) => ({ file, replaces: "" })));
    showFiles();
    lookUp();
  };
  picker.addEventListener("change", () => { take(picker.files); picker.value = ""; });
  dropping(drop, take);
  take([]);
  const submit = doing(async () => {
    const quiz = parsed(questions.value);
    const documents = [];
    for (const { file, replaces } of chosen) {
      const id = await upload(file);
      filenames.set(id, file.name);
      documents.push({ file: id, ...(replaces ? { source: replaces } : {}) });
    }
    if (text.value.trim()) documents.push({ text: text.value });
    if (!documents.length) throw new Error("Name a document first: drop a file, or paste a text.");
    const job = await post("/api/learn", { documents, preset: preset.value, ...(quiz.length ? { quiz } : {}) });
    chosen.length = 0;
    text.value = questions.value = "";
    more.open = false;
    showFiles();
    addJob(jobs, job, state, signal, true);
    jobs.firstElementChild.scrollIntoView({ block: "center" });
    say(`Queued: ${plural(documents.length, "document")}.`);
  });
  const more = h("details", { class: "more" }, h("summary", {}, "Questions and settings"),
    h("label", { for: "questions" }, "Questions, one a line, each with its answer behind a bar (|)"), questions,
    h("p", { class: "soft" }, "They choose among the self-edits, and half of eight or more are held out for the result. Without any, the model makes its own quiz."),
    h("label", { for: "preset" }, "Preset"), preset);
  return h("form", { class: "card", on: { submit } }, drop, list,
    h("label", { for: "text" }, "Or paste a text"), text, more,
    h("div", { class: "row end" }, h("button", { type: "submit", class: "main" }, "Learn")));
}

async function learnedNow() {
  const { versions, current } = await get("/api/versions");
  return versions.find((one) => one.version === current)?.documents ?? [];
}

/** Whether a chosen file replaces a learned document of its name; nothing where there is none. */
function replacing(one, learned) {
  const same = learned.filter((own) => own.source.split("/").at(-1) === one.file.name);
  if (!same.some((own) => own.source === one.replaces)) one.replaces = "";  // it is learned no more
  if (!same.length) return null;
  const options = [["", "goes beside what is learned"], ...same.map((own) => [own.source, `replaces ${first(own.title, 40)}`])];
  return h("select", { "aria-label": `What becomes of ${one.file.name}`, on: { change: (event) => { one.replaces = event.target.value; } } },
    options.map(([value, text]) => h("option", { value, selected: value === one.replaces }, text)));
}

function dropping(zone, take) {
  const over = (event) => { event.preventDefault(); zone.classList.add("over"); };
  zone.addEventListener("dragenter", over);
  zone.addEventListener("dragover", over);
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    take(event.dataTransfer.files);
  });
}

function parsed(text) {
  return text.split("\n").filter((line) => line.trim()).map((line) => {
    const at = line.lastIndexOf("|");
    const [question, answer] = at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 1)];
    if (!question.trim() || !answer.trim()) throw new Error(`This line has no answer behind a bar (|): ${line}`);
    return { question: question.trim(), answer: answer.trim() };
  });
}

function size(bytes) {
  return bytes < 1000 ? `${bytes} B` : bytes < 1e6 ? `${Math.round(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
