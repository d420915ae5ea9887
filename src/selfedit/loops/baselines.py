"""What the bare model scores without any self-edit: what a reward is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from selfedit.config import stable_hash
from selfedit.errors import ModelError
from selfedit.loops.jobs import queried
from selfedit.loops.measures import Asked, Measure
from selfedit.loops.sampler import Writer
from selfedit.seams import Domain
from selfedit.types import GradedAnswer, Score, Task

_AT_ONCE = 50  # tasks between two visits to the store
_STAGE = "asking the policy without an edit"


def bare_scores(writer: Writer, domain: Domain, tasks: Sequence[Task], measure: Measure) -> list[Score]:
    """The score of each task; kept in the store, under everything that determines it.

    Raises ModelError if a probability is not a number.
    """
    if measure.settings.kind in ("accuracy", "f1"):  # greedy answers, each stored as a text
        queries = [domain.queries(task) for task in tasks]
        answers = iter(writer.answer([prompt for own in queries for prompt in own], _STAGE))
        asked = [Asked((tuple(next(answers) for _ in own),)) for own in queries]
        pairs = zip(tasks, asked, strict=True)
        return [_known(measure.score(domain, task, own)) for task, own in pairs]
    keys = [_key(writer, domain, task, measure) for task in tasks]
    writer.progress.start(_STAGE, len(tasks))
    found: dict[str, Score] = {}
    for at in range(0, len(tasks), _AT_ONCE):
        part = range(at, min(at + _AT_ONCE, len(tasks)))
        known = writer.store.cached(keys[i] for i in part)
        missing = [i for i in part if keys[i] not in known]
        asked = measure.ask(writer.model, domain, [tasks[i] for i in missing]) if missing else []
        new = {
            keys[i]: asdict(_known(measure.score(domain, tasks[i], own)))
            for i, own in zip(missing, asked, strict=True)
        }
        writer.store.put_cached("bare", new)
        for key, value in (known | new).items():
            found[key] = Score(tuple(GradedAnswer(**answer) for answer in value["answers"]))
        writer.progress.advance(len(part))
    return [found[key] for key in keys]


def _key(writer: Writer, domain: Domain, task: Task, measure: Measure) -> str:
    said = [task.title, task.context, [queried(query) for query in task.queries]]
    own = measure.settings.identity()
    return stable_hash(["bare", writer.model.identity, own, domain.digest(), said])


def _known(score: Score | None) -> Score:
    if score is None:
        raise ModelError("the model's own probabilities are not numbers, so nothing can be compared.")
    return score
