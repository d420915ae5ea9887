"""What an evaluation of knowledge compares: each condition answers the same questions in its own way.

`seal` follows the paper: the trained policy writes the edits and its own weights are trained on them
(section 4.1). The other trained conditions all train the given model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import cast

from selfedit.domains.conditions import Bench, Condition, Outcome, base, same_weights, with_note
from selfedit.domains.knowledge import best_of, passage_matched
from selfedit.domains.knowledge.domain import Knowledge
from selfedit.domains.knowledge.regimes import (
    PassageOnly,
    finetunable,
    learn_and_answer,
    passage_settings,
    settings_of,
)
from selfedit.domains.knowledge.retrieval import PassageIndex
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.endpoints.writer import EndpointWriter, RecordedEdits
from selfedit.errors import InputError
from selfedit.seams import Model
from selfedit.types import Prompt, Query, SelfEdit, Task

Elsewhere = RecordedEdits | EndpointWriter | None


def conditions(elsewhere: Elsewhere = None) -> dict[str, Condition]:
    """elsewhere: source of the edits for `file`."""
    return {
        "base": Condition("closed-book, nothing trained", base, trained=False),
        "in-context": Condition(
            "the passage in the prompt: the upper bound", _in_context, trained=False
        ),
        "retrieval": Condition(
            "the BM25-nearest passages in the prompt", _retrieval, trained=False, check=_check_index
        ),
        "passage": Condition("trained on the passage only", _passage, check=_check_regime),
        "passage-matched": Condition(
            "trained on the passage only, for as many tokens as own",
            passage_matched.passage_matched,
            check=passage_matched.check,
        ),
        "own": Condition("passage + the model's own self-edits, no RL", _own, check=_check_regime),
        "best": Condition(
            "the best of several own self-edits, chosen by questions that the model wrote, no RL",
            best_of.best,
            check=best_of.check,
        ),
        "file": Condition(
            "passage + self-edits from a file or an endpoint",
            partial(_file, elsewhere),
            check=partial(_check_file, elsewhere),
        ),
        "seal": Condition(
            "passage + self-edits of the RL-trained policy, which learns them",
            _seal,
            needs_policy=True,
            check=_check_regime,
        ),
    }


def _domain(bench: Bench) -> Knowledge:
    assert isinstance(bench.domain, Knowledge)
    return bench.domain


# -- what is checked before any work ---------------------------------------------------------------


def _check_regime(bench: Bench) -> None:
    if settings_of(bench).regime == "cpt-full":
        finetunable(bench.model)


def _check_index(bench: Bench) -> None:
    PassageIndex(bench.tasks)


def _check_file(elsewhere: Elsewhere, bench: Bench) -> None:
    _check_regime(bench)
    if elsewhere is None:
        raise InputError("the condition `file` needs --edits FILE or --writer-model NAME.")
    if isinstance(elsewhere, EndpointWriter):
        elsewhere.check()
        return
    for task in bench.tasks:
        elsewhere.of(task.context)


# -- nothing trained -------------------------------------------------------------------------------


def _in_context(bench: Bench) -> Outcome:
    return _with_passages(bench, lambda task, query: [task])


def _retrieval(bench: Bench) -> Outcome:
    index, k = PassageIndex(bench.tasks), settings_of(bench).top_k
    found = {
        (task.id, query.question): index.find(query.question, k)
        for task in bench.tasks
        for query in task.queries
    }
    hits = sum(any(task.id == other.id for other in found[task.id, q.question])
               for task in bench.tasks for q in task.queries)  # fmt: skip
    total = sum(len(task.queries) for task in bench.tasks)
    outcome = _with_passages(bench, lambda task, q: found[task.id, q.question])
    return with_note(outcome, f"the passage is among the {k} retrieved for {hits} of {total}")


def _with_passages(bench: Bench, passages: Callable[[Task, Query], Sequence[Task]]) -> Outcome:
    """Answers of the bare model with passages in the prompt."""
    domain = _domain(bench)
    asked = []
    for task in bench.tasks:
        for query in task.queries:
            texts = [f"{other.title}\n{other.context}" for other in passages(task, query)]
            question = domain.question(query, task.title).text
            asked.append(Prompt("\n\n".join([*texts, question]), kind="question"))
    replies = iter(bench.answer(bench.model, asked, "asking the model with passages"))
    scores = [domain.score(task, [next(replies) for _ in task.queries]) for task in bench.tasks]
    return Outcome(tuple((score,) for score in scores), learner=bench.model.name)


# -- trained ---------------------------------------------------------------------------------------


def _passage(bench: Bench) -> Outcome:
    plain = passage_settings(settings_of(bench).inner)
    edits = [[SelfEdit(task.id, 0, (), ())] for task in bench.tasks]
    return learn_and_answer(bench, bench.model, PassageOnly(plain.knowledge), edits, plain)


def _own(bench: Bench) -> Outcome:
    return _written_by_itself(bench, bench.model)


def _seal(bench: Bench) -> Outcome:
    policy = bench.policy()
    return with_note(_written_by_itself(bench, policy), same_weights(bench, policy))


def _written_by_itself(bench: Bench, model: Model) -> Outcome:
    """Edits and training by one model, as in the paper."""
    inner, domain = settings_of(bench).inner, _domain(bench)
    edits = bench.propose(model, domain, inner)
    return replace(learn_and_answer(bench, model, domain, edits, inner), writer=model.name)


def _file(elsewhere: Elsewhere, bench: Bench) -> Outcome:
    inner = _whole_passage(settings_of(bench).inner)
    domain = Knowledge(inner.knowledge, _domain(bench).grader)
    if isinstance(elsewhere, EndpointWriter):
        writer = elsewhere.settings.model
        edits = _from_endpoint(bench, elsewhere, domain, inner)
    else:
        recorded = cast(RecordedEdits, elsewhere)  # `_check_file`
        writer = str(recorded.path.name)
        edits = [
            [
                SelfEdit(task.id, i, (), (text,))
                for i, text in enumerate(recorded.of(task.context)[: inner.candidates])
            ]
            for task in bench.tasks
        ]
    short = sum(len(own) < inner.candidates for own in edits)
    note = f"{short} contexts have fewer than {inner.candidates} edits" if short else ""
    outcome = learn_and_answer(bench, bench.model, domain, edits, inner)
    return with_note(replace(outcome, writer=writer), note)


def _from_endpoint(
    bench: Bench, writer: EndpointWriter, domain: Knowledge, inner: LearnSettings
) -> list[list[SelfEdit]]:
    """`inner.candidates` edits of each task; each has its own seed, and replies are stored."""
    places = [(task, i) for task in bench.tasks for i in range(inner.candidates)]
    prompts = [domain.prompts(task)[0] for task, _ in places]
    bench.progress.start("asking the endpoint for self-edits", len(places))
    seeds = [inner.seed * inner.candidates + i for _, i in places]
    texts = writer.write(prompts, inner.sampling, seeds, bench.progress.advance)
    edits = [
        SelfEdit(task.id, i, (prompt,), (text,))
        for (task, i), prompt, text in zip(places, prompts, texts, strict=True)
    ]
    count = inner.candidates
    return [edits[at : at + count] for at in range(0, len(edits), count)]


def _whole_passage(inner: LearnSettings) -> LearnSettings:
    """A recorded edit is one text about a whole passage; `sentences` is then parsed as
    `implications`."""
    if inner.knowledge.strategy != "sentences":
        return inner
    values = inner.model_dump(mode="json")
    values["knowledge"]["strategy"] = "implications"
    del values["sampling"]  # the strategy's own
    return LearnSettings.model_validate(values)
