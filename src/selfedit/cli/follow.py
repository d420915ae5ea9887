"""`selfedit report --follow`: runs that go on, until Ctrl-C or their end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from selfedit.console.common import out, print_json

if TYPE_CHECKING:
    from selfedit.report.follow import Live
    from selfedit.store import Store

SECONDS = 2.0  # between two looks


def follow(
    store: Store,
    run_id: int | None,
    as_json: bool,
    pause: Callable[[float], object] = time.sleep,
) -> None:
    """Show a run until it ends; None: whatever goes on, until Ctrl-C. as_json: an object in a line for
    each look. Raises StoreError."""
    try:
        looks = _looks(store, run_id, pause)
        if as_json:
            for found in looks:
                print_json({"runs": [one.summary() for one in found]})
        elif out.is_terminal:
            _draw(looks)
        else:
            _log(looks)
    except KeyboardInterrupt:
        pass  # how one leaves: the runs go on


def _looks(
    store: Store, run_id: int | None, pause: Callable[[float], object]
) -> Iterator[Sequence[Live]]:
    """What there is to see, again and again: the last look shows how a run ended."""
    from selfedit.report.follow import look

    seen: list[int] = []
    while True:
        found = look(store, run_id, seen)
        seen += [one.run.id for one in found if one.run.id not in seen]
        yield found
        if run_id is not None and not any(one.goes_on for one in found):
            return
        pause(SECONDS)


def _draw(looks: Iterator[Sequence[Live]]) -> None:
    from rich.live import Live as Screen

    from selfedit.report.follow import view

    with Screen(console=out, auto_refresh=False, vertical_overflow="crop") as screen:
        for found in looks:
            screen.update(view(found, out.width), refresh=True)


def _log(looks: Iterator[Sequence[Live]]) -> None:
    """A line for each run whenever it has changed."""
    from selfedit.report.follow import line

    said: dict[int, str] = {}
    for found in looks:
        for one in found:
            if said.get(one.run.id) != line(one):
                said[one.run.id] = line(one)
                out.print(line(one), soft_wrap=True, markup=False, highlight=False)
