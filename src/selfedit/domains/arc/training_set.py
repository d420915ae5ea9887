"""What a model is trained on at test time: small tasks made of one task's demonstrations.

arXiv 2506.10943, section 4.2: leave-one-out and leave-two-out tasks, their augmentations, and of each
one more with other colours and another order of its demonstrations. As in the paper's release, a task
stays in the set beside its recoloured form.

Every draw is seeded by the seed and the content of the very task it is for. So the set does not depend
on the order in which groups are named, a smaller choice of groups gives a subset, and equal tasks give
equal sets wherever they were read from.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from selfedit.domains.arc.augment import (
    GridFunction,
    augmentations,
    recolour,
    translate,
)
from selfedit.domains.arc.grids import MAX_SIDE, NUM_COLOURS, Grid
from selfedit.domains.arc.settings import ArcGroup
from selfedit.domains.arc.tasks import ArcTask, Example


@dataclass(frozen=True, slots=True)
class TrainingTask:
    """train: demonstrations for the prompt, perhaps none; test: the one held out, to be learned."""

    train: tuple[Example, ...]
    test: Example

    @property
    def examples(self) -> tuple[Example, ...]:
        return (*self.train, self.test)


def training_set(
    task: ArcTask, groups: Iterable[ArcGroup], seed: int, limit: int | None
) -> list[TrainingTask]:
    """At most `limit` training tasks in a random order; the first ones of a larger limit's.

    The test inputs of `task` are not looked at. Never empty.
    """
    return sample(full_set(task, groups, seed), seed, limit)


def full_set(task: ArcTask, groups: Iterable[ArcGroup], seed: int) -> list[TrainingTask]:
    """All training tasks: those of `geometric_set`, and each once more recoloured and reordered."""
    geometric = geometric_set(task, groups, seed)
    return _distinct(itertools.chain(geometric, (_permuted(one, seed) for one in geometric)))


def geometric_set(task: ArcTask, groups: Iterable[ArcGroup], seed: int) -> list[TrainingTask]:
    """The leave-out tasks and then their augmentations, before colours and order are permuted.

    An augmented task with a grid over 30 x 30 is not in it; the leave-out tasks always are.
    """
    chosen = set(groups)
    plain = leave_out(task)
    made = [
        one
        for function in augmentations(chosen).values()
        for one in _leave_out([_image(example, function) for example in task.train])
    ]
    if "basic" in chosen:
        made += [_translated(one, seed) for one in plain]
    return _distinct([*plain, *made])


def leave_out(task: ArcTask) -> list[TrainingTask]:
    """Every leave-one-out task, then every leave-two-out task, of n demonstrations.

    Leave-one-out: one demonstration is the target and the others are the prompt (n tasks).
    Leave-two-out: of two that are removed, each is the target once; the other is not seen (n (n - 1)
    tasks). With one demonstration there is no leave-two-out, and with few the prompt may hold no
    demonstration at all: then the target's output is learned from its input alone.
    """
    return _distinct(_leave_out(task.train))


def _leave_out(examples: Sequence[Example | None]) -> list[TrainingTask]:
    """None is an example that became too large: the tasks that it is part of are left out."""
    indices = range(len(examples))
    made = []
    # The first of those that are removed is the target.
    for gone in (*itertools.permutations(indices, 1), *itertools.permutations(indices, 2)):
        used = [*(i for i in indices if i not in gone), gone[0]]
        *train, test = (examples[i] for i in used)
        known = [example for example in train if example is not None]
        if test is not None and len(known) == len(train):
            made.append(TrainingTask(tuple(known), test))
    return made


def sample(tasks: Iterable[TrainingTask], seed: int, limit: int | None) -> list[TrainingTask]:
    """A seeded sample without replacement that does not depend on the order of `tasks`."""
    return sorted(tasks, key=lambda one: _digest(one, seed, "sample"))[:limit]


def _image(example: Example, function: GridFunction) -> Example | None:
    """Input and output alike; None if one becomes too large."""
    cells = function(example.input.cells), function(example.output.cells)
    if max(*cells[0].shape, *cells[1].shape) > MAX_SIDE:
        return None
    return Example(Grid(cells[0]), Grid(cells[1]))


def _transformed(one: TrainingTask, function: GridFunction) -> TrainingTask:
    """For functions that leave the size as it is."""
    images = [_image(example, function) for example in one.examples]
    *train, test = (image for image in images if image is not None)
    return TrainingTask(tuple(train), test)


def _translated(one: TrainingTask, seed: int) -> TrainingTask:
    """All grids rolled by one shift, so that what input and output share stays in place.

    The shift moves the tallest grid and the widest one, unless they have one row or one column.
    """
    grids = [grid for example in one.examples for grid in (example.input, example.output)]
    draws = _draws(one, seed, "translate")
    down = _shift(draws, max(grid.height for grid in grids))
    right = _shift(draws, max(grid.width for grid in grids))
    return _transformed(one, partial(translate, down=down, right=right))


def _shift(draws: random.Random, side: int) -> int:
    return 1 + int(draws.random() * (side - 1)) if side > 1 else 0


def _permuted(one: TrainingTask, seed: int) -> TrainingTask:
    """One random permutation of the ten colours, and one of the demonstrations in the prompt."""
    draws = _draws(one, seed, "permute")
    colours = _permutation(draws, NUM_COLOURS)
    recoloured = _transformed(one, partial(recolour, colours=colours))
    order = _permutation(draws, len(one.train))
    return TrainingTask(tuple(recoloured.train[i] for i in order), recoloured.test)


def _permutation(draws: random.Random, n: int) -> list[int]:
    # Python keeps random() the same over its versions, and promises that for nothing built on it.
    keys = [draws.random() for _ in range(n)]
    return sorted(range(n), key=keys.__getitem__)


def _draws(one: TrainingTask, seed: int, purpose: str) -> random.Random:
    return random.Random(int.from_bytes(_digest(one, seed, purpose), "big"))


def _digest(one: TrainingTask, seed: int, purpose: str) -> bytes:
    content = hashlib.blake2b(f"{purpose} {seed} {len(one.train)} ".encode(), digest_size=16)
    for example in one.examples:
        content.update(example.input.key)
        content.update(example.output.key)
    return content.digest()


def _distinct(tasks: Iterable[TrainingTask]) -> list[TrainingTask]:
    return list(dict.fromkeys(tasks))
