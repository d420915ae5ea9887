"""The outer loop: a policy that learns to write better self-edits (arXiv 2506.10943, section 3).

Sample tasks, propose edits for each from the current policy, score each edit by seeded inner loops,
improve the policy, commit the round. Edits and rewards always come from the policy of their round:
the reward of an edit depends on the weights that are trained on it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from selfedit.config import OuterSettings, stable_hash
from selfedit.errors import InputError
from selfedit.loops.rewards import Reward, Scored
from selfedit.loops.rounds import RoundRecord, put_round, stored_rounds
from selfedit.loops.runs import recorded_run
from selfedit.loops.sampler import Writer
from selfedit.progress import Noted, Progress, Silent
from selfedit.seams import Domain, Model
from selfedit.store import Store
from selfedit.types import Group, Proposal, SelfEdit, Task


class Algorithm(Protocol):
    """Scored trials -> an improved policy."""

    def improve(
        self, model: Model, groups: Sequence[Group], folder: Path, progress: Progress
    ) -> tuple[list[SelfEdit], list[float]]:
        """Writes the next policy to `folder`, unless no edit deserves it. Returns the edits that it
        learned from (none: the policy stays) and the losses of its training."""
        ...


class OuterRun:
    """One run, known by its model, settings and tasks: started again, it goes on where it was."""

    def __init__(
        self,
        model: Model,
        load: Callable[[str], Model],
        domain: Domain,
        algorithm: Algorithm,
        reward: Reward,
        tasks: Sequence[Task],
        store: Store,
        folder: Path,
        settings: OuterSettings,
        progress: Progress | None = None,
        on_round: Callable[[RoundRecord], None] = lambda record: None,
    ) -> None:
        if not tasks:
            raise InputError("there are no contexts to train on")
        if not any(task.queries for task in tasks):
            raise InputError("none of the contexts has a question, so no edit can be rewarded")
        self.model, self.load, self.domain, self.algorithm = model, load, domain, algorithm
        self.reward, self.store, self.settings = reward, store, settings
        self.progress, self.on_round = progress or Silent(), on_round
        self.key = stable_hash(
            [
                model.identity,
                settings.digest(),
                domain.digest(),
                reward.digest(),
                [[t.id, _questions(t)] for t in tasks],
            ]
        )
        self.folder = folder / self.key[:12]
        order = list(tasks)
        random.Random(settings.seed).shuffle(order)
        self.tasks, self.run_id = order, 0

    def run(self) -> list[RoundRecord]:
        """All rounds; those that are finished are read, not repeated. Raises SelfEditError."""
        inputs = {"key": self.key, "tasks": len(self.tasks)}
        with (
            self._alone(),
            recorded_run(self.store, "train", self.model, self.settings, inputs) as run,
        ):
            self.run_id = run.id
            records = self._rounds()
            run.result = {"policy": records[-1].policy, "rounds": len(records)}
        return records

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two processes would write one policy. Raises InputError while another is at work."""
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder.with_suffix(".lock"), timeout=0):
                yield
        except Timeout:
            raise InputError(
                "another process is at work on this run; wait for it, or stop it and start again"
            ) from None

    def _rounds(self) -> list[RoundRecord]:
        records = self.finished()
        policy = self.load(records[-1].policy) if records and records[-1].changed else self.model
        for number in self.rounds_left(records):
            start = time.perf_counter()
            progress = Noted(self.progress, f"round {number} of {self.settings.rounds}")
            proposals = self.propose(policy, self.sample(number))
            scored = self.reward.score(policy, proposals, self.run_id, progress)
            target = self.folder / f"round-{number}"
            edits, losses = self.algorithm.improve(policy, scored.groups, target, progress)
            record = _record(number, policy, target, proposals, scored, edits, losses, start)
            self.commit(record, scored.groups, edits)
            records.append(record)
            if record.changed:
                policy = self.load(record.policy)
        return records

    def finished(self) -> list[RoundRecord]:
        """The rounds that are done, up to the first one whose policy is no longer there."""
        records = stored_rounds(self.store, self.key, self.settings.rounds)
        for record in records:
            if record.changed and not Path(record.policy).is_dir():
                raise InputError(
                    f"the policy of round {record.number} is gone from {record.policy}; put it back, "
                    "or use another --library to start afresh."
                )
        return records

    def rounds_left(self, records: Sequence[RoundRecord]) -> Iterator[int]:
        yield from range(len(records) + 1, self.settings.rounds + 1)

    def sample(self, number: int) -> list[Task]:
        """The round's tasks: the next ones in a seeded order, from the start again when it ends."""
        count = min(self.settings.contexts, len(self.tasks))
        first = (number - 1) * count
        return [self.tasks[i % len(self.tasks)] for i in range(first, first + count)]

    def propose(self, policy: Model, tasks: Sequence[Task]) -> list[Proposal]:
        """The policy's accuracy on each task as it is, and the edits that it writes."""
        writer = Writer(policy, self.store, self.progress)
        queries = [self.domain.queries(task) for task in tasks]
        asked = [prompt for own in queries for prompt in own]
        answers = iter(writer.answer(asked, "asking the policy without an edit"))
        baselines = [
            self.domain.score(task, [next(answers) for _ in own])
            for task, own in zip(tasks, queries, strict=True)
        ]
        edits = writer.propose(self.domain, tasks, self.settings.inner)
        return [
            Proposal(task, score.value if score.answers else None, tuple(own))
            for task, score, own in zip(tasks, baselines, edits, strict=True)
        ]

    def commit(
        self, record: RoundRecord, groups: Sequence[Group], selected: Sequence[SelfEdit]
    ) -> None:
        """From here on the round is finished: its policy is on disk, and now its record is, too."""
        put_round(self.store, self.key, record, groups, selected)
        self.on_round(record)


def _record(
    number: int,
    policy: Model,
    target: Path,
    proposals: Sequence[Proposal],
    scored: Scored,
    edits: Sequence[SelfEdit],
    losses: Sequence[float],
    start: float,
) -> RoundRecord:
    rewards = [[c.reward for c in group.candidates] for group in scored.groups]
    known = [[r for r in own if r is not None] for own in rewards]
    statuses = [c.status for group in scored.groups for c in group.candidates]
    note = ""
    if not edits:
        note = "no edit was selected, so the policy stays as it was"
        if scored.num_trials and scored.num_invalid == scored.num_trials:
            note = f"every edit was invalid ({scored.reason}), so the policy stays as it was"
    return RoundRecord(
        number=number,
        policy=str(target) if edits else policy.name,
        changed=bool(edits),
        num_tasks=len(proposals),
        num_trials=scored.num_trials,
        num_invalid=scored.num_invalid,
        baseline=_mean([own.baseline for own in proposals if own.baseline is not None]),
        mean_reward=_mean([reward for own in known for reward in own]),
        best_reward=_mean([max(own) for own in known if own]),
        selected=tuple(edit.text for edit in edits),
        losses=tuple(losses),
        seconds=time.perf_counter() - start,
        note=note,
        num_edits=len(statuses),
        invalid_edits=statuses.count("invalid"),
        failed_edits=statuses.count("failed"),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _questions(task: Task) -> list[list[object]]:
    return [[query.question, list(query.answers), query.topic] for query in task.queries]
