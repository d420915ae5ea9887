"""Finished rounds of the outer loop, as the store keeps them: the numbers, and what each context saw.

A round's record is in the store's cache under the run's key and its number, with one entry for each
context, which has the edits that the policy wrote and their rewards. The contexts are written and
read some at a time; the record comes last, and makes the round a finished one.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from selfedit.config import stable_hash
from selfedit.seams import Model, Update
from selfedit.store import Store
from selfedit.types import Candidate, Group, Query, SelfEdit, Task

_CONTEXTS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """A finished round. policy: name or folder of the model that it ends with, which is the one
    that it began with if no edit was selected.

    baseline, mean_reward, best_reward: without an edit, of a context's mean edit, and of its best;
    means over the num_rewarded contexts that have an edit with a reward. Where there is none, baseline
    is that of all. None: not measured. In rounds of earlier versions baseline is that of all contexts,
    mean_reward the mean over edits, and num_rewarded 0.
    num_trials, num_invalid: trials made for the reward. num_edits: edits that the policy wrote, trained
    or not; 0 in rounds of earlier versions, which did not count. failed_edits: of the right form, but
    over the step limit or with a loss that was not finite. metrics: numbers of what the policy wrote
    (`loops.writing`) and of its update; none in rounds of earlier versions. stopped: why no round
    follows, or "".
    """

    number: int
    policy: str
    changed: bool
    num_tasks: int
    num_trials: int
    num_invalid: int
    baseline: float | None
    mean_reward: float | None
    best_reward: float | None
    selected: tuple[str, ...]
    losses: tuple[float, ...]
    seconds: float
    note: str = ""
    num_edits: int = 0
    invalid_edits: int = 0
    failed_edits: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    stopped: str = ""
    num_rewarded: int = 0

    @property
    def of_reader(self) -> bool:
        """Whether it trained a reader, whose self-edits are not tested by themselves."""
        return "documents" in self.metrics


def round_record(
    number: int,
    policy: Model,
    baselines: Sequence[float],
    groups: Sequence[Group],
    update: Update,
    seconds: float,
    stopped: str = "",
) -> RoundRecord:
    """The numbers of a round that has just ended. baselines: of its contexts with questions."""
    statuses: Counter[str] = Counter()
    trials = num_invalid = 0
    reason, before, mean, best = "", array("d"), array("d"), array("d")
    for group in groups:
        for one in group.candidates:
            statuses[one.status] += 1
            trials += len(one.trials)
            if one.status == "invalid":
                num_invalid += len(one.trials) or 1
                reason = reason or one.reason
        known = [one.reward for one in group.candidates if one.reward is not None]
        if known:
            mean.append(math.fsum(known) / len(known))
            best.append(max(known))
            before.extend([] if group.baseline is None else [group.baseline])
    edits = statuses.total()
    trials = trials or edits  # if nothing was trained, an edit's rating counts as its trial
    note = update.note
    if update.policy is None:
        note = note or "no edit was selected, so the policy stays as it was"
        if edits and statuses["invalid"] == edits:
            note = f"every edit was invalid ({reason}), so the policy stays as it was"
    return RoundRecord(
        number=number,
        policy=policy.name if update.policy is None else str(update.policy),
        changed=update.policy is not None,
        num_tasks=len(groups),
        num_trials=trials,
        num_invalid=num_invalid,
        baseline=_mean(before or baselines),
        mean_reward=_mean(mean),
        best_reward=_mean(best),
        selected=tuple(edit.text for edit in update.learned),
        losses=update.losses,
        seconds=seconds,
        note=note,
        num_edits=edits,
        invalid_edits=statuses["invalid"],
        failed_edits=statuses["failed"],
        metrics={name: value for name, value in update.metrics.items() if math.isfinite(value)},
        stopped=stopped,
        num_rewarded=len(mean),
    )


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def round_key(run_key: str, number: int) -> str:
    return stable_hash([run_key, number])


def _context_key(run_key: str, number: int, place: int) -> str:
    return stable_hash([run_key, number, "context", place])


def put_round(
    store: Store,
    run_key: str,
    record: RoundRecord,
    groups: Sequence[Group],
    selected: Sequence[SelfEdit],
) -> None:
    """Store a finished round: its contexts first, so that none is missing once its record is there."""
    left = Counter(selected)
    for start in range(0, len(groups), _CONTEXTS_AT_ONCE):
        part = enumerate(groups[start : start + _CONTEXTS_AT_ONCE], start)
        contexts = {
            _context_key(run_key, record.number, place): context_values(_with_kept(group, left))
            for place, group in part
        }
        store.put_cached("round", contexts)
    store.put_cached("round", {round_key(run_key, record.number): asdict(record)})


def _with_kept(group: Group, left: Counter[SelfEdit]) -> Group:
    """left: the selected edits that were not met yet. Of equal ones the first counts, as in
    `groups.best_of`."""
    kept = []
    for place, candidate in enumerate(group.candidates):
        if left[candidate.edit] > 0:
            left[candidate.edit] -= 1
            kept.append(place)
        elif candidate.credits and _is_part(candidate.edit, left):
            kept.append(place)
    return replace(group, kept=tuple(kept))


def _is_part(edit: SelfEdit, left: Counter[SelfEdit]) -> bool:
    """Whether a statement that was learned from is one of this edit's."""
    own = set(zip(edit.prompts, edit.completions, strict=True))
    return any(
        not own.isdisjoint(zip(made.prompts, made.completions, strict=True))
        for made in left
        if made.task_id == edit.task_id
    )


def context_values(group: Group) -> dict[str, Any]:
    """A context of a round as a JSON value: its passage, its questions with gold answers, the policy's
    accuracy on it without an edit (None: not measured), and the edits that the policy wrote for it."""
    task = group.task
    return {
        "id": task.id,
        "title": task.title,
        "passage": task.context,
        "questions": [[query.question, query.gold] for query in task.queries],
        "baseline": group.baseline,
        "edits": [
            {
                "text": one.edit.text,
                "reward": one.reward,
                "rewards": list(one.rewards),
                "status": one.status,
                "reason": one.reason,
                "selected": place in group.kept,
                "trials": list(one.trials),
                **({"credits": list(one.credits)} if one.credits else {}),
            }
            for place, one in enumerate(group.candidates)
        ],
    }


def stored_rounds(store: Store, run_key: str, rounds: int) -> list[RoundRecord]:
    """The finished rounds of a run, in order, up to the first that is not finished."""
    keys = [round_key(run_key, number) for number in range(1, rounds + 1)]
    known = store.cached(keys)
    records: list[RoundRecord] = []
    for key in keys:
        if key not in known:
            break
        values = known[key]
        lists = {name: tuple(values[name]) for name in ("selected", "losses")}
        records.append(RoundRecord(**{**values, **lists}))
    return records


def stored_groups(store: Store, run_key: str, record: RoundRecord) -> Iterator[Group]:
    """The groups of a finished round, in the order in which they were sampled, with what was kept of
    them. An edit is its text alone, and a question has its gold answer alone."""
    for start in range(0, record.num_tasks, _CONTEXTS_AT_ONCE):
        places = range(start, min(start + _CONTEXTS_AT_ONCE, record.num_tasks))
        keys = [_context_key(run_key, record.number, place) for place in places]
        known = store.cached(keys)
        yield from (_group(known[key]) for key in keys if key in known)


def _group(values: dict[str, Any]) -> Group:
    """See `context_values`."""
    queries = tuple(Query(question, (gold,)) for question, gold in values["questions"])
    task = Task(values["id"], values["title"], values["passage"], queries)
    candidates = tuple(
        Candidate(
            SelfEdit(task.id, place, (), (edit["text"],)),
            tuple(edit["rewards"]),
            edit["status"],
            edit["reason"],
            tuple(edit["trials"]),
            tuple(edit.get("credits", ())),
        )
        for place, edit in enumerate(values["edits"])
    )
    kept = tuple(place for place, edit in enumerate(values["edits"]) if edit["selected"])
    return Group(task, values["baseline"], candidates, kept)
