"""The report of an imported run of the release: accuracies from what is stored for each self-edit.

The accuracy of a run is the mean over its articles of each one's mean over its self-edits, and that
of a self-edit the mean over its trainings (`release/run.py`). Baselines are stored with the self-edits,
because a trial is the result of a training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from selfedit.grading.statistics import Interval, accuracy_interval, paired_difference, verdict
from selfedit.release.fields import parse_prompt
from selfedit.release.scores import DIGITS
from selfedit.report.one_context import Seen, choose_context
from selfedit.report.runs import (
    Report,
    facts,
    failure,
    run_values,
    settings_section,
    trials_section,
)
from selfedit.show.page import (
    Block,
    Column,
    Entry,
    Look,
    Notes,
    Page,
    Passage,
    Section,
    SideBySide,
    Table,
)
from selfedit.show.wording import percent, points
from selfedit.store import RunRecord, Store
from selfedit.types import Trial

# As in the paper's tables.
_precise = partial(percent, decimals=2)


@dataclass(frozen=True, slots=True)
class ImportedEdit:
    """A self-edit: what is recorded about it, and the adapted accuracy that follows from its answers.

    recorded values: task_id, title, index, baseline, adapted, proxy, selected (`release/record.py`).
    answered: None if no answers are recorded.
    """

    recorded: Mapping[str, Any]
    answered: float | None


Article = Sequence[ImportedEdit]


def import_report(store: Store, run: RunRecord, context: str | None) -> Report:
    """context: id, the beginning of an id, or title. Raises InputError if there is no such one."""
    values = run_values(store, run)
    if run.result is None:
        page = _page(run, failure(run), "warn", [trials_section(store, run)])
        return Report(page, values)
    articles = list(_articles(store, run))
    baseline, adapted = _means(articles, _baseline), _means(articles, _adapted)
    answered = _means(articles, lambda edit: edit.answered)
    summary = {
        "baseline_accuracy": _of_run(baseline, run.result, "baseline_accuracy"),
        "adapted_accuracy": _of_run(adapted, run.result, "adapted_accuracy"),
        "adapted_from_answers": _mean(answered),
    }
    sections = [Section("Accuracy", _accuracies(run.result, summary, baseline, adapted, answered))]
    seen = {own.id: own for own in map(_seen, articles)}  # two articles may have one context
    if chosen := choose_context(list(seen.values()), context):
        sections.append(_context_section(store, run, chosen))
    sections.append(_articles_section(articles))
    said, look = _verdict(baseline, adapted)
    counts = {name: run.result[name] for name in ("num_tasks", "num_trials", "proxy_score", "layout")}
    counts["num_selected"] = len(run.result["selected"])
    page = _page(run, failure(run) or said, look, sections)
    return Report(page, values | summary | counts | {"notes": run.result["notes"]})


def _page(run: RunRecord, said: str, look: Look, sections: Sequence[Section]) -> Page:
    recorded = (("File", str(run.inputs.get("file"))), ("Layout", str(run.inputs.get("layout"))))
    title = "A recorded run of the release"
    parts = (*sections, settings_section(run))
    return Page("selfedit import release", title, facts(run, *recorded), said, look, parts)


def _articles(store: Store, run: RunRecord) -> Iterator[Article]:
    """Self-edits with their trials; each article's begin at index 0."""
    assert run.result is not None
    groups = _groups(store.iter_trials(run.id))
    article: list[ImportedEdit] = []
    for recorded in run.result["edits"]:
        if recorded["index"] == 0 and article:
            yield article
            article = []
        article.append(ImportedEdit(recorded, _accuracy(next(groups, []))))
    if article:
        yield article


def _groups(trials: Iterable[Trial]) -> Iterator[list[Trial]]:
    """The trials of each self-edit; they were stored in the order of the file."""
    group: list[Trial] = []
    for trial in trials:
        same = group and (trial.task_id, trial.edit.index) == (group[0].task_id, group[0].edit.index)
        if group and (not same or trial.seed in {other.seed for other in group}):
            yield group
            group = []
        group.append(trial)
    if group:
        yield group


def _accuracy(trials: Sequence[Trial]) -> float | None:
    """Mean over the trainings, each rounded as the release rounded it; None without answers."""
    rates = [round(trial.reward, DIGITS) for trial in trials if trial.reward is not None]
    return sum(rates) / len(rates) if rates else None


def _baseline(edit: ImportedEdit) -> float | None:
    value: float | None = edit.recorded["baseline"]
    return value


def _adapted(edit: ImportedEdit) -> float | None:
    value: float | None = edit.recorded["adapted"]
    return value


def _means(
    articles: Sequence[Article], value: Callable[[ImportedEdit], float | None]
) -> list[float | None]:
    """For each article the mean over those self-edits that have a value."""
    known = [[v for edit in article if (v := value(edit)) is not None] for article in articles]
    return [sum(own) / len(own) if own else None for own in known]


def _mean(articles: Sequence[float | None]) -> float | None:
    known = [value for value in articles if value is not None]
    return sum(known) / len(known) if known else None


def _of_run(articles: Sequence[float | None], result: Mapping[str, Any], which: str) -> float | None:
    """The mean over articles. If a file records the accuracy of articles without self-edits, or of the
    whole run only, it is no mean of what is stored: then the value that the import read."""
    mean, imported = _mean(articles), result[which]
    if mean is None or (len(articles) < result["num_tasks"] and imported is not None):
        return None if imported is None else float(imported)
    return mean


def _accuracies(
    result: Mapping[str, Any],
    summary: Mapping[str, float | None],
    *by_article: Sequence[float | None],
) -> tuple[Block, ...]:
    names = (
        "baseline (no self-edit)",
        "adapted (after a self-edit)",
        "adapted, from the stored answers",
    )
    rows = []
    for name, value, own in zip(names, summary.values(), by_article, strict=True):
        known = [v for v in own if v is not None]
        rows.append((name, _precise(value), _span(accuracy_interval(known), _precise), str(len(known))))
    if result["proxy_score"] is not None:
        rows.append(("proxy score", f"{result['proxy_score']:.2f}", "—", str(result["num_tasks"])))
    baseline, adapted = by_article[0], by_article[1]
    both = [(b, a) for b, a in zip(baseline, adapted, strict=True) if b is not None and a is not None]
    if both:
        gain = paired_difference([a for _, a in both], [b for b, _ in both])
        rows.append(("adapted − baseline", points(gain.value), _span(gain, points), str(len(both))))  # noqa: RUF001
    notes = (
        "mean over articles of the mean over their self-edits; intervals: bootstrap over articles",
        f"{len(result['selected'])} self-edits are selected (the paper's rule: each article's best)",
        *result["notes"],
    )
    return (Table(("", "accuracy", "95 % interval", "articles"), tuple(rows)), Notes(notes))


def _span(interval: Interval, say: Callable[[float], str]) -> str:
    if interval.contexts < 2:
        return "—"
    return f"{say(interval.low)} to {say(interval.high)}".replace(" points to", " to")


def _verdict(baseline: Sequence[float | None], adapted: Sequence[float | None]) -> tuple[str, Look]:
    both = [(b, a) for b, a in zip(baseline, adapted, strict=True) if b is not None and a is not None]
    if not both:
        return "", ""
    found = paired_difference([a for _, a in both], [b for b, _ in both])
    said = verdict(found, "the model after a self-edit", "the model without one")
    return f"{said[0].upper()}{said[1:]}.", "good" if "better" in said else ""


# -- articles --------------------------------------------------------------------------------------


def _seen(article: Article) -> Seen:
    first = article[0].recorded
    return Seen(first["task_id"], first["title"] or "", [1])


def _articles_section(articles: Sequence[Article]) -> Section:
    rows = []
    for number, article in enumerate(articles, start=1):
        first = article[0].recorded
        adapted = [value for edit in article if (value := _adapted(edit)) is not None]
        chosen = [str(edit.recorded["index"] + 1) for edit in article if edit.recorded["selected"]]
        rows.append(
            (
                str(number),
                first["task_id"][:8],
                first["title"] or "—",
                _precise(_means([article], _baseline)[0]),
                _precise(sum(adapted) / len(adapted) if adapted else None),
                _precise(max(adapted, default=None)),
                ", ".join(chosen) or "—",
            )
        )
    headings = ("", "id", "title", "baseline", "mean edit", "best edit", "selected edit")
    caption = "Choose one with --context ID."
    return Section("Articles", (Table(headings, tuple(rows), caption),), folded=True)


def _context_section(store: Store, run: RunRecord, chosen: Seen) -> Section:
    assert run.result is not None
    groups = [group for group in _groups(store.iter_trials(run.id)) if group[0].task_id == chosen.id]
    records = [edit for edit in run.result["edits"] if edit["task_id"] == chosen.id]
    blocks: list[Block] = []
    prompts = [prompt for group in groups for prompt in group[0].edit.prompts]
    if prompts:
        blocks.append(Passage(parse_prompt(prompts[0].text)[1]))
    answers = next((t.score.answers for group in groups for t in group if t.score is not None), ())
    if answers:
        rows = tuple((str(n), own.question, own.gold) for n, own in enumerate(answers, start=1))
        blocks.append(Table(("", "question", "answer"), rows, "Its questions"))
    entries = [_entry(group, own) for group, own in zip(groups, records, strict=False)]
    heading = "Its self-edits"
    baseline = records[0]["baseline"] if records else None
    column = Column("Recorded round", f"Without an edit: {_precise(baseline)}", tuple(entries))
    blocks.append(SideBySide(heading, (column,)))
    return Section(f"One context: {chosen.title or chosen.id} ({chosen.id[:8]})", tuple(blocks))


def _entry(group: Sequence[Trial], recorded: Mapping[str, Any]) -> Entry:
    tag = "selected" if recorded["selected"] else "not selected"
    look: Look = "good" if recorded["selected"] else ""
    reward = recorded["adapted"]
    line = _precise(reward) if reward is not None else "no reward"
    if reward is not None and recorded["baseline"] is not None:
        line += f" ({points(reward - recorded['baseline'])})"
    rates = [_precise(trial.reward) for trial in group if trial.reward is not None]
    if len(rates) > 1:
        line += f"; by training: {', '.join(rates)}"
    return Entry(f"Edit {recorded['index'] + 1}", tag, look, line, group[0].edit.text, group[0].reason)
