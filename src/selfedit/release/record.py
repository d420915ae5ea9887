"""Recorded runs into the store, as trials under a run of kind "import".

One trial for each self-edit and training. Its score comes from its graded answers; if none are
recorded it has no score, and the recorded mean is in its reason and in the run's result. The key of a
trial is a hash of the file's content and its place in it: importing twice adds nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from selfedit.algorithms.rest_em import select
from selfedit.config import stable_hash
from selfedit.home import STORE, expanded, library_folder, shared_store
from selfedit.loops.groups import best_of
from selfedit.release.run import Layout, RecordedArticle, RecordedEdit, RecordedRun, read_release
from selfedit.release.scores import DIGITS, accuracy
from selfedit.store import Store
from selfedit.types import Candidate, Group, Prompt, Score, SelfEdit, Trial

_SAME = 0.5 * 10**-DIGITS + 1e-9  # two roundings of one number differ by no more


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What a file holds. Accuracies are rounded to 4 digits, as the release prints them.

    num_new: trials that the store did not hold before. selected: the self-edits that the paper's rule
    keeps, in the order of the articles. proxy_score: mean of the rubric, where that was the reward.
    notes: what a reader should know, such as recorded numbers that do not follow from the answers.
    """

    num_tasks: int
    num_trials: int
    baseline_accuracy: float | None
    adapted_accuracy: float | None
    selected: tuple[str, ...]
    proxy_score: float | None
    layout: Layout
    num_new: int
    run_id: int
    notes: tuple[str, ...]


def import_release(path: Path | str, library: Path | str | None = None) -> ImportResult:
    """Read a recorded run and store its trials in a library (default: the user's own), or in the store
    that $SELFEDIT_STORE names.

    Raises InputError for any other file, and then touches no library.
    """
    run = read_release(path)
    kept = _kept(run)
    trials = list(_trials(run))
    baseline, adapted, said = run_mean(run, "baseline"), run_mean(run, "adapted"), tuple(notes(run))
    folder = expanded(library) if library is not None else library_folder()
    with Store(shared_store() or folder / STORE) as store:
        run_id = _run_id(store, run)
        new = len(trials) - len(store.trials(trial.key for trial in trials))
        store.put_trials(run_id, trials)
        result = ImportResult(
            num_tasks=run.num_tasks,
            num_trials=len(trials),
            baseline_accuracy=_rounded(baseline),
            adapted_accuracy=_rounded(adapted),
            selected=tuple(edit.text.strip() for edit in kept),
            proxy_score=_rounded(_mean([e.proxy for e in _edits(run)])) if _by_proxy(run) else None,
            layout=run.layout,
            num_new=new,
            run_id=run_id,
            notes=said,
        )
        store.finish_run(run_id, "finished", {**asdict(result), "edits": _edit_records(run, kept)})
    return result


def article_mean(article: RecordedArticle, which: str) -> float | None:
    """ "baseline" or "adapted" accuracy: mean over the self-edits; if none has one, the recorded
    value."""
    mean = _mean([getattr(edit, which) for edit in article.edits])
    recorded: float | None = getattr(article, which)
    return mean if mean is not None else recorded


def run_mean(run: RecordedRun, which: str) -> float | None:
    """Mean over the articles; if none has an accuracy, what the file records for the whole run."""
    mean = _mean([article_mean(article, which) for article in run.articles])
    return mean if mean is not None or run.layout == "proxy" else _overall(run, which)


def notes(run: RecordedRun) -> Iterator[str]:
    """What a reader should know: what is missing, and what does not follow from the answers."""
    edits = _edits(run)
    measured, pretrained = run.layout == "single-passage", run.layout == "continued-pretraining"
    if run.layout == "proxy":
        yield "the reward was a proxy score: no self-edit was trained, there are no accuracies"
    elif run.layout in ("kept", "unscored"):
        yield "no scores are recorded with these self-edits"
    without = sum(edit.adapted is not None and not edit.answers for edit in edits)
    if without:
        yield f"no answers are recorded for {without} of {len(edits)} self-edits; their means are used"
    unscored = sum(edit.adapted is None for edit in edits)
    if unscored and measured:
        yield f"{unscored} self-edits have no accuracy and count in no mean"
    blank = sum(not edit.text.strip() for edit in edits)
    if blank and not pretrained:
        yield f"{blank} self-edits are empty (training was on the passage alone) and never selected"
    tasks = {article.task.id for article in run.articles}
    if len(tasks) < len(run.articles):
        yield f"{len(run.articles)} articles have {len(tasks)} different contexts"
    yield from _differences(run)


def _differences(run: RecordedRun) -> Iterator[str]:
    for which, place in (("baseline", 0), ("adapted", 1)):
        differ = sum(_apart(getattr(edit, which), edit.recomputed[place]) for edit in _edits(run))
        if differ:
            yield (
                f"the recorded {which} accuracy of {differ} self-edits does not follow from their "
                "answers; the recorded one is used"
            )
        mean, recorded = run_mean(run, which), _overall(run, which)
        articles = sum(
            _apart(getattr(article, which), article_mean(article, which)) for article in run.articles
        )
        if articles:
            yield (
                f"the recorded {which} accuracy of {articles} articles is not the mean of their "
                "self-edits; that mean is used"
            )
        if run.layout != "proxy" and _apart(mean, recorded):
            yield (f"the file says {which} accuracy {recorded:.4f}; its articles' mean is {mean:.4f}")
    if tied := [n for n, article in enumerate(run.articles, 1) if _by_rounding(article)]:
        yield (
            f"in {len(tied)} articles (number {', '.join(map(str, tied))}) the selected self-edit ties "
            "with an earlier one; rounding the accuracy of each training to 4 digits, as the release "
            "did, decides for it"
        )


def _apart(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and abs(one - other) > _SAME


def _by_rounding(article: RecordedArticle) -> bool:
    """Whether unrounded accuracies would choose another self-edit."""
    exact = []
    for edit in article.edits:
        rates = [Score(answers).value for answers in edit.answers.values()]
        exact.append(round(statistics.fmean(rates), 12) if rates else None)
    recorded = [edit.adapted for edit in article.edits]
    return None not in exact and bool(exact) and best_of(exact) != best_of(recorded)


def _overall(run: RecordedRun, which: str) -> float | None:
    name = {"baseline": "baseline_mean_accuracy", "adapted": "adapter_mean_accuracy"}[which]
    overall = run.header.get("overall")
    return accuracy(str(run.path), name, overall.get(name)) if isinstance(overall, dict) else None


def _kept(run: RecordedRun) -> list[RecordedEdit]:
    """What the paper's rule keeps, as in the release: by the recorded means, never an empty text."""
    if run.layout == "kept":
        return _edits(run)
    groups = [
        Group(
            article.task,
            None,
            tuple(
                # One reward, the recorded mean: another mean of the same answers may tie differently.
                Candidate(_self_edit(article, j), (_reward(run, edit),))
                for j, edit in enumerate(article.edits)
            ),
        )
        for article in run.articles
    ]
    chosen = [
        article.edits[place]
        for article, group in zip(run.articles, select(groups, "best"), strict=True)
        for place in group.kept
    ]
    return [edit for edit in chosen if edit.text.strip()]


def _reward(run: RecordedRun, edit: RecordedEdit) -> float | None:
    return edit.proxy if _by_proxy(run) else edit.adapted


def _by_proxy(run: RecordedRun) -> bool:
    return run.layout == "proxy"


def _trials(run: RecordedRun) -> Iterator[Trial]:
    for i, article in enumerate(run.articles):
        for j, edit in enumerate(article.edits):
            for rep in list(edit.answers) or range(edit.trainings):
                answers = edit.answers.get(rep)
                yield Trial(
                    key=stable_hash(["import", run.digest, i, j, rep, edit.text]),
                    task_id=article.task.id,
                    edit=_self_edit(article, j),
                    seed=rep,
                    status="scored",
                    reason="" if answers else _why_no_score(edit),
                    score=Score(answers) if answers else None,
                )


def _why_no_score(edit: RecordedEdit) -> str:
    if edit.proxy is not None and edit.adapted is None:
        return f"not trained: the recorded reward is a proxy score, {edit.proxy:.4f}"
    if edit.adapted is None:
        return "no score is recorded"
    return f"no answers are recorded; mean accuracy of {edit.trainings} trainings: {edit.adapted:.4f}"


def _self_edit(article: RecordedArticle, index: int) -> SelfEdit:
    prompts = (Prompt(article.prompt),) if article.prompt else ()
    return SelfEdit(article.task.id, index, prompts, (article.edits[index].text,))


def _edit_records(run: RecordedRun, kept: Sequence[RecordedEdit]) -> list[dict[str, Any]]:
    """Every self-edit's means, for comparisons with them; the texts are in the trials."""
    chosen = {id(edit) for edit in kept}
    return [
        {
            "task_id": article.task.id,
            "title": article.task.title,
            "index": j,
            "baseline": edit.baseline,
            "adapted": edit.adapted,
            "proxy": edit.proxy,
            "selected": id(edit) in chosen,
        }
        for article in run.articles
        for j, edit in enumerate(article.edits)
    ]


def _run_id(store: Store, run: RecordedRun) -> int:
    """The run of an earlier import of this content, finished or not, or a new one."""
    for known in store.runs(limit=None):
        if known.kind == "import" and known.inputs.get("digest") == run.digest:
            return known.id
    return store.start_run(
        "import",
        str(run.header.get("model") or run.header.get("exp_name") or "recorded"),
        "",
        run.header,
        {"file": str(run.path), "digest": run.digest, "layout": run.layout},
    )


def _edits(run: RecordedRun) -> list[RecordedEdit]:
    return [edit for article in run.articles for edit in article.edits]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.mean(known) if known else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)
