"""Stored evaluations by name, and what is known of their policies: rounds of RL, contexts seen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from selfedit.domains.arc.domain import puzzle
from selfedit.errors import InputError
from selfedit.evaluation.evaluate import Evaluation
from selfedit.loops.rounds import stored_contexts
from selfedit.report.runs import find_run, rounds_of, state
from selfedit.store import Store
from selfedit.types import Task

_NAMED_TASKS = 8
_NAMED = re.compile(r"(?:(?P<label>[^=@]*)(?:@(?P<rounds>\d{1,3}))?=)?(?P<run>[^=]+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Source:
    """A stored evaluation. label, rounds: what the user calls it, and the rounds of RL of its policy.

    tasks: hash of contexts and questions; resamples: of its bootstrap.
    """

    run: int
    evaluation: Evaluation
    tasks: str
    strategy: str
    resamples: int
    label: str = ""
    rounds: int | None = None


def read_sources(store: Store, names: Sequence[str]) -> list[Source]:
    """Stored evaluations by RUN, LABEL=RUN or LABEL@ROUNDS=RUN. Raises InputError, StoreError."""
    sources = []
    for name in names:
        parts = _NAMED.fullmatch(name)
        if parts is None:
            raise InputError(f"{name}: name a run as RUN, LABEL=RUN or LABEL@ROUNDS=RUN.")
        run = find_run(store, parts["run"].strip(), "eval")
        if run.kind == "eval-arc":
            raise InputError(
                f"run {run.id} is of `selfedit eval arc`, whose rows are tasks, not questions; "
                f"its own report compares its conditions: selfedit report {run.id}."
            )
        if run.kind != "eval":
            raise InputError(f"run {run.id} is of kind {run.kind}; name runs of `selfedit eval`.")
        if run.result is None:
            raise InputError(f"run {run.id} has no result ({state(run)}); run it again, it goes on.")
        sources.append(
            Source(
                run.id,
                Evaluation.of(run.result),
                str(run.inputs.get("tasks")),
                run.settings["inner"]["knowledge"]["strategy"],
                run.settings["resamples"],
                (parts["label"] or "").strip(),
                None if parts["rounds"] is None else int(parts["rounds"]),
            )
        )
    return sources


def policy_rounds(store: Store) -> dict[str, int]:
    """How many rounds of RL each policy of the library's `train` runs has had, by `policy_name`."""
    found: dict[str, int] = {}
    for run in reversed(store.runs(None)):
        if run.kind == "train":
            before = found.get(policy_name(run.model), 0)  # it may have begun with a policy
            for record in rounds_of(store, run):
                if record.changed:
                    found.setdefault(policy_name(record.policy), before + record.number)
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
                Task(context.id, context.title, context.passage)
                for record in records[: made[0].number]
                for context in stored_contexts(store, str(run.inputs["key"]), record)
            ]
            return seen + (trained_on(store, run.model) or [])
    return None


def refuse_puzzles(trained: Sequence[Task], evaluated: Sequence[Task]) -> None:
    """Raises InputError if a task of ARC is in both, by its demonstrations."""
    seen = {puzzle(task) for task in trained}
    shared = [task.id for task in evaluated if puzzle(task) in seen]
    if shared:
        more = " ..." if len(shared) > _NAMED_TASKS else ""
        raise InputError(
            f"the policy was trained on {len(shared)} of these {len(evaluated)} tasks: "
            f"{', '.join(shared[:_NAMED_TASKS])}{more}; what is trained on cannot be held out. Choose "
            "others with --ids, --split or --tasks."
        )


def policy_name(folder: str) -> str:
    """A policy's name wherever its library was when it was named: policies/KEY/round-N."""
    parts = Path(folder).parts
    is_policy = len(parts) > 1 and re.fullmatch(r"round-\d+", parts[-1])
    return "/".join(parts[-2:]) if is_policy else folder
