"""Ray actors as a pool of workers (`dispatch.Pool`): one on each GPU, or on a few CPUs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from selfedit.errors import SelfEditError, WorkerError
from selfedit.runners.dispatch import Done, Lost
from selfedit.runners.orders import Order, Outcome, Worker
from selfedit.seams import Model

_GROW_SECONDS = 2.0  # between looks at what the cluster has
_PATIENCE = 60.0  # before it is said that no worker has started
_MOST_FAILED_STARTS = 3


@dataclass(frozen=True, slots=True)
class Needs:
    """What one worker takes of its machine. threads: see `orders.Worker`."""

    cpus: int
    gpus: int
    threads: int | None

    def __str__(self) -> str:
        return f"{self.cpus} free CPU{'s' if self.cpus > 1 else ''}" + (
            " and a GPU" if self.gpus else ""
        )


class RayPool:
    """Implements `dispatch.Pool`. Ray is running; `close` ends the workers.

    load: loads a model by its name, on a worker. most: workers at most; None: as many as the cluster
    has room for, also when it grows. warn: told what a user should know.
    """

    def __init__(
        self,
        load: Callable[[str], Model],
        needs: Needs,
        most: int | None,
        warn: Callable[[str], None],
    ) -> None:
        import ray

        self._ray: Any = ray
        self.needs, self.most, self.warn = needs, most, warn
        remote = ray.remote(num_cpus=needs.cpus, num_gpus=needs.gpus, max_restarts=0)(Worker)
        self._new: Callable[[], Any] = lambda: remote.remote(load, needs.threads)
        self.idle: list[int] = []
        self._actors: dict[int, Any] = {}
        self._refs: dict[Any, int] = {}
        self._starting: set[int] = set()
        self._made = self._failed_starts = 0
        self._began, self._grown, self._said = time.monotonic(), 0.0, False
        self._grow()

    @property
    def size(self) -> int:
        return len(self._actors)

    @property
    def started(self) -> int:
        """Workers that have started; the others wait for room in the cluster."""
        return len(self._actors) - len(self._starting)

    def now(self) -> float:
        return time.monotonic()

    def begin(self, worker: int, work: Order) -> None:
        self._refs[self._actors[worker].run.remote(work)] = worker

    def wait(self, seconds: float) -> list[Done[Outcome] | Lost]:
        """See `dispatch.Pool`. Raises what a worker raised, and WorkerError if none can be started."""
        self._grow()
        if not self._refs:
            time.sleep(seconds if not self.idle else 0)
            return []
        ready, _ = self._ray.wait(list(self._refs), num_returns=1, timeout=seconds)
        if ready:
            every = list(self._refs)
            ready, _ = self._ray.wait(every, num_returns=len(every), timeout=0)
        return [event for ref in ready if (event := self._event(ref)) is not None]

    def _event(self, ref: Any) -> Done[Outcome] | Lost | None:
        """None for a worker that has started."""
        worker = self._refs.pop(ref)
        try:
            value = self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, SelfEditError):
                raise error.cause from None
            raise
        except self._ray.exceptions.RayError as error:
            return self._gone(worker, error)
        self.idle.append(worker)
        if worker not in self._starting:
            return Done(worker, value)
        self._starting.remove(worker)
        self._failed_starts = 0
        self._check(value)
        return None

    def _gone(self, worker: int, error: Exception) -> Lost:
        reason = _first_lines(error)
        self._actors.pop(worker)
        if worker in self._starting:
            self._starting.remove(worker)
            self._failed_starts += 1
            if self._failed_starts >= _MOST_FAILED_STARTS:
                raise WorkerError(
                    f"no worker can be started: {reason}. selfedit must be installed on every machine "
                    "of the cluster, in the same version; `ray status` and Ray's logs say more."
                )
        self._grown = 0.0  # another one takes its place at once
        return Lost(worker, reason)

    def _check(self, theirs: str) -> None:
        if theirs != (ours := version("selfedit")):
            raise WorkerError(
                f"a worker has selfedit {theirs}, and here is {ours}: install the same version on "
                "every machine of the cluster."
            )

    def _grow(self) -> None:
        now = time.monotonic()
        if now - self._grown < _GROW_SECONDS:
            return
        self._grown = now
        wanted = self.most if self.most is not None else max(1, self._room())
        for _ in range(wanted - self.size):
            worker, self._made = self._made, self._made + 1
            self._actors[worker] = actor = self._new()
            self._starting.add(worker)
            self._refs[actor.version.remote()] = worker
        if not self.started and not self._said and now - self._began > _PATIENCE:
            self._said = True
            self.warn(
                f"No worker has started yet: each needs {self.needs}, and the cluster has "
                f"room for {self._room()}. `ray status` shows what it has; machines may still join."
            )

    def _room(self) -> int:
        """Workers that the whole cluster could hold."""
        room = 0
        for node in self._ray.nodes():
            has = node["Resources"] if node["Alive"] else {}
            cpus = has.get("CPU", 0) // self.needs.cpus
            gpus = has.get("GPU", 0) // self.needs.gpus if self.needs.gpus else cpus
            room += int(min(cpus, gpus))
        return room

    def close(self) -> None:
        """End all workers, whatever they are doing."""
        for actor in self._actors.values():
            with contextlib.suppress(Exception):  # its machine may be gone
                self._ray.kill(actor)
        self._actors.clear()
        self._refs.clear()
        self.idle.clear()


def _first_lines(error: Exception) -> str:
    """What Ray says, without the numbers of the actor."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    kept = [line for line in lines if not line.startswith(("class_name:", "actor_id:", "namespace:"))]
    return " ".join(kept)[:400] or type(error).__name__
