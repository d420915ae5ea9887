"""Bounds of the numbers that a self-edit may name: in settings, in words, as a pattern, and checked."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator

from selfedit.errors import InvalidSelfEdit

_MANTISSAS = ("1", "1.5", "2", "3", "5", "7")  # of the rates that a pattern allows


def _epochs_in_order(bounds: tuple[int, int]) -> tuple[int, int]:
    if not 1 <= bounds[0] <= bounds[1] <= 1000:
        raise ValueError("two numbers of epochs, in order, from 1 to 1000")
    return bounds


EpochBounds = Annotated[tuple[int, int], AfterValidator(_epochs_in_order)]


def plain(number: float) -> str:
    """Without an exponent, as people write it."""
    return f"{Decimal(repr(number)).normalize():f}"


def in_words(low: float, high: float) -> str:
    return f"from {plain(low)} to {plain(high)}"


def whole_numbers(low: int, high: int) -> str:
    """A regular expression of all of them."""
    return f"({'|'.join(map(str, range(low, high + 1)))})"


def rates(low: float, high: float) -> str:
    """A regular expression of the bounds and of round numbers between them, six to a power of ten, as
    `plain` writes them."""
    found = {
        value
        for mantissa in _MANTISSAS
        for power in range(-9, 1)
        if low <= float(value := Decimal(mantissa).scaleb(power)) <= high
    }
    found |= {Decimal(repr(low)), Decimal(repr(high))}
    return f"({'|'.join(re.escape(f'{rate.normalize():f}') for rate in sorted(found))})"


def check(said: float, name: str, low: float, high: float) -> None:
    """Raises InvalidSelfEdit for a number out of bounds."""
    if not low <= said <= high:
        raise InvalidSelfEdit(f"{name} is {json.dumps(said)}, not {in_words(low, high)}")
