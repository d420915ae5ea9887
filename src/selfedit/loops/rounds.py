"""Finished rounds of the outer loop, as the store keeps them: the numbers, and what each context saw.

A round's record is in the store's cache under the run's key and its number, with one entry for each
context, which has the edits that the policy wrote and their rewards. The contexts are written and
read some at a time; the record comes last, and makes the round a finished one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from selfedit.config import stable_hash
from selfedit.seams import Model, Update
from selfedit.store import Store
from selfedit.types import CandidateStatus, Group, Proposal, SelfEdit

_CONTEXTS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """A finished round. policy: name or folder of the model that it ends with, which is the one
    that it began with if no edit was selected.

    num_trials, num_invalid: trials made for the reward. num_edits: edits that the policy wrote, trained
    or not; 0 in rounds of earlier versions, which did not count. failed_edits: of the right form, but
    over the step limit or with a loss that was not finite.
    """

    number: int
    policy: str
    changed: bool
    num_tasks: int
    num_trials: int
    num_invalid: int
    baseline: float
    mean_reward: float
    best_reward: float
    selected: tuple[str, ...]
    losses: tuple[float, ...]
    seconds: float
    note: str = ""
    num_edits: int = 0
    invalid_edits: int = 0
    failed_edits: int = 0


def round_record(
    number: int,
    policy: Model,
    proposals: Sequence[Proposal],
    groups: Sequence[Group],
    update: Update,
    seconds: float,
) -> RoundRecord:
    """The numbers of a round that has just ended."""
    candidates = [candidate for group in groups for candidate in group.candidates]
    rewards = [[c.reward for c in group.candidates if c.reward is not None] for group in groups]
    invalid = [candidate for candidate in candidates if candidate.status == "invalid"]
    # If nothing was trained, an edit's rating counts as its trial.
    trials = sum(len(candidate.trials) for candidate in candidates) or len(candidates)
    num_invalid = sum(len(candidate.trials) or 1 for candidate in invalid)
    note = ""
    if update.policy is None:
        note = "no edit was selected, so the policy stays as it was"
        if invalid and num_invalid == trials:
            note = f"every edit was invalid ({invalid[0].reason}), so the policy stays as it was"
    return RoundRecord(
        number=number,
        policy=policy.name if update.policy is None else str(update.policy),
        changed=update.policy is not None,
        num_tasks=len(groups),
        num_trials=trials,
        num_invalid=num_invalid,
        baseline=_mean([own.baseline for own in proposals if own.baseline is not None]),
        mean_reward=_mean([reward for own in rewards for reward in own]),
        best_reward=_mean([max(own) for own in rewards if own]),
        selected=tuple(edit.text for edit in update.learned),
        losses=update.losses,
        seconds=seconds,
        note=note,
        num_edits=len(candidates),
        invalid_edits=len(invalid),
        failed_edits=sum(candidate.status == "failed" for candidate in candidates),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


@dataclass(frozen=True, slots=True)
class RoundEdit:
    """A self-edit of a round. reward: mean over the seeds, in [0, 1]; None: it has none.

    status: "scored", "invalid", "failed", or "unscored" (a cascade did not train on it).
    trials: keys of its trials, one per seed; empty if nothing was trained.
    """

    text: str
    reward: float | None
    rewards: tuple[float | None, ...]
    status: CandidateStatus
    reason: str
    selected: bool
    trials: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RoundContext:
    """A context of a round: its passage, its questions with gold answers, the policy's accuracy on
    it without an edit (None: not measured), and the edits that the policy wrote for it."""

    id: str
    title: str
    passage: str
    questions: tuple[tuple[str, str], ...]
    baseline: float | None
    edits: tuple[RoundEdit, ...]


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
            _context_key(run_key, record.number, place): asdict(_context(group, left))
            for place, group in part
        }
        store.put_cached("round", contexts)
    store.put_cached("round", {round_key(run_key, record.number): asdict(record)})


def _context(group: Group, left: Counter[SelfEdit]) -> RoundContext:
    """left: the selected edits that were not seen yet. Of equal ones the first counts, as in
    `groups.best_of`."""
    edits = []
    for candidate in group.candidates:
        selected = left[candidate.edit] > 0
        left[candidate.edit] -= selected
        edits.append(
            RoundEdit(
                candidate.edit.text,
                candidate.reward,
                candidate.rewards,
                candidate.status,
                candidate.reason,
                selected,
                candidate.trials,
            )
        )
    task = group.task
    questions = tuple((query.question, query.gold) for query in task.queries)
    return RoundContext(task.id, task.title, task.context, questions, group.baseline, tuple(edits))


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


def stored_contexts(store: Store, run_key: str, record: RoundRecord) -> Iterator[RoundContext]:
    """The contexts of a finished round, in the order in which they were sampled."""
    for start in range(0, record.num_tasks, _CONTEXTS_AT_ONCE):
        places = range(start, min(start + _CONTEXTS_AT_ONCE, record.num_tasks))
        keys = [_context_key(run_key, record.number, place) for place in places]
        known = store.cached(keys)
        yield from (_read_context(known[key]) for key in keys if key in known)


def _read_context(values: dict[str, Any]) -> RoundContext:
    edits = tuple(
        RoundEdit(**{**edit, "rewards": tuple(edit["rewards"]), "trials": tuple(edit["trials"])})
        for edit in values["edits"]
    )
    questions = tuple((question, gold) for question, gold in values["questions"])
    return RoundContext(**{**values, "questions": questions, "edits": edits})
