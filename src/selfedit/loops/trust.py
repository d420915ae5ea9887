"""How far rewards like a run's can be trusted, by what earlier runs of the store have measured."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from selfedit.config import OuterSettings
from selfedit.grading.reliability import ENOUGH, Reliability, Rewards, reliability
from selfedit.loops.rounds import stored_groups, stored_rounds
from selfedit.store import RunRecord, Store
from selfedit.types import Group

# Of the inner loop: what changes how many rewards there are, and not what each of them is.
_COUNTS = ("candidates", "seeds", "seed")


def rewards_of(groups: Iterable[Group]) -> list[Rewards]:
    """Of each context: [edit][seed]. Edits that say the same have the same trials, and are one: as
    several they would look like edits that do not differ."""
    return [
        [list(one.rewards) for place, one in enumerate(group.candidates) if _is_first(group, place)]
        for group in groups
    ]


def _is_first(group: Group, place: int) -> bool:
    trials = group.candidates[place].trials
    return not trials or all(one.trials != trials for one in group.candidates[:place])


def measured(groups: Sequence[Group]) -> dict[str, float]:
    """The reliability of a round's rewards, as one of its numbers; none where it is not known."""
    found = reliability(rewards_of(groups), resamples=1)
    return {"reliability": found.mean} if found.is_known else {}


def earlier(
    store: Store, model: str, domain: str, settings: OuterSettings, questions: str = "given"
) -> Reliability:
    """Of the rewards that earlier runs with this model, domain (its name), inner loop, reward and kind
    of questions have stored: of finished rounds, and of the trials of runs that have none yet."""
    by_key: defaultdict[str, list[RunRecord]] = defaultdict(list)
    for run in store.runs(None):
        asked = run.inputs.get("questions", "given")
        if (run.kind, run.model, asked) == ("train", model, questions) and _same(run, domain, settings):
            by_key[str(run.inputs.get("key"))].append(run)
    contexts = [edits for key, runs in by_key.items() for edits in _of_runs(store, runs, key)]
    # What several runs share, such as two algorithms' first rounds, or two edits, counts once: where it
    # has most seeds.
    seen: set[str] = set()
    found: list[list[list[float | None]]] = [[] for _ in contexts]
    every = [(place, own) for place, edits in enumerate(contexts) for own in edits]
    for place, own in sorted(every, key=lambda one: -len(one[1])):
        if seen.isdisjoint(own):
            found[place].append(list(own.values()))
        seen.update(own)
    return reliability(found)


def _same(run: RunRecord, domain: str, settings: OuterSettings) -> bool:
    """Whether a run's rewards are of the same kind. Runs that do not name their domain are of built-in
    ones, which settings of their own tell apart."""
    if run.inputs.get("domain", domain) != domain:
        return False
    alike = all(run.settings.get(name) == getattr(settings, name) for name in ("reward", "grader"))
    inner = run.settings.get("inner")
    if not alike or not isinstance(inner, dict):
        return False
    # Of a measure, what its kind does not depend on may differ. Runs without one had accuracy.
    measure = {"kind": "accuracy", **inner.get("measure", {})}
    if not settings.inner.measure.identity().items() <= measure.items():
        return False
    wanted = settings.inner.model_dump(mode="json", exclude={"measure"})
    return _covers(inner, wanted, settings.inner.identity())


def _covers(stored: Mapping[str, Any], wanted: Mapping[str, Any], identity: Mapping[str, Any]) -> bool:
    """Whether stored settings are the wanted ones. What they do not have was added since, and must be
    off: not in the identity."""
    for name, value in wanted.items():
        if name in _COUNTS:
            continue
        if name not in stored:
            if name in identity:
                return False
        elif isinstance(value, dict) and isinstance(stored[name], dict):
            part = identity.get(name, {})
            if not _covers(stored[name], value, part if isinstance(part, dict) else {}):
                return False
        elif stored[name] != value:
            return False
    return True


def _of_runs(
    store: Store, runs: Sequence[RunRecord], key: str
) -> Iterator[list[dict[str, float | None]]]:
    """Of each context, the rewards of each edit by the keys of its trials. runs: the calls of one run;
    each is the first to store some of its trials."""
    records = stored_rounds(store, key, int(runs[0].settings.get("rounds") or 0))
    if records:
        for record in records:
            for group in stored_groups(store, key, record):
                yield [dict(zip(own.trials, own.rewards, strict=False)) for own in group.candidates]
        return
    by_task: defaultdict[str, defaultdict[tuple[str, ...], dict[str, float | None]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for run in runs:
        for trial in store.iter_trials(run.id):
            by_task[trial.task_id][trial.edit.completions][trial.key] = trial.reward
    yield from (list(edits.values()) for edits in by_task.values())


def said(found: Reliability, seeds: int) -> str:
    """For the plan of a run: how reliable its rewards will be, and what would help."""
    if not found.is_known:
        more = (
            "it will be measured, and the report says it"
            if seeds > 1
            else "train a few contexts with --seeds 2 first: with one training an edit it stays unknown"
        )
        return f"Rewards: how reliable they are is not known yet; {more}."
    of_plan = found.of(seeds)
    interval = f" [{found.low:.2f}, {found.high:.2f}]" if math.isfinite(found.low + found.high) else ""
    contexts = f"{found.contexts} context{'s' * (found.contexts != 1)}"
    line = (
        f"Rewards: by {found.edits} edits of {contexts} that were trained before, their "
        f"reliability with {seeds} seed{'s' * (seeds != 1)} is about {of_plan:.2f} (the correlation, "
        f"within contexts, with what other seeds would say; measured with {found.seeds:g}: "
        f"{found.mean:.2f}{interval})."
    )
    if of_plan >= ENOUGH:
        return line
    needed = found.seeds_for()
    by_seeds = "" if needed is None else f"--seeds {needed}; "  # else no number of them helps
    return (
        f"{line} Under {ENOUGH:g} this run cannot learn much: most of what its edits differ by is "
        f"chance. What would help: {by_seeds}more questions a context; another reward (docs/rewards.md "
        "has what each is worth); a prompt that leaves the policy more to decide, so that edits differ."
    )
