"""Answers to a task's test inputs: many views of each, one greedy answer per view, and a vote.

arXiv 2506.10943, section 4.2: the prompts hold all demonstrations, or all but one; in the task's order
or in a random one; as they are, or turned, mirrored or transposed. Each answer is turned back before
the vote.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from selfedit.domains.arc.augment import INVERSE, INVERTIBLE
from selfedit.domains.arc.grids import Grid, MalformedGrid
from selfedit.domains.arc.tasks import ArcTask, Example
from selfedit.domains.arc.text import GridFormat, parse_grid

TRANSFORMS = tuple(INVERTIBLE)  # "identity" first


@dataclass(frozen=True, slots=True)
class VotingQuery:
    """One view of a test input. examples and query are transformed; their answer is, too."""

    test_index: int
    transform: str
    examples: tuple[Example, ...]
    query: Grid

    def restore(self, grid: Grid) -> Grid:
        """An answer to this view as an answer to the test input itself."""
        return _transformed(grid, INVERSE[self.transform])


@dataclass(frozen=True, slots=True)
class Attempts:
    """The two attempts at one test input; None if there were too few different grids.

    votes: every grid that was answered with its number of votes, best first. malformed: the reason for
    each answer that was not a grid.
    """

    first: Grid | None
    second: Grid | None
    votes: tuple[tuple[Grid, int], ...] = ()
    malformed: tuple[str, ...] = ()

    def solve(self, truth: Grid) -> bool:
        """Whether one of the two is right."""
        return truth in (self.first, self.second)


def voting_queries(
    task: ArcTask, seed: int, *, transforms: Sequence[str] = TRANSFORMS, permutations: int = 1
) -> tuple[VotingQuery, ...]:
    """The views of every test input of a task; all of the first input, then all of the second.

    transforms: names of `augment.INVERTIBLE`. permutations: random orders of each prompt, besides the
    task's own. For each transform: all demonstrations, then those with one left out; with a single
    demonstration, leaving it out leaves the input alone, as in its training set. With n
    demonstrations there are (n + 1) (1 + permutations) views per transform, minus duplicates.
    The draws depend on the seed and their number, not on the grids.
    """
    assert set(transforms) <= INVERTIBLE.keys(), "transforms that can be undone"
    prompts = tuple(_prompts(task.train, seed, permutations))
    views = [
        (name, [tuple(_image(example, name) for example in prompt) for prompt in prompts])
        for name in transforms
    ]
    return tuple(
        VotingQuery(index, name, examples, _transformed(given, name))
        for index, given in enumerate(task.test_inputs)
        for name, shown in views
        for examples in shown
    )


def vote(
    task: ArcTask,
    queries: Sequence[VotingQuery],
    answers: Sequence[str],
    form: GridFormat = "rows",
) -> tuple[Attempts, ...]:
    """Attempts at each test input from the answers, which are in the order of the queries.

    The grid that most views gave is first; of equally many votes, the one with more from the views
    that are not transformed; then the one that was answered first. A malformed answer has no vote.
    """
    assert len(queries) == len(answers), "an answer for each query"
    votes: list[Counter[Grid]] = [Counter() for _ in task.test_inputs]
    plain: list[Counter[Grid]] = [Counter() for _ in task.test_inputs]
    malformed: list[list[str]] = [[] for _ in task.test_inputs]
    for query, answer in zip(queries, answers, strict=True):
        try:
            grid = query.restore(parse_grid(answer, form))
        except MalformedGrid as error:
            malformed[query.test_index].append(str(error))
            continue
        votes[query.test_index][grid] += 1
        plain[query.test_index][grid] += query.transform == "identity"
    return tuple(map(_attempts, votes, plain, malformed))


def _attempts(votes: Counter[Grid], plain: Counter[Grid], malformed: list[str]) -> Attempts:
    # A Counter keeps the order of first appearance, and so does a sort of equals.
    ranked = sorted(votes.items(), key=lambda entry: (-entry[1], -plain[entry[0]]))
    first, second, *_ = (*(grid for grid, _ in ranked), None, None)
    return Attempts(first, second, tuple(ranked), tuple(malformed))


def _prompts(
    examples: tuple[Example, ...], seed: int, permutations: int
) -> Iterator[tuple[Example, ...]]:
    """All demonstrations and all but each one, each in the task's order and in random ones."""
    for left_out in (None, *range(len(examples))):
        kept = tuple(example for i, example in enumerate(examples) if i != left_out)
        content = f"vote {seed} {len(examples)} {left_out}".encode()
        draws = random.Random(hashlib.blake2b(content, digest_size=16).digest())
        orders = [kept]
        for _ in range(permutations):
            # Python guarantees only random() to stay the same across versions.
            keys = [draws.random() for _ in kept]
            orders.append(tuple(kept[i] for i in sorted(range(len(kept)), key=keys.__getitem__)))
        yield from dict.fromkeys(orders)


def _image(example: Example, name: str) -> Example:
    return Example(_transformed(example.input, name), _transformed(example.output, name))


def _transformed(grid: Grid, name: str) -> Grid:
    return Grid(INVERTIBLE[name](grid.cells))
