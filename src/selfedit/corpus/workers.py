"""Who writes a corpus: this process, or several, each with a policy of its own.

Chunks of passages are given out as workers become free and come back in order, so that the corpus is
the same however many there are. A worker that is killed loses its chunk, which another one writes.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Protocol

from selfedit.corpus.passages import Passage
from selfedit.corpus.writing import CountingSampler, Written, write
from selfedit.domains.knowledge.domain import Knowledge
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.endpoints.vllm import VllmServer
from selfedit.errors import SelfEditError
from selfedit.model.fake import load_fake
from selfedit.model.prompts import PromptFormat

if TYPE_CHECKING:
    from selfedit.model.vllm_load import VllmWriter

# Workers that may die, one after the other, before any of them has finished a chunk.
_MOST_DEATHS = 3


@dataclass(frozen=True, slots=True)
class Chunk:
    """Passages that are written about together. end: passages of the corpus up to its last one, and
    prefix: their identity; repeated: those that came before, which are left out."""

    number: int
    passages: tuple[Passage, ...]
    end: int
    prefix: str
    repeated: int


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy that another process can load, as `load_model` takes it. vllm_url: of a vLLM server that
    has its weights, and writes for us; None: they are loaded here."""

    name: str
    device: str = "auto"
    dtype: str = "auto"
    prompt_format: PromptFormat = "auto"
    trust_remote_code: bool = False
    vllm_url: str | None = None

    def writer(self) -> VllmWriter:
        """The policy as the server has it. Raises ModelError, EndpointError."""
        from selfedit.model.vllm_load import VllmWriter

        assert self.vllm_url is not None
        return VllmWriter(
            self.name,
            VllmServer(self.vllm_url),
            prompt_format=self.prompt_format,
            trust_remote_code=self.trust_remote_code,
        )

    def load(self, *, place: int = 0, beside: int = 1) -> Any:
        """The model, as one of `beside` that share this machine: its cores are divided among them, and
        each takes the next GPU. Raises ModelError."""
        if (fake := load_fake(self.name, Knowledge.skills())) is not None:
            return fake
        import torch

        from selfedit.model.load import load_model

        device = self.device
        if beside > 1:
            gpus = torch.cuda.device_count() if device in ("auto", "cuda") else 0
            device = f"cuda:{place % gpus}" if gpus > 1 else device
            if "OMP_NUM_THREADS" not in os.environ:
                torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // beside))
        return load_model(
            self.name,
            device=device,
            dtype=self.dtype,
            prompt_format=self.prompt_format,
            trust_remote_code=self.trust_remote_code,
        )


class Workers(Protocol):
    """Writes about chunks. name, revision, identity: the policy's (`seams.Sampler`, `seams.Model`)."""

    name: str
    revision: str
    identity: list[str]
    count: int

    def written(self, chunks: Iterable[Chunk]) -> Iterator[tuple[Chunk, list[Written]]]:
        """What was written about each chunk, in their order. Raises SelfEditError."""
        ...

    def close(self) -> None: ...


class Here:
    """Implements `Workers` with a sampler of this process."""

    count = 1

    def __init__(self, sampler: CountingSampler, revision: str, settings: LearnSettings) -> None:
        self.name, self.revision, self.identity = sampler.name, revision, sampler.identity
        self._sampler, self._settings = sampler, settings
        self._domain = Knowledge(settings.knowledge)

    def written(self, chunks: Iterable[Chunk]) -> Iterator[tuple[Chunk, list[Written]]]:
        for chunk in chunks:
            tasks = [passage.task for passage in chunk.passages]
            yield chunk, write(self._sampler, self._domain, tasks, self._settings)

    def close(self) -> None:
        pass


@dataclass(eq=False)
class _Worker:
    """A process that writes one chunk at a time. chunk: what it is at; None: it is free."""

    process: Any
    line: Connection
    chunk: Chunk | None = None


class Processes:
    """Implements `Workers` with `count` processes, each of which loads the policy."""

    def __init__(self, policy: Policy, settings: LearnSettings, count: int) -> None:
        self._policy, self._settings, self.count = policy, settings, count
        self._context = get_context("spawn")
        self._deaths = 0
        self._workers: list[_Worker] = []
        try:
            self._workers = [self._start(place) for place in range(count)]
            own = [self._about(worker) for worker in self._workers]
        except BaseException:
            self.close()
            raise
        self.name = policy.name
        self.revision, self.identity = own[0]

    def written(self, chunks: Iterable[Chunk]) -> Iterator[tuple[Chunk, list[Written]]]:
        """At most two chunks a worker are at hand: in a worker, or waiting for those before them."""
        left, more = iter(chunks), True
        order: deque[Chunk] = deque()
        again: list[Chunk] = []
        found: dict[int, list[Written]] = {}
        while True:
            for worker in [own for own in self._workers if own.chunk is None]:
                if not again and more and len(order) < 2 * self.count:
                    chunk = next(left, None)
                    more = chunk is not None
                    if chunk is not None:
                        order.append(chunk)
                        again.append(chunk)
                if again:
                    self._give(worker, again.pop(0))
            if not order:
                return
            for worker in self._ready():
                chunk = worker.chunk
                assert chunk is not None
                replies = self._taken(worker)
                if replies is None:
                    again.append(chunk)
                else:
                    found[chunk.number] = replies
            while order and order[0].number in found:
                chunk = order.popleft()
                yield chunk, found.pop(chunk.number)

    def close(self) -> None:
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(5)
            if worker.process.is_alive():
                worker.process.kill()
            worker.line.close()

    def _start(self, place: int) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_work, args=(theirs, self._policy, self._settings, place, self.count), daemon=True
        )
        process.start()
        theirs.close()  # so that its end shows here
        return _Worker(process, ours)

    def _about(self, worker: _Worker) -> tuple[str, list[str]]:
        """Revision and identity of the policy that a worker has loaded."""
        try:
            kind, value = worker.line.recv()
        except (EOFError, OSError):
            raise SelfEditError(
                "a worker ended while it loaded the policy: there may be too little memory for so "
                "many; use fewer --workers"
            ) from None
        if kind == "error":
            raise value
        return value

    def _give(self, worker: _Worker, chunk: Chunk) -> None:
        worker.chunk = chunk
        with suppress(OSError):  # one that is gone shows in `_ready`
            worker.line.send([passage.task for passage in chunk.passages])

    def _ready(self) -> list[_Worker]:
        """Workers that have replied, or ended."""
        busy = {worker.line: worker for worker in self._workers if worker.chunk is not None}
        return [busy[line] for line in wait(list(busy)) if isinstance(line, Connection)]

    def _taken(self, worker: _Worker) -> list[Written] | None:
        """A worker's reply; None: it has ended, and another one is in its place."""
        try:
            kind, value = worker.line.recv()
        except (EOFError, OSError):
            self._replace(worker)
            return None
        if kind == "error":
            raise value
        worker.chunk, self._deaths = None, 0
        return value

    def _replace(self, worker: _Worker) -> None:
        self._deaths += 1
        if self._deaths > _MOST_DEATHS:
            raise SelfEditError(
                f"{self._deaths} workers were killed, one after the other: there may be too little "
                "memory; use fewer --workers. What was written is kept: the same command goes on."
            )
        worker.line.close()
        worker.process.join()
        place = self._workers.index(worker)
        self._workers[place] = self._start(place)
        if self._about(self._workers[place])[0] != self.revision:
            raise SelfEditError(f"the policy {self.name} has changed meanwhile: start again")


def _work(line: Connection, policy: Policy, settings: LearnSettings, place: int, beside: int) -> None:
    """A worker's life: it ends when nobody listens any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent heeds Ctrl-C, and ends its workers
    with suppress(EOFError, OSError):
        try:
            model = policy.load(place=place, beside=beside)
            line.send(("about", (model.revision, list(model.identity))))
            domain = Knowledge(settings.knowledge)
            while True:
                tasks = line.recv()
                line.send(("done", write(model, domain, tasks, settings)))
        except (EOFError, OSError):
            return
        except SelfEditError as error:
            line.send(("error", error))
        except Exception as error:
            traceback.print_exc()
            line.send(("error", SelfEditError(f"a worker failed: {type(error).__name__}: {error}")))
