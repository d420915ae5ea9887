"""What is known about the policies that a library trained: their rounds, and the tasks they saw."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from selfedit.domains.evaluable import Evaluable
from selfedit.errors import InputError
from selfedit.loops.rounds import RoundRecord, stored_groups, stored_rounds
from selfedit.store import RunRecord, Store
from selfedit.types import Task

_NAMED_TASKS = 8


def rounds_of(store: Store, run: RunRecord) -> list[RoundRecord]:
    """The finished rounds of a `train` run, whichever call of the command finished them."""
    key, rounds = run.inputs.get("key"), run.settings.get("rounds")
    if not isinstance(key, str) or not isinstance(rounds, int):
        return []
    return stored_rounds(store, key, rounds)


def policy_rounds(store: Store) -> dict[str, int]:
    """How many rounds of RL each policy of the library's `train` runs has had, by `policy_name`; a
    reader's round is none."""
    found: dict[str, int] = {}
    for run in reversed(store.runs(None)):
        if run.kind == "train":
            before = found.get(policy_name(run.model), 0)  # it may have begun with a policy
            for record in rounds_of(store, run):
                if record.changed:
                    number = 0 if record.of_reader else record.number
                    found.setdefault(policy_name(record.policy), before + number)
    return found


def trained_on(store: Store, policy: str) -> list[Task] | None:
    """The contexts that a policy of the library's own `train` runs has seen, those of the policies that
    it began with, too; None for a policy that the library does not know."""
    wanted = policy_name(policy)
    for run in store.runs(None):
        records = rounds_of(store, run) if run.kind == "train" else []
        made = [r for r in records if r.changed and policy_name(r.policy) == wanted]
        if made:
            seen = [
                group.task
                for record in records[: made[0].number]
                for group in stored_groups(store, str(run.inputs["key"]), record)
            ]
            return seen + (trained_on(store, run.model) or [])
    return None


def refuse_overlap(domain: Evaluable, trained: Sequence[Task], evaluated: Sequence[Task]) -> None:
    """Raises InputError if a task is in both, as the domain tells tasks apart."""
    seen = {domain.identity(task) for task in trained}
    shared = [task for task in evaluated if domain.identity(task) in seen]
    if shared:
        names = ", ".join(map(domain.label, shared[:_NAMED_TASKS]))
        more = " ..." if len(shared) > _NAMED_TASKS else ""
        raise InputError(
            f"the policy was trained on {len(shared)} of these {len(evaluated)} {domain.noun}s: {names}"
            f"{more}; what is in both the training and the evaluation data is not held out. Choose "
            "others."
        )


def policy_name(folder: str) -> str:
    """A policy's name wherever its library was when it was named: policies/KEY/round-N."""
    parts = Path(folder).parts
    is_policy = len(parts) > 1 and re.fullmatch(r"round-\d+", parts[-1])
    return "/".join(parts[-2:]) if is_policy else folder
