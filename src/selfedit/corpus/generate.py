"""Self-edits for a whole corpus: read passages, let the policy write, keep what is new, line by line.

`Ledger` has the file, `Workers` the policy. Nothing grows with the corpus but files.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from selfedit.corpus.ledger import Done, Ledger, Repeats
from selfedit.corpus.lines import Line, Stamp, line_of
from selfedit.corpus.passages import Passage, Passages, Rolling
from selfedit.corpus.workers import Chunk, Workers
from selfedit.corpus.writing import Written
from selfedit.domains.knowledge.domain import Knowledge
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.errors import InputError
from selfedit.progress import Progress, Silent

# Prompts that are written about together: all that a kill can cost, and enough for a GPU's batch.
PROMPTS = 256


@dataclass(frozen=True, slots=True)
class Generated:
    """A corpus that is written. passages, documents: of what was named. over: the budget that was used
    up; None: every passage was written about. seconds: of this call."""

    out: Path
    passages: int
    documents: int
    done: Done
    policy: str
    revision: str
    strategy: str
    seconds: float
    notes: tuple[str, ...] = ()

    def summary(self) -> dict[str, Any]:
        """A JSON value: what `selfedit generate --json` prints."""
        values = asdict(self.done)
        names = ("lines", "tokens", "written", "repeated", "same", "alike", "invalid")
        return {
            "out": str(self.out),
            "policy": self.policy,
            "revision": self.revision,
            "strategy": self.strategy,
            "documents": self.documents,
            "passages": self.passages,
            "passages_done": self.done.passages,
            **{name: values[name] for name in names},
            "budget_used_up": self.done.over is not None,
            "seconds": self.seconds,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class Counted:
    """What is ahead. prefix: identity of the passages that the corpus has already."""

    passages: int
    documents: int
    prefix: str


class Corpus:
    """One corpus: started again, it goes on where it was, also with more passages behind the others or
    a larger budget.

    passages: with these settings' passage_words. whole: also have each passage itself as a line.
    budget: tokens of all lines together, at most; None: no bound. on_chunk: told of each chunk that is
    on the disk.
    """

    def __init__(
        self,
        passages: Passages,
        workers: Workers,
        settings: LearnSettings,
        out: Path,
        *,
        whole: bool = False,
        budget: int | None = None,
        prompts: int = PROMPTS,
        progress: Progress | None = None,
        on_chunk: Callable[[Done], None] = lambda done: None,
    ) -> None:
        self.passages, self.workers, self.settings, self.out = passages, workers, settings, out
        self.whole, self.budget, self.prompts = whole, budget, prompts
        self.progress, self.on_chunk = progress or Silent(), on_chunk
        self.domain = Knowledge(settings.knowledge)
        self.stamp = Stamp(settings.knowledge.strategy, workers.name, workers.revision)

    def run(self) -> Generated:
        """Raises InputError for what cannot be read or gone on with, SelfEditError."""
        begun = time.perf_counter()
        ledger = Ledger(self.out, self._identity())
        repeats = Repeats()
        try:
            counted = self._count(ledger.now, repeats)
            self._check(ledger.now, counted)
            over = ledger.now.over
            if over is not None and (self.budget is None or self.budget > over):
                ledger.reopen()
                over = None
            if over is None:
                self._write(ledger, counted, repeats)
            done = ledger.now
        finally:
            repeats.close()
            ledger.close()
        return Generated(
            self.out,
            counted.passages,
            counted.documents,
            done,
            self.stamp.policy,
            self.stamp.revision,
            self.stamp.strategy,
            time.perf_counter() - begun,
            tuple(self.passages.notes),
        )

    def _identity(self) -> dict[str, str]:
        """What a line depends on besides its passage, by the names that users know."""
        own = self.settings
        return {
            "policy (--model)": " ".join(self.workers.identity),
            "strategy or its options": own.knowledge.digest(),
            "sampling (--temperature, --max-new-tokens)": own.sampling.digest(),
            "--candidates or --seed": f"{own.candidates} {own.seed}",
            "--with-passages": str(self.whole),
        }

    def _count(self, done: Done, repeats: Repeats) -> Counted:
        """Read everything once: what cannot be read is found now, and the end can be estimated."""
        self.progress.start("reading documents", 0)
        count = documents = 0
        last, rolling, prefix = None, Rolling(), ""
        for passage in self.passages:
            repeats.add(passage.task.id, count)
            rolling.add(passage)
            count += 1
            documents += passage.document != last
            last = passage.document
            if count == done.passages:
                prefix = rolling.value
        for note in self.passages.notes:
            self.progress.warn(note)
        if not count:
            raise InputError("there is no passage to write about")
        return Counted(count, documents, prefix)

    def _check(self, done: Done, counted: Counted) -> None:
        if done.prefix != counted.prefix:
            raise InputError(
                f"{self.out} was begun with other documents: its first {done.passages:,} passages are "
                "not theirs. Put them back, or name another file with --out"
            )

    def _write(self, ledger: Ledger, counted: Counted, repeats: Repeats) -> None:
        self.progress.start("writing about passages", counted.passages)
        self.progress.found(ledger.now.passages)
        chunks = self._chunks(ledger.now, repeats)
        for chunk, written in self.workers.written(chunks):
            invalid = Counter(_reason(said) for own in written for said in own.invalid)
            tokens = sum(own.tokens for own in written)
            added = ledger.add(self._lines(chunk, written), self.budget, tokens, invalid)
            before = ledger.now.passages
            ledger.keep(added, chunk.end, chunk.repeated, chunk.prefix)
            self.progress.advance(chunk.end - before)
            self.progress.note(self._so_far(ledger.now))
            self.on_chunk(ledger.now)
            if ledger.now.over is not None:
                return

    def _chunks(self, done: Done, repeats: Repeats) -> Iterator[Chunk]:
        """The passages that are left, as many together as have `prompts` prompts or a little more."""
        rolling, number, repeated, prompts = Rolling(), 0, 0, 0
        own: list[Passage] = []
        place = 0
        for place, passage in enumerate(self.passages, start=1):
            rolling.add(passage)
            if place <= done.passages:
                continue
            if not repeats.is_first(passage.task.id, place - 1):
                repeated += 1
                continue
            own.append(passage)
            prompts += len(self.domain.prompts(passage.task)) * self.settings.candidates
            if prompts >= self.prompts:
                yield Chunk(number, tuple(own), place, rolling.value, repeated)
                number, own, repeated, prompts = number + 1, [], 0, 0
        if own or repeated:
            yield Chunk(number, tuple(own), place, rolling.value, repeated)

    def _lines(self, chunk: Chunk, written: list[Written]) -> Iterator[Line]:
        for passage, own in zip(chunk.passages, written, strict=True):
            for statement in own.statements:
                if self.whole or statement.kind == "self-edit":
                    yield line_of(passage, statement, self.stamp)

    def _so_far(self, done: Done) -> str:
        budget = "" if self.budget is None else f" of {self.budget:,}"
        return f"{done.lines:,} lines, {done.tokens:,}{budget} tokens"


def _reason(said: str) -> str:
    """A reason without what it quotes, so that reasons can be counted."""
    return said.partition(' ("')[0]
