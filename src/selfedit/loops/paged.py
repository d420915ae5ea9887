"""A round in little memory: its self-edits are in the store, and what came of them in a file.

Both are sequences that are read some contexts at a time, as often as they are asked; a round that fits
into a page is read once.
"""

from __future__ import annotations

import json
import tempfile
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

from selfedit.errors import StoreError
from selfedit.types import Candidate, Group, Proposal

# Contexts whose self-edits are in memory at the same time.
PAGE = 200

T = TypeVar("T")


class Paged(Sequence[T]):
    """`count` values, of which those of one page are kept. read: the values at some places, always the
    same for the same places."""

    def __init__(
        self, count: int, read: Callable[[range], Sequence[T]], page: int | None = None
    ) -> None:
        self._count, self._read, self._page = count, read, page or PAGE
        self._number = -1
        self._values: Sequence[T] = ()

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> T: ...

    @overload
    def __getitem__(self, at: slice) -> list[T]: ...

    def __getitem__(self, at: int | slice) -> T | list[T]:
        if isinstance(at, slice):
            return [self[place] for place in range(*at.indices(self._count))]
        place = range(self._count)[at]
        number, offset = divmod(place, self._page)
        if number != self._number:
            first = place - offset
            self._values = ()  # two pages are never in memory
            self._values = self._read(range(first, min(first + self._page, self._count)))
            self._number = number
        return self._values[offset]

    def __iter__(self) -> Iterator[T]:
        return (self[place] for place in range(self._count))


class Rewards:
    """What came of each proposal, in a file of the folder that has no name and goes with this process.

    Raises StoreError where it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ends = array("q", [0])
        try:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        except OSError as error:
            raise self._failed(error) from error

    def add(self, group: Group) -> None:
        """The next proposal's."""
        line = json.dumps([group.baseline, [_values(one) for one in group.candidates]]).encode()
        try:
            self._file.seek(self._ends[-1])
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            raise self._failed(error) from error
        self._ends.append(self._ends[-1] + len(line))

    def groups(self, proposals: Sequence[Proposal]) -> Sequence[Group]:
        """The groups that were added, with the edits of the proposals."""

        def read(places: range) -> list[Group]:
            return [self._group(proposals[place], place) for place in places]

        return Paged(len(self._ends) - 1, read)

    def _group(self, proposal: Proposal, place: int) -> Group:
        begin, end = self._ends[place], self._ends[place + 1]
        self._file.seek(begin)
        baseline, known = json.loads(self._file.read(end - begin))
        candidates = (_candidate(proposal, values) for values in known)
        return Group(proposal.task, baseline, tuple(candidates))

    def _failed(self, error: OSError) -> StoreError:
        return StoreError(
            f"the round's rewards cannot be kept in {self._folder}: {error}. Its trials are stored: "
            "free some space and start again."
        )


def _values(one: Candidate) -> list[Any]:
    return [one.edit.index, one.rewards, one.status, one.reason, one.trials, one.credits]


def _candidate(proposal: Proposal, values: Sequence[Any]) -> Candidate:
    index, rewards, status, reason, trials, credits = values
    edit = next(own for own in proposal.edits if own.index == index)
    return Candidate(edit, tuple(rewards), status, reason, tuple(trials), tuple(credits))
