"""What is compared: each condition answers the same questions in its own way.

`seal` follows the paper: the trained policy writes the edits and its own weights are trained on them
(section 4.1). The other trained conditions all train the given model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.endpoints.writer import EndpointWriter, RecordedEdits
from selfedit.errors import InputError
from selfedit.evaluation.regimes import (
    Answers,
    PassageOnly,
    Place,
    closed_book,
    finetunable,
    learn_and_answer,
)
from selfedit.evaluation.retrieval import PassageIndex
from selfedit.loops.sampler import Writer
from selfedit.seams import Model
from selfedit.types import Prompt, Query, SelfEdit, Task


@dataclass
class Subjects:
    """Who answers and who writes. load_policy: loads the trained policy when its row comes.

    edits, writer: where the edits of `file` come from; a file goes before an endpoint.
    """

    model: Model
    load_policy: Callable[[], Model] | None = None
    edits: RecordedEdits | None = None
    writer: EndpointWriter | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """A row of the table. trained: whether weights change."""

    what: str
    answer: Callable[[Place, Subjects], Answers]
    trained: bool = True


def _base(place: Place, subjects: Subjects) -> Answers:
    domain = Knowledge(place.settings.inner.knowledge)
    replies = closed_book(place, subjects.model, domain, place.tasks)
    return Answers(tuple((own,) for own in replies), learner=subjects.model.name)


def _in_context(place: Place, subjects: Subjects) -> Answers:
    return _with_passages(place, subjects.model, lambda task, query: [task])


def _retrieval(place: Place, subjects: Subjects) -> Answers:
    index, k = PassageIndex(place.tasks), place.settings.top_k
    found = {
        (task.id, query.question): index.find(query.question, k)
        for task in place.tasks
        for query in task.queries
    }
    hits = sum(any(task.id == other.id for other in found[task.id, q.question])
               for task in place.tasks for q in task.queries)  # fmt: skip
    total = sum(len(task.queries) for task in place.tasks)
    answers = _with_passages(place, subjects.model, lambda task, q: found[task.id, q.question])
    return replace(answers, note=f"the passage is among the {k} retrieved for {hits} of {total}")


def _with_passages(
    place: Place, model: Model, passages: Callable[[Task, Query], Sequence[Task]]
) -> Answers:
    """Answers of the bare model with passages in the prompt."""
    domain = Knowledge(place.settings.inner.knowledge)
    asked = []
    for task in place.tasks:
        for query in task.queries:
            texts = [f"{other.title}\n{other.context}" for other in passages(task, query)]
            question = domain.question(query, task.title).text
            asked.append(Prompt("\n\n".join([*texts, question]), kind="question"))
    writer = Writer(model, place.store, place.progress)
    replies = iter(writer.answer(asked, "asking the model with passages"))
    answers = tuple((tuple(next(replies) for _ in task.queries),) for task in place.tasks)
    return Answers(answers, learner=model.name)


def _passage(place: Place, subjects: Subjects) -> Answers:
    inner = place.settings.inner
    # Only these of the knowledge settings matter, so that other strategies share the trials.
    kept = {name: getattr(inner.knowledge, name) for name in ("title_line", "topic", "ends", "form")}
    plain = inner.model_copy(
        update={"knowledge": type(inner.knowledge)(strategy="none", **kept), "candidates": 1}
    )
    edits = [[SelfEdit(task.id, 0, (), ())] for task in place.tasks]
    answers = learn_and_answer(place, subjects.model, PassageOnly(plain.knowledge), edits, plain)
    return replace(answers, learner=subjects.model.name)


def _own(place: Place, subjects: Subjects) -> Answers:
    return _written_by_itself(place, subjects.model)


def _seal(place: Place, subjects: Subjects) -> Answers:
    assert subjects.load_policy is not None, "check_subjects"
    policy = subjects.load_policy()
    answers = _written_by_itself(place, policy)
    if policy.identity == subjects.model.identity:
        note = "the policy has the weights of the model"
        return replace(answers, note="; ".join(filter(None, (answers.note, note))))
    return answers


def _written_by_itself(place: Place, model: Model) -> Answers:
    """Edits and training by one model, as the paper has it."""
    inner = place.settings.inner
    domain = Knowledge(inner.knowledge)
    edits = Writer(model, place.store, place.progress).propose(domain, place.tasks, inner)
    answers = learn_and_answer(place, model, domain, edits, inner)
    return replace(answers, writer=model.name, learner=model.name)


def _file(place: Place, subjects: Subjects) -> Answers:
    inner = _whole_passage(place.settings.inner)
    domain, tasks = Knowledge(inner.knowledge), place.tasks
    if subjects.edits is not None:
        writer = str(subjects.edits.path.name)
        texts = [subjects.edits.of(task.context)[: inner.candidates] for task in tasks]
        edits = [
            [SelfEdit(task.id, i, (), (text,)) for i, text in enumerate(own)]
            for task, own in zip(tasks, texts, strict=True)
        ]
    else:
        assert subjects.writer is not None, "check_subjects"
        writer = subjects.writer.settings.model
        edits = _from_endpoint(place, subjects.writer, domain, inner)
    short = sum(len(own) < inner.candidates for own in edits)
    note = f"{short} contexts have fewer than {inner.candidates} edits" if short else ""
    answers = learn_and_answer(place, subjects.model, domain, edits, inner)
    note = "; ".join(filter(None, (answers.note, note)))
    return replace(answers, writer=writer, learner=subjects.model.name, note=note)


def _from_endpoint(
    place: Place, writer: EndpointWriter, domain: Knowledge, inner: LearnSettings
) -> list[list[SelfEdit]]:
    """`inner.candidates` edits of each task; each has its own seed, and the store keeps the replies."""
    places = [(task, i) for task in place.tasks for i in range(inner.candidates)]
    prompts = [domain.prompts(task)[0] for task, _ in places]
    place.progress.start("asking the endpoint for self-edits", len(places))
    seeds = [inner.seed * inner.candidates + i for _, i in places]
    texts = writer.write(prompts, inner.sampling, seeds, place.progress.advance)
    edits = [
        SelfEdit(task.id, i, (prompt,), (text,))
        for (task, i), prompt, text in zip(places, prompts, texts, strict=True)
    ]
    count = inner.candidates
    return [edits[at : at + count] for at in range(0, len(edits), count)]


def _whole_passage(inner: LearnSettings) -> LearnSettings:
    """A recorded edit is one text of a whole passage; `sentences` is read as `implications` then."""
    if inner.knowledge.strategy != "sentences":
        return inner
    values = inner.model_dump(mode="json")
    values["knowledge"]["strategy"] = "implications"
    del values["sampling"]  # the strategy's own
    return LearnSettings.model_validate(values)


CONDITIONS: dict[str, Condition] = {
    "base": Condition("closed-book, nothing trained", _base, trained=False),
    "in-context": Condition("the passage in the prompt: the upper bound", _in_context, trained=False),
    "retrieval": Condition("the BM25-nearest passages in the prompt", _retrieval, trained=False),
    "passage": Condition("trained on the passage only", _passage),
    "own": Condition("passage + the model's own self-edits, no RL", _own),
    "file": Condition("passage + self-edits from a file or an endpoint", _file),
    "seal": Condition("passage + self-edits of the RL-trained policy, which learns them", _seal),
}


def check_names(names: Sequence[str]) -> None:
    """Raises InputError for a condition that does not exist, or comes twice."""
    unknown = [name for name in names if name not in CONDITIONS]
    if unknown:
        raise InputError(f"--conditions {unknown[0]}: use some of {', '.join(CONDITIONS)}.")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"--conditions names {twice[0]} twice.")


def check_subjects(place: Place, subjects: Subjects) -> None:
    """Raises InputError for what a row will need and is not there, before any work."""
    names = place.settings.conditions
    check_names(names)
    if "seal" in names and subjects.load_policy is None:
        raise InputError("the condition `seal` needs --policy FOLDER, as `selfedit train` writes it.")
    if "file" in names:
        if subjects.edits is None and subjects.writer is None:
            raise InputError("the condition `file` needs --edits FILE or --writer-model NAME.")
        if subjects.edits is not None:
            for task in place.tasks:
                subjects.edits.of(task.context)
        elif subjects.writer is not None:
            subjects.writer.check()
    if "retrieval" in names:
        PassageIndex(place.tasks)
    if place.settings.regime == "cpt-full" and any(CONDITIONS[name].trained for name in names):
        finetunable(subjects.model)
