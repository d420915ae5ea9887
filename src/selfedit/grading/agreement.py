"""How far two graders agree: Cohen's kappa (Cohen 1960), and an interval over groups of answers.

Answers about one passage are correlated, so the bootstrap draws whole passages.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Agreement:
    """kappa: in [-1, 1]; NaN where it is undefined (no answers, or both graders always say the same).

    agreement: share of equal verdicts, NaN without answers. The yes rates are shares too.
    """

    num: int
    kappa: float
    agreement: float
    yes_rate: float
    verdict_yes_rate: float


def agreement(correct: Sequence[bool], verdicts: Sequence[bool]) -> Agreement:
    """Agreement of a grader's decisions with verdicts on the same answers. ValueError if lengths
    differ."""
    table = _tables(correct, verdicts, np.zeros(len(correct), dtype=np.int64))[0]
    num = int(table.sum())
    share = table / max(1, num)
    nan = float("nan")
    return Agreement(
        num=num,
        kappa=float(_kappa(table)),
        agreement=float(share[0] + share[3]) if num else nan,
        yes_rate=float(share[2] + share[3]) if num else nan,
        verdict_yes_rate=float(share[1] + share[3]) if num else nan,
    )


def kappa_interval(
    correct: Sequence[Sequence[bool]],
    verdicts: Sequence[bool],
    groups: Sequence[Hashable],
    level: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of kappa when whole groups are drawn with replacement.

    correct: the decisions, once for each partition of a repeated cross-validation; a draw's kappa is
        the mean over them. One row for a grader that is not cross-validated.
    Draws whose kappa is undefined are left out; NaN if none are left.
    """
    return _interval(_kappa, correct, verdicts, groups, level, draws, seed)


def yes_gap_interval(
    correct: Sequence[Sequence[bool]],
    verdicts: Sequence[bool],
    groups: Sequence[Hashable],
    level: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
) -> tuple[float, float]:
    """The same for the grader's yes rate minus that of the verdicts."""
    return _interval(_yes_gap, correct, verdicts, groups, level, draws, seed)


def _interval(
    of: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    correct: Sequence[Sequence[bool]],
    verdicts: Sequence[bool],
    groups: Sequence[Hashable],
    level: float,
    draws: int,
    seed: int,
) -> tuple[float, float]:
    if not len(verdicts):
        return float("nan"), float("nan")
    places = {group: place for place, group in enumerate(dict.fromkeys(groups))}
    index = np.array([places[group] for group in groups], dtype=np.int64)
    counts_DG = np.random.default_rng(seed).multinomial(
        len(places), np.full(len(places), 1 / len(places)), size=draws
    )
    values_RD = np.array([of(counts_DG @ _tables(row, verdicts, index)) for row in correct])
    values = values_RD.mean(0)
    values = values[np.isfinite(values)]
    if not values.size:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _tables(
    correct: Sequence[bool], verdicts: Sequence[bool], groups: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Counts [G, 4] of (decision, verdict) = no no, no yes, yes no, yes yes in each group."""
    if not len(correct) == len(verdicts) == len(groups):
        raise ValueError(f"{len(correct)} decisions, {len(verdicts)} verdicts, {len(groups)} groups")
    cells = 2 * np.asarray(correct, dtype=np.int64) + np.asarray(verdicts, dtype=np.int64)
    tables = np.zeros((int(groups.max(initial=0)) + 1, 4), dtype=np.int64)
    np.add.at(tables, (groups, cells), 1)
    return tables


def _kappa(tables: NDArray[np.int64]) -> NDArray[np.float64]:
    """Kappa from tables [..., 4]; NaN where chance agreement is certain."""
    no_no, no_yes, yes_no, yes_yes = np.moveaxis(tables.astype(np.float64), -1, 0)
    num = no_no + no_yes + yes_no + yes_yes
    with np.errstate(divide="ignore", invalid="ignore"):
        observed = (no_no + yes_yes) / num
        by_chance = (
            (yes_no + yes_yes) * (no_yes + yes_yes) + (no_no + no_yes) * (no_no + yes_no)
        ) / num**2
        return np.where(by_chance < 1, (observed - by_chance) / (1 - by_chance), np.nan)


def _yes_gap(tables: NDArray[np.int64]) -> NDArray[np.float64]:
    """Yes rate of the decisions minus that of the verdicts, from tables [..., 4]."""
    _, no_yes, yes_no, _ = np.moveaxis(tables.astype(np.float64), -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (yes_no - no_yes) / tables.sum(-1)
