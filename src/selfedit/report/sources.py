"""Stored evaluations by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from selfedit.domains.evaluable import Evaluable
from selfedit.domains.rows import Evaluation
from selfedit.domains.stored import domain_of, kind_of
from selfedit.errors import InputError
from selfedit.report.runs import find_run, state
from selfedit.store import Store

_NAMED = re.compile(r"(?:(?P<label>[^=@]*)(?:@(?P<rounds>\d{1,3}))?=)?(?P<run>[^=]+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Source:
    """A stored evaluation. label, rounds: the user's name for it, and the rounds of RL of its policy.

    tasks: hash of contexts and questions; domain: with its settings; resamples: of the bootstrap.
    """

    run: int
    evaluation: Evaluation
    tasks: str
    domain: Evaluable
    resamples: int
    label: str = ""
    rounds: int | None = None

    @property
    def strategy(self) -> str:
        return self.domain.variant


def read_sources(store: Store, names: Sequence[str]) -> list[Source]:
    """Stored evaluations by RUN, LABEL=RUN or LABEL@ROUNDS=RUN. Raises InputError, StoreError."""
    sources = []
    for name in names:
        parts = _NAMED.fullmatch(name)
        if parts is None:
            raise InputError(f"{name}: name a run as RUN, LABEL=RUN or LABEL@ROUNDS=RUN.")
        run = find_run(store, parts["run"].strip(), "eval")
        if kind_of(run) != "eval":
            raise InputError(f"run {run.id} is of kind {run.kind}; name runs of `selfedit eval`.")
        if run.result is None:
            raise InputError(f"run {run.id} has no result ({state(run)}); run it again, it goes on.")
        sources.append(
            Source(
                run.id,
                Evaluation.of(run.result),
                str(run.inputs.get("tasks")),
                domain_of(run),
                run.settings["resamples"],
                (parts["label"] or "").strip(),
                None if parts["rounds"] is None else int(parts["rounds"]),
            )
        )
    names = list(dict.fromkeys(source.domain.name for source in sources))
    if len(names) > 1:
        raise InputError(
            f"the runs are of different domains: {', '.join(names)}; compare one at a time."
        )
    return sources
