"""The outer loop: a policy that learns to write better self-edits (arXiv 2506.10943, section 3).

Sample tasks, propose edits for each from the current policy, score each edit by seeded inner loops,
improve the policy, commit the round. Edits and rewards always come from the policy of their round:
the reward of an edit depends on the weights that are trained on it.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import repeat, takewhile
from pathlib import Path

from filelock import FileLock, Timeout

from selfedit.config import OuterSettings, stable_hash
from selfedit.data import drawn
from selfedit.domains.base import BaseDomain
from selfedit.domains.stored import about
from selfedit.errors import InputError
from selfedit.loops.baselines import bare_scores
from selfedit.loops.credit import by_statement, check_credit, credited
from selfedit.loops.measures import Measure
from selfedit.loops.paged import Paged, Rewards
from selfedit.loops.policies import Policies, ref_of
from selfedit.loops.pulse import Watched
from selfedit.loops.rewards import Reward
from selfedit.loops.rounds import RoundRecord, put_round, round_record, stored_rounds
from selfedit.loops.runs import recorded_run
from selfedit.loops.sampler import Writer
from selfedit.loops.trust import measured
from selfedit.loops.writing import collapse, written
from selfedit.progress import Noted, Progress
from selfedit.seams import Algorithm, Model, ReadsLogprobs, TrialRunner, Update
from selfedit.store import Store
from selfedit.types import Group, Proposal, Score, Task


class OuterRun:
    """One run, identified by its model, settings, algorithm and tasks: started again, it goes on where
    it was.

    runner: makes the runner of this run's trials, given its number in the store. folder: where policies
    are written. on_round: called with each finished round. notes: how the tasks were chosen. until: the
    last round of this call; None: all of them. questions: whose they are (`train --questions`). Raises
    InputError for tasks that cannot be trained on.
    """

    def __init__(
        self,
        policies: Policies,
        domain: BaseDomain,
        algorithm: Algorithm,
        reward: Reward,
        runner: Callable[[int], TrialRunner],
        tasks: Sequence[Task],
        store: Store,
        folder: Path,
        settings: OuterSettings,
        progress: Progress | None = None,
        on_round: Callable[[RoundRecord], None] = lambda record: None,
        notes: Sequence[str] = (),
        until: int | None = None,
        questions: str = "given",
    ) -> None:
        if not tasks:
            raise InputError("there are no contexts to train on")
        if not any(task.queries for task in tasks):
            raise InputError("none of the contexts has a question, so no edit can be rewarded")
        if settings.credit == "statement":
            check_credit(domain, tasks[0])  # now, and not after the first round's trainings
        self.policies, self.domain, self.algorithm, self.runner = policies, domain, algorithm, runner
        self.reward, self.store, self.settings = reward, store, settings
        self.progress, self.on_round, self.notes = Watched(progress), on_round, tuple(notes)
        self.questions = questions
        self.until = settings.rounds if until is None else min(until, settings.rounds)
        self.start = ref_of(policies.model)
        # Whether the algorithm reads log-probabilities of what a pattern restricts.
        self.restricted = isinstance(algorithm, ReadsLogprobs) and any(
            prompt.pattern for prompt in domain.prompts(tasks[0])
        )
        self.key, self.tasks = self._drawn(tasks)
        self.folder = folder / self.key[:12]

    def _drawn(self, tasks: Sequence[Task]) -> tuple[str, list[Task]]:
        """The run's key, and the tasks in the order in which rounds sample them. Both follow from the
        text of the tasks, not from the order of a file; tasks that no round samples do not count.

        A run that was begun before 2026-11-26, when they followed the order, goes on as it began.
        """
        for key in self._former_keys(tasks, self.domain.digest()):
            if stored_rounds(self.store, key, 1):
                earlier = list(tasks)
                random.Random(self.settings.seed).shuffle(earlier)
                return key, earlier
        order = drawn(tasks, self.settings.seed)
        sampled = order[: self.settings.rounds * self.settings.contexts]
        listed: list[list[object]] = [
            [task.id, sorted(_questions(task), key=json.dumps)] for task in sampled
        ]
        digest = self.domain.digest()
        key = self._key("by text", listed, digest, self.restricted)
        if not stored_rounds(self.store, key, 1):
            self._warn_of_former(tasks, listed)
        return key, order

    def _warn_of_former(self, tasks: Sequence[Task], listed: list[list[object]]) -> None:
        def begun(digest: str, restricted: bool) -> bool:
            return bool(stored_rounds(self.store, self._key("by text", listed, digest, restricted), 1))

        for digest in self.domain.former_digests():
            former = any(stored_rounds(self.store, key, 1) for key in self._former_keys(tasks, digest))
            if former or begun(digest, False) or begun(digest, self.restricted):
                self.progress.warn(
                    "This run was begun when answers were graded otherwise. So that the two kinds of "
                    "grades are not mixed, it starts afresh."
                )
                return
        if self.restricted and begun(self.domain.digest(), False):
            self.progress.warn(
                "This run was begun when a policy also learned tokens that --constrained had forced. "
                "So that the two are not mixed, it starts afresh, with the trials that there are."
            )

    def _key(self, kind: str, listed: list[list[object]], digest: str, restricted: bool) -> str:
        """Hash of all that determines the run. digest: the domain's. restricted: see `self.restricted`;
        until 2026-11-28 log-probabilities ignored patterns."""
        parts = [*self._parts(digest), [kind, *listed], self.algorithm.identity]
        return stable_hash([*parts, *(["among the allowed"] if restricted else [])])

    def _former_keys(self, tasks: Sequence[Task], digest: str) -> list[str]:
        """Keys of before 2026-11-26. At first there was one algorithm, which was not part of them."""
        parts = [*self._parts(digest), [[task.id, _questions(task)] for task in tasks]]
        alone = [stable_hash(parts)] if self.algorithm.identity.startswith("rest-em") else []
        return [*alone, stable_hash([*parts, self.algorithm.identity])]

    def _parts(self, digest: str) -> list[object]:
        return [
            self.policies.model.identity, self.settings.digest(), digest, self.reward.digest()
        ]  # fmt: skip

    def run(self) -> list[RoundRecord]:
        """The rounds up to `until`; those that are finished are read, not repeated. Raises
        SelfEditError."""
        inputs = {"key": self.key, "tasks": len(self.tasks), **about(self.domain)}
        inputs |= {"notes": list(self.notes)} if self.notes else {}
        inputs |= {"questions": self.questions} if self.questions != "given" else {}
        with (
            self._alone(),
            recorded_run(self.store, "train", self.start, self.settings, inputs, self.progress) as run,
        ):
            runner = self.runner(run.id)
            self.progress.of(runner, self.policies.model)
            records = self._rounds(self.reward.over(runner))
            run.result = {"policy": records[-1].policy, "rounds": len(records)}
        return records

    def _rounds(self, runner: TrialRunner) -> list[RoundRecord]:
        records = self.finished()
        for number in self.rounds_left(records):
            before = self.written_before(records)
            records.append(self._round(number, self.policy_after(records), runner, before))
            self.on_round(records[-1])
        return records

    def _round(
        self, number: int, policy: Model, runner: TrialRunner, before: Mapping[str, int]
    ) -> RoundRecord:
        start, out = time.perf_counter(), self.folder / f"round-{number}"
        progress = Noted(self.progress, f"round {number} of {self.settings.rounds}")
        edits = self.propose(policy, self.sample(number), before)
        groups = self.reward_of(edits, policy, runner, progress)
        stopped = collapse(groups, self.settings.inner.sampling.temperature)
        update = self.improve(policy, groups, out, progress, stopped)
        seconds = time.perf_counter() - start
        baselines = [own.baseline for own in edits if own.baseline is not None]
        record = round_record(number, policy, baselines, groups, update, seconds, stopped)
        put_round(self.store, self.key, record, groups, update.learned)
        return record

    def reward_of(
        self, edits: Sequence[Proposal], policy: Model, runner: TrialRunner, progress: Progress
    ) -> Sequence[Group]:
        """The proposals with their rewards, which wait in a file beside the policies."""
        learner = self.start if self.settings.learner == "first" else ref_of(policy)
        groups = runner.run(learner, self.domain, edits, self.settings.inner, progress)
        if self.settings.credit == "statement":
            groups = credited(self.store, self.domain, edits, groups)
        rewards = Rewards(self.folder.parent)
        for group in groups:
            rewards.add(group)
        return rewards.groups(edits)

    def improve(
        self, policy: Model, groups: Sequence[Group], out: Path, progress: Progress, stopped: str
    ) -> Update:
        """The algorithm's update with numbers of what the policy wrote; none if it has collapsed."""
        numbers = written(groups, policy.count_tokens) | measured(groups)
        if stopped:
            self.progress.warn(stopped[0].upper() + stopped[1:] + ".")
            return Update(None, metrics=numbers, note=stopped)
        lessons = by_statement(groups) if self.settings.credit == "statement" else groups
        update = self.algorithm.improve(policy, lessons, out, progress)
        return replace(update, metrics=numbers | update.metrics)

    def finished(self) -> list[RoundRecord]:
        """Finished rounds up to `until`, their policies where this library has them, wherever it was
        when they were trained. Raises InputError if one is no longer there."""
        records: list[RoundRecord] = []
        policy = self.start.name
        for record in stored_rounds(self.store, self.key, self.until):
            if record.changed:
                policy = str(self.folder / f"round-{record.number}")
                if not Path(policy).is_dir():
                    raise InputError(
                        f"the policy of round {record.number} is not in {policy}; put it back, or use "
                        "another --library to start afresh."
                    )
            records.append(replace(record, policy=policy))
        return records

    def rounds_left(self, records: Sequence[RoundRecord]) -> Iterator[int]:
        """None after one that stopped the run. Read as it goes: `records` grows meanwhile."""
        for number in range(len(records) + 1, self.until + 1):
            if records and records[-1].stopped:
                return
            yield number

    def policy_after(self, records: Sequence[RoundRecord]) -> Model:
        """The policy of the next round; one that did not change is loaded already."""
        if records and records[-1].policy != self.policies.model.name:
            return self.policies.load(records[-1].policy)
        return self.policies.model

    def sample(self, number: int) -> list[Task]:
        """The round's tasks: the next ones in a seeded order, from the start again when it ends."""
        count = min(self.settings.contexts, len(self.tasks))
        first = (number - 1) * count
        return [self.tasks[i % len(self.tasks)] for i in range(first, first + count)]

    def written_before(self, records: Sequence[RoundRecord]) -> Counter[str]:
        """In how many rounds the policy has written about a task already, by its id: since it last
        changed. Without that it would write the same again, and nothing else could be chosen."""
        same = takewhile(lambda record: not record.changed, reversed(records))
        return Counter(task.id for record in same for task in self.sample(record.number))

    def propose(
        self, policy: Model, tasks: Sequence[Task], before: Mapping[str, int]
    ) -> Sequence[Proposal]:
        """The edits that the policy writes for each task, and what the learner scores on the task
        without any: the policy itself, or the first model. All are written now, and read from the store
        when they are needed. before: see `written_before`."""
        inner, needed = self.settings.inner, isinstance(self.algorithm, ReadsLogprobs)
        writer = Writer(policy, self.store, self.progress)
        for _ in writer.proposed(self.domain, tasks, inner, logprobs=needed, before=before):
            pass
        learner = policy if self.settings.learner == "policy" else self.policies.get(self.start)
        measure, statements = Measure(inner.measure), self.settings.credit == "statement"
        asking = Writer(learner, self.store, self.progress)
        baselines = [own.reward for own in bare_scores(asking, self.domain, tasks, measure)]
        writer, asking = Writer(policy, self.store), Writer(learner, self.store)

        def read(places: range) -> list[Proposal]:
            own = [tasks[place] for place in places]
            edits = writer.propose(self.domain, own, inner, logprobs=needed, before=before)
            bare: Iterable[Score | None] = repeat(None, len(own))
            if statements:  # credits alone compare answers
                bare = bare_scores(asking, self.domain, own, measure)
            known = zip(own, baselines[places.start : places.stop], edits, bare, strict=True)
            return [Proposal(task, base, tuple(made), score) for task, base, made, score in known]

        return Paged(len(tasks), read)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the run's lock: two processes would write the same policy. Raises InputError if it is
        taken."""
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder.with_suffix(".lock"), timeout=0):
                yield
        except Timeout:
            raise InputError(
                "another process is at work on this run; wait for it, or stop it and start again"
            ) from None


def _questions(task: Task) -> list[list[object]]:
    return [[query.question, list(query.answers), query.topic] for query in task.queries]
