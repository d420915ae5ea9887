"""What the bare model scores without any self-edit: what a reward is compared with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice

from selfedit.config import stable_hash
from selfedit.errors import ModelError
from selfedit.loops.jobs import queried
from selfedit.loops.measures import Asked, Measure
from selfedit.loops.sampler import Writer
from selfedit.seams import Domain
from selfedit.types import GradedAnswer, Score, Task

_AT_ONCE = 50  # tasks between two visits to the store
_STAGE = "asking the policy without an edit"


def bare_scores(
    writer: Writer, domain: Domain, tasks: Sequence[Task], measure: Measure
) -> Iterator[Score]:
    """The score of each task; kept in the store, under everything that determines it. Few of them are
    in memory.

    Raises ModelError if a probability is not a number.
    """
    if measure.settings.kind not in ("accuracy", "f1"):
        yield from _read(writer, domain, tasks, measure)
        return
    # Greedy answers, each stored as a text.
    count = sum(len(domain.queries(task)) for task in tasks)
    prompts = (prompt for task in tasks for prompt in domain.queries(task))
    answers = writer.answers(prompts, count, _STAGE)
    for task in tasks:
        own = Asked((tuple(islice(answers, len(domain.queries(task)))),))
        yield _known(measure.score(domain, task, own))


def _read(writer: Writer, domain: Domain, tasks: Sequence[Task], measure: Measure) -> Iterator[Score]:
    writer.progress.start(_STAGE, len(tasks))
    for at in range(0, len(tasks), _AT_ONCE):
        part = tasks[at : at + _AT_ONCE]
        keys = [_key(writer, domain, task, measure) for task in part]
        known = writer.store.cached(keys)
        missing = [i for i, key in enumerate(keys) if key not in known]
        asked = measure.ask(writer.model, domain, [part[i] for i in missing]) if missing else []
        new = {
            keys[i]: asdict(_known(measure.score(domain, part[i], own)))
            for i, own in zip(missing, asked, strict=True)
        }
        writer.store.put_cached("bare", new)
        writer.progress.found(len(part) - len(missing))
        writer.progress.advance(len(missing))
        for key in keys:
            value = known.get(key) or new[key]
            yield Score(tuple(GradedAnswer(**answer) for answer in value["answers"]))


def _key(writer: Writer, domain: Domain, task: Task, measure: Measure) -> str:
    said = [task.title, task.context, [queried(query) for query in task.queries]]
    own = measure.settings.identity()
    return stable_hash(["bare", writer.model.identity, own, domain.digest(), said])


def _known(score: Score | None) -> Score:
    if score is None:
        raise ModelError("the model's own probabilities are not numbers, so nothing can be compared.")
    return score
