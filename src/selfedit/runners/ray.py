"""Trials on a Ray cluster: the driver plans waves, grades answers and writes the store; workers train.

Waves are those of the local runner, so that on equal hardware trials are equal but for the last bits
of float32 products. A worker that dies loses a wave, which is run again; a driver that dies loses what
was not stored yet, and goes on from the store when it is started again (docs/cluster.md).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from selfedit.config import InnerSettings
from selfedit.errors import InputError, WorkerError
from selfedit.home import expanded
from selfedit.loops.inner import PlannedTrials, score
from selfedit.loops.measures import Measure
from selfedit.loops.policies import Policies
from selfedit.loops.waves import Wave
from selfedit.progress import Progress, Renamed
from selfedit.runners.dispatch import Dispatch, Piece
from selfedit.runners.orders import Order, Outcome
from selfedit.runners.pool import Needs, RayPool
from selfedit.runners.stored import OnTrials, StoredTrials, StreamingRunner, chunked, grouped
from selfedit.seams import Domain, Model, PolicyRef
from selfedit.store import Store
from selfedit.types import Group, Proposal

# Bytes of Ray's own shared memory where it is started here: orders and results are small.
_OBJECT_STORE = 200_000_000
# Ray's own 15 starves workers where anything else runs: two started in a minute, and did nothing.
NICENESS = "RAY_worker_niceness"


class Cluster:
    """Workers on a Ray cluster, for all runs of one command: they start with the first one.

    load: loads a model by its name, on a worker. address: of a cluster that is running ("auto": this
    machine's); None: Ray is started here. workers: None: as many as there is room for. Ray itself is
    left as it was found: what was started here ends with `close`.
    """

    def __init__(
        self,
        load: Callable[[str], Model],
        *,
        address: str | None = None,
        workers: int | None = None,
    ) -> None:
        self.load, self.address, self.workers = load, address, workers
        self._pool: RayPool | None = None
        self._ours = False
        import_ray()

    def runner(
        self,
        policies: Policies,
        store: Store,
        run_id: int,
        on_trials: OnTrials = lambda trials: None,
        /,
    ) -> RayRunner:
        """The runner of a run's trials (`stored.Runners`)."""
        return RayRunner(self, policies, store, run_id, on_trials)

    def pool(self, model: Model, progress: Progress) -> RayPool:
        """The workers. model: as the driver has loaded it: its device says what a worker needs."""
        if self._pool is None:
            needs = needs_of(model)
            self._connect(needs)
            self._pool = RayPool(self.load, needs, self.workers, progress.warn)
        self._pool.warn = progress.warn
        return self._pool

    @property
    def started(self) -> int:
        """Workers that there are."""
        return 0 if self._pool is None else self._pool.started

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        if self._ours:
            import_ray().shutdown()
            self._ours = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def _connect(self, needs: Needs) -> None:
        ray = import_ray()
        if ray.is_initialized():
            return
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
        if self.address is None:
            cores = os.cpu_count() or 1
            os.environ.setdefault(NICENESS, "0")
            quiet |= {
                "address": "local",
                "num_cpus": max(cores, needs.cpus * (self.workers or 1)),
                "include_dashboard": False,
                "object_store_memory": _OBJECT_STORE,
            }
        else:
            quiet["address"] = self.address
        try:
            ray.init(**quiet)
        except (OSError, ValueError, RuntimeError) as error:
            place = "here" if self.address is None else f"at {self.address}"
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise WorkerError(
                f"Ray cannot be reached {place} ({first}). Start it with `ray start --head`, give its "
                "address (--ray-address HOST:6379), or leave that out to have it started here. A "
                "cluster with token authentication needs RAY_AUTH_MODE=token and its token here, too."
            ) from error
        self._ours = True


class RayRunner(StreamingRunner):
    """Implements `seams.TrialRunner` with the workers of a cluster and the store of a library."""

    def __init__(
        self,
        cluster: Cluster,
        policies: Policies,
        store: Store,
        run_id: int,
        on_trials: OnTrials = lambda trials: None,
    ) -> None:
        self.cluster, self.policies, self.store = cluster, policies, store
        self.run_id, self.on_trials = run_id, on_trials

    @property
    def workers(self) -> int:
        """See `seams.Staffed`: those that have started."""
        return self.cluster.started

    def stream(
        self,
        policy: PolicyRef,
        domain: Domain,
        proposals: Iterable[Proposal],
        settings: InnerSettings,
        progress: Progress,
    ) -> Iterator[Group]:
        """See `StreamingRunner.stream`. What is in memory follows from the number of workers alone."""
        model = self.policies.get(policy)
        pool = self.cluster.pool(model, progress)
        shown = _OnWorkers(progress, pool)
        trials = StoredTrials(self.store, self.run_id, self.on_trials, shown)
        driver = Driver(model, _by_place(policy), domain, settings, trials, shown)
        yield from driver.run(Dispatch(pool), proposals)


@dataclass
class _Chunk:
    """Proposals that are planned together. left: waves that are not done."""

    proposals: Sequence[Proposal]
    plan: PlannedTrials
    sink: OnTrials
    left: int


@dataclass
class Driver:
    """Proposals on their way to groups, some hundred at a time, wherever the workers are."""

    model: Model
    policy: PolicyRef
    domain: Domain
    settings: InnerSettings
    trials: StoredTrials
    progress: Progress
    _open: dict[int, tuple[int, Wave]] = field(default_factory=dict)  # of each piece: chunk, wave
    _chunks: dict[int, _Chunk] = field(default_factory=dict)
    _groups: dict[int, list[Group]] = field(default_factory=dict)

    def run(self, dispatch: Dispatch[Order, Outcome], proposals: Iterable[Proposal]) -> Iterator[Group]:
        """A group for each proposal, in their order, as soon as all before it are there."""
        following = 0
        for piece, outcome in dispatch.run(self._pieces(proposals)):
            self._take(piece, outcome)
            while following in self._groups:
                yield from self._groups.pop(following)
                following += 1
        for number in sorted(self._groups):  # nothing was left to do for the last ones
            yield from self._groups.pop(number)

    def _pieces(self, proposals: Iterable[Proposal]) -> Iterator[Piece[Order]]:
        """The waves that are not in the store, planned as they are read."""
        count = itertools.count()
        for number, part in enumerate(chunked(proposals)):
            for wave in self._planned(number, part):
                order = Order.of(self.policy, self.model, self.domain, wave, self.settings)
                piece = Piece(next(count), size_of(wave), order, _named(wave))
                self._open[piece.number] = (number, wave)
                yield piece

    def _planned(self, number: int, proposals: Sequence[Proposal]) -> list[Wave]:
        known, sink = self.trials.of(proposals)
        pairs = [(own.task, edit) for own in proposals for edit in own.edits]
        plan = PlannedTrials.of(self.model, self.domain, pairs, self.settings, known, sink)
        waves = list(plan.waves)
        self._chunks[number] = _Chunk(proposals, plan, sink, len(waves))
        self.progress.found(self.settings.seeds * len(pairs) - plan.missing)
        self._close(number)
        return waves

    def _take(self, piece: Piece[Order], outcome: Outcome) -> None:
        """Grade and store a wave's trials."""
        number, wave = self._open.pop(piece.number)
        chunk, measure = self._chunks[number], Measure(self.settings.measure)
        for warning in outcome.warnings:
            self.progress.warn(warning)
        done = [
            trial for part in outcome.tested(wave.jobs) for trial in score(self.domain, part, measure)
        ]
        chunk.sink(done)
        chunk.plan.add(done)
        chunk.left -= 1
        self.progress.advance(len(done))
        self._close(number)

    def _close(self, number: int) -> None:
        """Keep of a chunk that is done its groups alone."""
        chunk = self._chunks[number]
        if chunk.left == 0:
            done = grouped(chunk.proposals, chunk.plan.trials(), self.settings.seeds)
            self._groups[number] = done
            del self._chunks[number]


class _OnWorkers(Renamed):
    """Progress whose notes say how many workers there are."""

    def __init__(self, progress: Progress, pool: RayPool) -> None:
        super().__init__(progress, "")
        self._pool = pool

    def note(self, text: str) -> None:
        count = self._pool.started
        super().note(f"{count} worker{'' if count == 1 else 's'}, {text}")


def size_of(wave: Wave) -> float:
    """Tokens that a wave trains on, all its epochs together."""
    return sum(job.num_steps * job.together * job.mean_length for job in wave.jobs)


def needs_of(model: Model) -> Needs:
    """A GPU for a worker where the driver's model is on one; else as many CPUs as the driver computes
    with (OMP_NUM_THREADS): their number decides the last bits of an adapter."""
    if model.device == "cuda":
        return Needs(cpus=1, gpus=1, threads=None)
    if getattr(model, "hf", None) is None:  # the fake computes nothing
        return Needs(cpus=1, gpus=0, threads=None)
    import torch

    threads = torch.get_num_threads()
    return Needs(cpus=threads, gpus=0, threads=threads)


def _named(wave: Wave) -> str:
    titles = list(dict.fromkeys(job.task.title for job in wave.jobs))
    return f"a wave of {len(wave.jobs)} self-edits ({', '.join(titles[:3])}{' …' * (len(titles) > 3)})"


def _by_place(policy: PolicyRef) -> PolicyRef:
    """Under a name that another process finds, whatever folder it is in."""
    folder = expanded(policy.name)
    return PolicyRef(str(Path(folder).resolve()), policy.revision) if folder.is_dir() else policy


def import_ray() -> Any:
    """Raises InputError where Ray is not installed."""
    try:
        import ray
    except ImportError as error:
        raise InputError(
            f"trials on a cluster need Ray ({error}): pip install 'selfedit[ray]', on every machine."
        ) from error
    return ray
