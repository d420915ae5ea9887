"""Reads a recorded run, in any of its layouts, into articles with their self-edits.

The release writes these files:
- single-passage runs (`query_server`): {"overall", ..., "articles": [{"title", "context", "prompt",
  "stats", "completions": [{"text", "stats", "questions"}]}]}; each question is one answer before and
  after one training ("rep"). Runs with the proxy reward have no questions, and zeros for accuracies;
- continued pretraining (`CPT`): one training on all articles, {"overall" or "metrics": ...} with
  lists of answers and verdicts in "server_reply" or "per_question";
- the edits that a round kept: JSON lines of {"prompt", "completion"};
- self-edits that are not scored yet: a list of items whose "completions" are texts.

Accuracies
    of one training: right answers / questions, rounded to 4 digits, as the release rounded it before
        it averaged (that decides ties: 1/3, 1/3, 1/3 is below 0, 1/3, 2/3);
    of a self-edit: the mean over its trainings. What the file records (`adapter_mean`,
        `baseline_mean`) is used; otherwise it is computed from the answers;
    of an article: the mean over its self-edits; of a run: the mean over its articles, so every
        article weighs the same, however many questions it has. A continued-pretraining run is one
        training; its accuracy is right answers / questions.
Where no answers are recorded, the recorded means stand alone; where there are no means either, the
accuracy is None, and so are those of a proxy run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from selfedit.config import stable_hash
from selfedit.data.files import check_values
from selfedit.domains.knowledge.documents import read_text
from selfedit.errors import InputError
from selfedit.release.fields import (
    ARTICLES,
    BASELINE_TEXTS,
    COMPLETIONS,
    CONTEXT,
    PROMPT_ONLY,
    TEXT,
    TITLE,
    first,
    parse_prompt,
    text_of,
)
from selfedit.release.scores import Answers, answers_of, graded, means_of, queries_of
from selfedit.types import GradedAnswer, Task

Layout = Literal["single-passage", "proxy", "continued-pretraining", "kept", "unscored"]

_EXPECTED = (
    'expected a recorded run of the SEAL release: {"articles": [{"title", "context", "completions": '
    '[{"text", "stats", "questions"}]}]}, a continued-pretraining run, or JSON lines of '
    '{"prompt", "completion"}'
)


@dataclass(frozen=True, slots=True)
class RecordedEdit:
    """A self-edit with what is recorded about it. Accuracies in [0, 1], means over its trainings.

    answers: the graded answers of each training, by its number; empty where none are recorded.
    recomputed: (baseline, adapted) from the answers; baseline and adapted are the file's own if given.
    trainings: how many there were. proxy: the rubric's score, if that was the reward.
    """

    text: str
    answers: Mapping[int, tuple[GradedAnswer, ...]]
    trainings: int
    baseline: float | None
    adapted: float | None
    recomputed: tuple[float | None, float | None] = (None, None)
    proxy: float | None = None


@dataclass(frozen=True, slots=True)
class RecordedArticle:
    """A task, the prompt that its self-edits answered, and its recorded means, if it has any."""

    task: Task
    prompt: str
    edits: tuple[RecordedEdit, ...]
    baseline: float | None = None
    adapted: float | None = None


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """A file's content. digest: of its values, so that a reformatted copy is the same run."""

    path: Path
    digest: str
    layout: Layout
    articles: tuple[RecordedArticle, ...]
    header: dict[str, Any]
    num_tasks: int


def read_release(path: Path | str) -> RecordedRun:
    """Read a recorded run. Raises InputError with the place and what was expected."""
    path = Path(path)
    data = _load(path)
    digest = stable_hash(data)
    entries = _entries(data)
    header = _header(data)
    if entries is None and isinstance(data, dict):
        return _pretraining(path, digest, data, header)
    if not entries:
        raise InputError(f"{path} holds {_found(data)}; {_EXPECTED}")
    articles = _articles(path, entries, header)
    layout = _layout(articles, entries, header)
    if layout == "proxy":  # zeros stand for accuracies that were not measured
        articles = [_without_accuracies(article) for article in articles]
    return RecordedRun(path, digest, layout, tuple(articles), header, len(articles))


def _load(path: Path) -> Any:
    _, text = read_text(path)
    check_values(str(path), text)
    try:
        if path.suffix.lower() != ".jsonl":
            return json.loads(text)
    except (ValueError, RecursionError) as error:
        lines = isinstance(error, json.JSONDecodeError) and error.msg == "Extra data"
        if not lines:
            raise InputError(f"{path}: invalid JSON ({error}); {_EXPECTED}") from None
    values = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                values.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                where = f"{path}, line {number}"
                raise InputError(f"{where}: invalid JSON ({error}); {_EXPECTED}") from None
    return values


def _entries(data: Any) -> list[Any] | None:
    """The list of articles (or of self-edits), None if there is no list of objects."""
    if isinstance(data, dict):
        lists = (data.get(name) for name in ARTICLES)
        data = next((v for v in lists if isinstance(v, list) and v), None)
        if data is None:
            return None
    return data if isinstance(data, list) and all(isinstance(v, dict) for v in data) else []


def _header(data: Any) -> dict[str, Any]:
    """What a file says about the whole run: everything but lists of articles or answers."""
    if not isinstance(data, dict):
        return {}
    bulky = {*ARTICLES, "server_reply", "per_article", "per_question"}
    return {key: value for key, value in data.items() if key not in bulky}


def _found(data: Any) -> str:
    if isinstance(data, dict):
        if data and all(isinstance(v, dict) and "overall" in v for v in data.values()):
            names = ", ".join(data)
            return f"the summaries of {len(data)} runs ({names}) and no self-edits to import"
        if "mean_over_sequences" in data:
            return "the accuracy matrix of a continual run and no self-edits to import"
        return "the keys " + (", ".join(f'"{key}"' for key in list(data)[:8]) or "(none)")
    if isinstance(data, list):
        return "an empty list" if not data else "a list of something other than objects"
    return f"a {type(data).__name__}"


# -- single-passage runs ---------------------------------------------------------------------------


def _articles(
    path: Path, entries: Sequence[dict[str, Any]], header: dict[str, Any]
) -> list[RecordedArticle]:
    """Articles in order; entries that hold one self-edit each are gathered by their context."""
    flat: dict[str, int] = {}
    articles: list[RecordedArticle] = []
    for number, entry in enumerate(entries, start=1):
        where = f"{path}, article {number}"
        edits = first(entry, COMPLETIONS)
        nested = isinstance(edits, list | dict)
        article = _article(where, entry, edits if nested else [entry], nested, header)
        place = flat.setdefault(article.task.id, len(articles)) if not nested else len(articles)
        if place == len(articles):
            articles.append(article)
        else:
            known = articles[place]
            queries = dict.fromkeys((*known.task.queries, *article.task.queries))
            articles[place] = replace(
                known,
                task=replace(known.task, queries=tuple(queries)),
                edits=(*known.edits, *article.edits),
            )
    return articles


def _article(
    where: str, entry: dict[str, Any], edits: Any, nested: bool, header: dict[str, Any]
) -> RecordedArticle:
    prompt = text_of(entry, ("prompt",)) if nested or first(entry, TEXT) is not None else ""
    title, context = text_of(entry, TITLE), text_of(entry, CONTEXT)
    if not context and prompt:
        title, context = parse_prompt(prompt)
    if not context and not nested:
        raise InputError(f'{where}: no "context" and no "prompt"; {_EXPECTED}')
    listed = list(edits.values()) if isinstance(edits, dict) else edits
    read = [_edit(f"{where}, completion {n}", edit, nested, header) for n, edit in enumerate(listed, 1)]
    # A list of the article's own questions serves where no answers are recorded with its self-edits.
    own = answers_of(where, entry, header) if nested else Answers()
    queries = queries_of([own, *(answers for _, answers in read)], title)
    baseline, adapted, _ = means_of(where, entry) if nested else (None, None, None)
    task = Task(stable_hash([title, context]), title, context, queries)
    return RecordedArticle(task, prompt, tuple(edit for edit, _ in read), baseline, adapted)


def _edit(where: str, entry: Any, nested: bool, header: dict[str, Any]) -> tuple[RecordedEdit, Answers]:
    if isinstance(entry, str):
        return RecordedEdit(entry, {}, 1, None, None), Answers()
    text = first(entry, TEXT) if isinstance(entry, dict) else None
    if text is None and isinstance(entry, dict):
        text = first(entry, PROMPT_ONLY)
    if isinstance(text, list) and all(isinstance(line, str) for line in text):
        text = "\n".join(text)
    if not isinstance(text, str):
        raise InputError(f'{where}: no "text" of a self-edit; {_EXPECTED}')
    answers = answers_of(where, entry, header)
    baseline, adapted, proxy = means_of(where, entry)
    before, after = answers.means()
    edit = RecordedEdit(
        text,
        answers.adapted,
        answers.trainings or _times(header),
        baseline if baseline is not None else before,
        adapted if adapted is not None else after,
        (before, after),
        proxy,
    )
    return edit, answers


def _times(header: dict[str, Any]) -> int:
    times = header.get("eval_times")
    return times if isinstance(times, int) and times > 0 else 1


def _layout(
    articles: Sequence[RecordedArticle], entries: Sequence[dict[str, Any]], header: dict[str, Any]
) -> Layout:
    edits = [edit for article in articles for edit in article.edits]
    if not any(e.adapted is not None or e.proxy is not None for e in edits) and not any(
        article.adapted is not None for article in articles
    ):
        pairs = all({"prompt", "completion"} <= entry.keys() for entry in entries)
        return "kept" if pairs else "unscored"
    measured = any(edit.answers or edit.adapted or edit.baseline for edit in edits)
    proxy = any(edit.proxy for edit in edits)
    if header.get("reward_mode") == "proxy" or (proxy and not measured):
        return "proxy"
    return "single-passage"


def _without_accuracies(article: RecordedArticle) -> RecordedArticle:
    edits = tuple(
        replace(edit, answers={}, baseline=None, adapted=None, recomputed=(None, None))
        for edit in article.edits
    )
    return replace(article, edits=edits, baseline=None, adapted=None)


# -- continued pretraining -------------------------------------------------------------------------


def _pretraining(path: Path, digest: str, data: dict[str, Any], header: dict[str, Any]) -> RecordedRun:
    """One training on everything: one article of all, one self-edit without a text of its own."""
    reply = first(data, ("server_reply", "per_question"))
    correct = reply.get("adapter_correct") if isinstance(reply, dict) else None
    if not isinstance(correct, list):
        raise InputError(f"{path} holds {_found(data)}; {_EXPECTED}")
    before = _listed(path, reply, "baseline_correct")
    texts = first(reply, BASELINE_TEXTS)
    if isinstance(texts, list) and not any(texts):
        before = []  # the baseline was left out: its answers are empty, its accuracy a zero
    stats = first(data, ("overall", "metrics"))
    baseline, adapted, _ = means_of(str(path), {"stats": stats})
    answers = graded(str(path), correct, _listed(path, reply, "adapter_texts"))
    after = sum(answer.correct for answer in answers) / len(answers) if answers else None
    start = sum(map(bool, before)) / len(before) if before else None
    edit = RecordedEdit(
        "",
        {0: answers} if answers else {},
        1,
        (baseline if baseline is not None else start) if before else None,
        adapted if adapted is not None else after,
        (start, after),
    )
    number = header.get("n_articles")
    count = number if isinstance(number, int) else len(data.get("per_article") or ())
    task = Task(stable_hash(["continued-pretraining", digest]), f"{count} articles", "")
    article = RecordedArticle(task, "", (edit,))
    return RecordedRun(path, digest, "continued-pretraining", (article,), header, count)


def _listed(path: Path, reply: Mapping[str, Any], name: str) -> list[Any]:
    """A list of the reply, empty where there is none. Raises InputError for anything else."""
    value = reply.get(name) or []
    if not isinstance(value, list):
        raise InputError(f'{path}: "{name}" is no list; {_EXPECTED}')
    return value
