"""The batching engine: texts by different adapters are written in one batch, which new ones join and
finished ones leave at every step.

A step reads a bounded part of the prompts that wait, and then draws a token for every row that writes:
a long prompt delays the others by its part only. What a row draws does not depend on its neighbours.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from selfedit.errors import InputError, OutOfMemory, SelfEditError
from selfedit.forward.memory import is_out_of_memory, within_memory
from selfedit.forward.slots import SPARE, takes_slots
from selfedit.lora.bank import AdapterBank
from selfedit.lora.memory import Footprint
from selfedit.model.generate import ending_tokens, window
from selfedit.model.language_model import LanguageModel
from selfedit.model.slot_batch import SlotBatch
from selfedit.serve.drawing import draw, token_of
from selfedit.serve.engine import Ask, Busy, Piece, Ticket, Token
from selfedit.serve.prefixes import Prefixes
from selfedit.serve.residents import Residents
from selfedit.serve.text_stream import TextStream

# Tokens of prompts that one step reads: what the rows that write wait for.
READ_TOKENS = {"cpu": 256, "cuda": 4096, "mps": 1024}
KEPT_TOKENS = {"cpu": 4096, "cuda": 32_768, "mps": 8192}  # of beginnings (`Prefixes`)
MOST_ADAPTERS = 16  # side by side in one batch
# Of the memory that a wave may take: for the texts that are being written, besides the wave.
MEMORY_SHARE = 0.25
_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Row:
    """A text that is being written: ids of the prompt that are not read yet, and what was drawn."""

    ticket: Ticket
    text: TextStream
    generator: torch.Generator
    unread: list[int]
    drawn: int = 0
    last: int = 0
    pieces: list[Token] = field(default_factory=list)

    @property
    def ask(self) -> Ask:
        return self.ticket.ask

    @property
    def adapter(self) -> str:
        return self.ask.speaker.key


class Batching:
    """Implements `engine.Engine` for one model, whose modules nobody else may use meanwhile.

    rows: texts that are written at a time; more wait, at most `most_waiting` of them.
    """

    def __init__(self, model: LanguageModel, rows: int = 32, most_waiting: int = 512) -> None:
        self.model, self.most_rows, self._most_waiting = model, rows, most_waiting
        device = model.device
        self._read_tokens = READ_TOKENS.get(device, 256)
        self._prefixes = Prefixes(KEPT_TOKENS.get(device, 4096))
        self._residents = Residents(model, MOST_ADAPTERS)
        self._ends = ending_tokens(model.hf, model.tokenizer)
        self._longest = window(model.hf)
        self._footprint = Footprint.of(model.decoder, None)
        self._budget = int(MEMORY_SHARE * model.memory_budget)
        self._batch = SlotBatch(model.decoder)
        self._rows: list[_Row] = []  # the first `_writing` of them write, the others are being read
        self._writing = 0
        self._waiting: deque[Ticket] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="selfedit-answers", daemon=True)
        self._thread.start()

    @staticmethod
    def takes(model: object) -> bool:
        """Whether a model can be batched so; probed once."""
        return isinstance(model, LanguageModel) and takes_slots(model.decoder)

    def submit(self, ask: Ask, tell: Callable[[Piece], None]) -> Ticket:
        assert ask.ids is not None
        length = len(ask.ids)
        room = self._longest - length
        if not ask.limit_named and room > 0:
            ask = replace(ask, max_tokens=min(ask.max_tokens, room))
        if ask.max_tokens > room:
            raise InputError(
                f"the prompt has {length} tokens and {ask.max_tokens} more are asked for; the "
                f"model has room for {self._longest}"
            )
        if not length:
            raise InputError("the prompt is empty")
        ticket = Ticket(ask, tell)
        with self._changed:
            if len(self._waiting) >= self._most_waiting or self._closing:
                raise Busy(f"{len(self._waiting)} requests wait already: try again later")
            self._waiting.append(ticket)
            self._changed.notify_all()
        return ticket

    @property
    def load(self) -> tuple[int, int]:
        return len(self._rows), len(self._waiting)

    @property
    def prefix_hits(self) -> int:
        """Prompts that went on from an earlier one's beginning."""
        return self._prefixes.hits

    def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(30)

    # -- the thread --

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._rows and not self._waiting and not self._closing:
                    self._changed.wait()
                if self._closing:
                    break
            try:
                self._step()
            except Exception as error:
                self._fail(error)
        self._end_all(Busy("the server is shutting down"))
        self._batch.use(None)

    def _step(self) -> None:
        self._leave()
        self._admit()
        if not self._rows:
            return
        with torch.inference_mode():
            if len(self._rows) > self._writing:
                self._read()
            if self._writing:
                self._write()

    def _fail(self, error: Exception) -> None:
        """What could not be done ends the newest text, or all of them if nobody knows why."""
        if is_out_of_memory(error) and len(self._rows) > 1:
            self._end(len(self._rows) - 1, error=_told(error))
            return
        if not isinstance(error, SelfEditError):
            _log.exception("a step failed")
        self._end_all(_told(error), waiting=False)
        self._batch.use(None)
        self._batch = SlotBatch(self.model.decoder)
        self._residents = Residents(self.model, MOST_ADAPTERS)

    def _end_all(self, error: SelfEditError, *, waiting: bool = True) -> None:
        rows, self._rows, self._writing = self._rows, [], 0
        tickets = [row.ticket for row in rows]
        if waiting:
            with self._changed:
                tickets += self._waiting
                self._waiting.clear()
        for ticket in tickets:
            ticket.tell(Piece(error=error))

    # -- joining and leaving --

    def _leave(self) -> None:
        """Rows that nobody reads any more."""
        for place in reversed(range(len(self._rows))):
            if self._rows[place].ticket.cancelled.is_set():
                self._drop(place)

    def _admit(self) -> None:
        """Those that wait, in their order; one whose adapter has no place lets others pass."""
        with self._changed:
            waiting = list(self._waiting)
        for ticket in waiting:
            if len(self._rows) >= self.most_rows or not self._fits(ticket.ask):
                return
            used = {row.adapter for row in self._rows}
            own = ticket.ask.speaker
            gone = ticket.cancelled.is_set()
            if not gone and own.key and not self._residents.can_add(own.key, used):
                continue
            with self._changed:
                self._waiting.remove(ticket)
            if gone:
                continue
            try:
                within_memory(lambda: self._join(ticket, used), "one more text")  # noqa: B023
            except SelfEditError as error:
                ticket.tell(Piece(error=error))

    def _fits(self, ask: Ask) -> bool:
        """Whether there is memory for one more text: every slot is as long as the longest text. One by
        itself is always tried."""
        longest = max(map(_length, [ask, *(row.ask for row in self._rows)]))
        size = (len(self._rows) + 1 + SPARE) * self._footprint.answer_row(0, longest)
        return not self._rows or size <= self._budget

    def _join(self, ticket: Ticket, used: set[str]) -> None:
        ask = ticket.ask
        assert ask.ids is not None
        if ask.speaker.adapters is not None:
            assert isinstance(ask.speaker.adapters, AdapterBank)
            self._residents.add(ask.speaker.key, ask.speaker.adapters, used)
            self._batch.use(self._residents.bank)
        kept, length = self._prefixes.find(ask.speaker.key, ask.ids)
        with torch.inference_mode():
            self._batch.add(kept, length)
        text = TextStream(self.model.tokenizer, ask.stops, raw=ask.raw)
        generator = torch.Generator().manual_seed(ask.seed)
        self._rows.append(_Row(ticket, text, generator, list(ask.ids[length:])))

    def _drop(self, place: int) -> None:
        """A row leaves: the last one that writes takes its place, and the last of all that one's."""
        with torch.inference_mode():
            if place < self._writing:
                self._writing -= 1
                self._fill(place, self._writing)
                place = self._writing
            self._fill(place, len(self._rows) - 1)
            self._rows.pop()
            self._batch.drop_last()

    def _fill(self, gap: int, source: int) -> None:
        self._batch.move(source, gap)
        self._rows[gap] = self._rows[source]

    # -- reading prompts --

    def _read(self) -> None:
        """The next part of the prompts; those that are read to their end draw their first token."""
        first = self._writing
        rows = self._rows[first:]
        rows = rows[: max(1, self._read_tokens // min(self._read_tokens, len(rows[0].unread)))]
        most = max(1, self._read_tokens // len(rows))
        parts = [row.unread[:most] for row in rows]
        logits_NV = self._feed(first, parts, rows)
        for row, part in zip(rows, parts, strict=True):
            row.unread = row.unread[len(part) :]
        done = [n for n, row in enumerate(rows) if not row.unread]
        if not done:
            return
        # From the last one to the first, so that a row that ends at once moves none that is to come.
        drawn = self._draw(logits_NV[done], [rows[n] for n in done])
        for n, token in zip(done, drawn, strict=True):
            self._begin_to_write(first + n)
            rows[n].last = token
        self._take([rows[n] for n in done])

    def _begin_to_write(self, place: int) -> None:
        """A row that was read stands behind those that write."""
        target = self._writing
        self._batch.swap(place, target)
        self._rows[place], self._rows[target] = self._rows[target], self._rows[place]
        self._writing += 1

    # -- writing --

    def _write(self) -> None:
        rows = self._rows[: self._writing]
        logits_NV = self._feed(0, [[row.last] for row in rows], rows)
        for row, token in zip(rows, self._draw(logits_NV, rows), strict=True):
            row.last = token
        self._take(rows)

    def _feed(self, first: int, tokens: list[list[int]], rows: list[_Row]) -> Tensor:
        owners = [self._residents.place(row.adapter) if row.adapter else None for row in rows]
        return within_memory(
            lambda: self._batch.feed(first, tokens, owners), f"writing {len(self._rows)} texts together"
        )

    def _draw(self, logits_NV: Tensor, rows: list[_Row]) -> list[int]:
        """A token for each row, and its log-probability for those that ask."""
        tokens = draw(logits_NV, [row.ask for row in rows], [row.generator for row in rows])
        for n, row in enumerate(rows):
            if row.ask.top is not None:
                row.pieces.append(token_of(logits_NV[n], tokens[n], row.ask.top, row.text))
        return tokens

    def _take(self, rows: list[_Row]) -> None:
        """Tell each row's new token; those that have ended leave, and then are told so."""
        pieces = [self._piece(row) for row in rows]
        for row, piece in zip(rows, pieces, strict=True):
            if piece.finish is not None:
                place = self._rows.index(row)
                self._keep(place)
                self._drop(place)
        for row, piece in zip(rows, pieces, strict=True):
            row.ticket.tell(piece)

    def _piece(self, row: _Row) -> Piece:
        """The row's new token, and whether the text ends with it: by itself, at a stop string or at its
        limit."""
        row.drawn += 1
        tokens, row.pieces = tuple(row.pieces), []
        if row.last in self._ends:
            return Piece(row.text.finish(), tokens, 1, "stop")
        text, stopped = row.text.push(row.last)
        if stopped:
            return Piece(text, tokens, 1, "stop")
        if row.drawn >= row.ask.max_tokens:
            return Piece(text + row.text.finish(), tokens, 1, "length")
        return Piece(text, tokens, 1)

    def _keep(self, place: int) -> None:
        """The beginning for prompts that go on from here."""
        row = self._rows[place]
        held = self._batch.length[place]
        ids = [*(row.ask.ids or ()), *row.text.ids][:held]
        if self._prefixes.wants(row.adapter, ids):
            self._prefixes.add(row.adapter, self._batch.keep(place, ids))

    def _end(self, place: int, error: SelfEditError) -> None:
        row = self._rows[place]
        self._drop(place)
        row.ticket.tell(Piece(error=error))


def _length(ask: Ask) -> int:
    return len(ask.ids or ()) + ask.max_tokens


def _told(error: Exception) -> SelfEditError:
    if isinstance(error, SelfEditError):
        return error
    if is_out_of_memory(error):
        return OutOfMemory("the text does not fit into memory: ask for less, or try again later")
    return SelfEditError(f"internal error: {type(error).__name__}")
