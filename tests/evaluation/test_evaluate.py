"""Conditions and regimes with the fake model: flow, resuming, stored work, invalid edits, tables."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from rich.console import Console

from selfedit import experiments
from selfedit.config import AnchorSettings
from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.conditions import conditions as conditions_of
from selfedit.domains.knowledge.evaluation import REGIMES, KnowledgeEvaluation, inner_values
from selfedit.domains.knowledge.regimes import corpus
from selfedit.domains.knowledge.settings import KnowledgeSettings, LearnSettings
from selfedit.domains.rows import Evaluation
from selfedit.endpoints.writer import read_edits
from selfedit.errors import InputError
from selfedit.evaluation.evaluate import regraded
from selfedit.grading import contains, offline
from selfedit.grading.graders import exact
from selfedit.model.fake import FakeModel
from selfedit.model.tiny import tiny_model
from selfedit.progress import Silent
from selfedit.report.by_round import accuracy_by_round
from selfedit.report.evaluation_blocks import cell, evaluation_sections
from selfedit.show.markdown import page_markdown
from selfedit.show.page import Page
from selfedit.show.page_terminal import print_page
from selfedit.store import Store
from selfedit.types import Completion, GradedAnswer, Query, Score, SelfEdit, Task, TrainingRecord

# `passage-matched` and `best` are in test_beside.py.
ALL = tuple(name for name in conditions_of() if name not in ("passage-matched", "best"))


def task(i: int, *, questions: bool = True) -> Task:
    queries = (
        Query(f"Which stone is tower number{i} made of?", (f"stone{i}",)),
        Query(f"In which field stands tower number{i}?", ("nowhere",)),
    )
    text = f"The tower number{i} is made of stone{i}. The tower number{i} stands in field{i}."
    return Task(f"id{i}", f"Tower {i}", text, queries if questions else ())


TASKS = [task(i) for i in range(7)]


def settings(conditions=("base", "passage", "own"), regime="single", **inner) -> KnowledgeEvaluation:
    given = {"knowledge": {"restatements": 3}, "train": {"epochs": 2}, **inner}
    values = LearnSettings.model_validate(inner_values(regime, given))
    return KnowledgeEvaluation(conditions=conditions, regime=regime, inner=values, resamples=200)


def store(tmp_path, name="a") -> Store:
    return Store(tmp_path / name / "store.sqlite")


def evaluate(
    model, tasks, kept, chosen, *, policy=None, elsewhere=None, grader=offline, **more
) -> Evaluation:
    found = experiments.evaluate(
        Knowledge(chosen.inner.knowledge),
        tasks,
        model,
        chosen,
        kept,
        policy=None if policy is None else policy.name,
        load=lambda name: policy,
        conditions=conditions_of(elsewhere),
        grader=grader,
        **more,
    )
    return found.evaluation


def page(found: Evaluation) -> Page:
    return Page("", "", (), "", "", tuple(evaluation_sections(found, Knowledge())))


@pytest.fixture
def edits(tmp_path):
    path = tmp_path / "edits.jsonl"
    lines = [
        {"context": t.context, "edit": f"{i}. Of {t.title} one says {word}."}
        for t in TASKS
        for i, word in enumerate(("this", "that"), 1)
    ]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return read_edits(path)


class Broken(FakeModel):
    """Interrupted at the n-th training."""

    def __init__(self, stop_at: int) -> None:
        super().__init__()
        self.stop_at = stop_at

    def train(self, *args, **kwargs):
        if self.calls["train"] + 1 == self.stop_at:
            raise KeyboardInterrupt
        return super().train(*args, **kwargs)


def test_a_policy_that_no_condition_is_about_is_said(tmp_path):
    said = []

    class Noted(Silent):
        def warn(self, text):
            said.append(text)

    policy = FakeModel("policy", "fake-policy")
    for names in (("base", "own"), ("base", "seal")):
        evaluate(FakeModel(), TASKS, store(tmp_path), settings(names), policy=policy, progress=Noted())
    assert said == [
        "--policy has no row: no condition of base, own is about it; add seal to --conditions."
    ]


@pytest.mark.parametrize("regime", ["single", "cpt"])
def test_every_condition_has_its_row(tmp_path, edits, regime):
    policy = FakeModel("policy", "fake-policy")
    result = evaluate(
        FakeModel(),
        [*TASKS, task(99, questions=False)],
        store(tmp_path),
        settings(ALL, regime),
        policy=policy,
        elsewhere=edits,
    )
    assert [row.condition for row in result.rows] == list(ALL)
    rows = {row.condition: row for row in result.rows}
    assert {row.questions for row in result.rows} == {14}
    assert {row.contexts for row in result.rows} == {7}
    assert result.without_questions == 1
    assert rows["base"].accuracy == 0.0
    for name in ("in-context", "passage", "own", "file", "seal"):
        assert rows[name].accuracy == rows[name].pooled == 0.5, name
        assert rows[name].low <= 0.5 <= rows[name].high
    assert rows["retrieval"].note == "the passage is among the 3 retrieved for 14 of 14"
    assert (rows["seal"].writer, rows["seal"].learner) == ("policy", "policy")
    assert (rows["file"].writer, rows["file"].learner) == ("edits.jsonl", "fake")
    assert [r.condition for r in result.rows if r.regime == "none"] == list(ALL[:3])
    assert [r.tokens for r in result.rows[:3]] == [0, 0, 0]
    assert rows["own"].tokens > rows["passage"].tokens > 0
    per_row = 7 if regime == "single" else 1
    assert {rows[n].trainings for n in ALL[3:]} == {per_row}
    assert policy.calls["train"] > 0
    assert len(result.pairs) == 21
    said = {(p.a, p.b): p for p in result.pairs}
    assert said["own", "base"].verdict == "own is better than base"
    assert said["seal", "own"].verdict == "no difference shown between seal and own"


def test_edits_from_an_endpoint_that_dies_half_way(tmp_path):
    """The real client against a real server; what it wrote is kept, and not asked for again."""
    from selfedit.config import EndpointSettings
    from selfedit.endpoints.writer import EndpointWriter
    from selfedit.errors import EndpointError
    from tests.endpoint_server import EndpointServer, Reply, error

    dead = True

    def answer(n, prompt):
        (i,) = {number for number in range(7) if f"tower number{number}" in prompt}
        return error(401) if dead and n >= 4 else Reply(f"1. The tower number{i} is made of stone{i}.")

    server = EndpointServer(answer)
    own = EndpointSettings(base_url=server.url, concurrency=1, model="writer-1")

    def run():
        writer = EndpointWriter(own, store(tmp_path))
        chosen = settings(("base", "file"))
        return evaluate(FakeModel(), TASKS, store(tmp_path), chosen, elsewhere=writer)

    try:
        with pytest.raises(EndpointError, match="writer-1"):
            run()
        dead = False
        rows = {row.condition: row for row in run().rows}
        assert len(server.requests) == 7 + 1
        assert (rows["file"].writer, rows["file"].accuracy) == ("writer-1", 0.5)
    finally:
        server.close()


@pytest.mark.parametrize("regime", ["single", "cpt"])
@pytest.mark.parametrize("stop_at", [1, 2, 3])
def test_stopped_and_started_again(tmp_path, regime, stop_at):
    chosen = settings(("base", "passage", "own"), regime, seeds=2)
    tasks = [task(i) for i in range(20)]  # three waves a row
    whole_model = FakeModel()
    whole = evaluate(whole_model, tasks, store(tmp_path, "whole"), chosen)
    kept = store(tmp_path, "broken")
    with pytest.raises(KeyboardInterrupt):
        evaluate(Broken(stop_at), tasks, kept, chosen)
    assert kept.runs()[0].status == "interrupted"
    model = FakeModel()
    again = evaluate(model, tasks, kept, chosen)
    plain = [replace(row, seconds=None) for row in again.rows]
    assert plain == [replace(row, seconds=None) for row in whole.rows]
    assert again.pairs == whole.pairs
    assert model.calls["train"] == whole_model.calls["train"] - (stop_at - 1)
    idle = FakeModel()
    third = evaluate(idle, tasks, kept, chosen)
    assert third == again  # seconds, too: as they were measured
    assert not idle.calls


def test_stored_trials_are_graded_anew(tmp_path):
    kept = store(tmp_path)
    first = evaluate(FakeModel(), TASKS, kept, settings(), grader=contains)
    idle = FakeModel()
    second = evaluate(idle, TASKS, kept, settings(), grader=exact)
    assert not idle.calls
    assert first.rows[2].accuracy == 0.5
    assert second.rows[2].accuracy == 0.0


def test_a_judge_gets_all_answers_together(tmp_path):
    class Yes:
        asked: list[int] = []  # noqa: RUF012

        def __call__(self, question, golds, answer):
            raise AssertionError("one by one")

        def grade_many(self, queries, answers, on_done=None):
            self.asked.append(len(queries))
            return [True] * len(queries)

    result = evaluate(FakeModel(), TASKS, store(tmp_path), settings(("base",)), grader=Yes())
    assert result.rows[0].accuracy == 1.0
    assert Yes.asked == [14]


def test_seeds_are_averaged_question_by_question():
    said = ((("stone0", "nowhere"), ("stone0", "?"), ("?", "?")), (("", "nowhere"),) * 3)
    scores = [
        [Score(tuple(GradedAnswer("", "", answer, False) for answer in one)) for one in own]
        for own in said
    ]
    graded = regraded(contains, TASKS[:2], scores)
    marks = [Knowledge().marks(task, own) for task, own in zip(TASKS[:2], graded, strict=True)]
    assert marks == [[2 / 3, 1 / 3], [0.0, 1.0]]


def test_the_mean_over_contexts_and_the_share_of_questions(tmp_path):
    wide = replace(task(0), queries=(*task(0).queries, *[Query("Why so?", ("z",))] * 2))
    result = evaluate(FakeModel(), [wide, task(1)], store(tmp_path), settings(("own",)))
    row = result.rows[0]
    assert row.accuracy == pytest.approx((1 / 4 + 1 / 2) / 2)
    assert row.pooled == pytest.approx(2 / 6)


def test_edits_of_tasks_that_cannot_be_graded_are_not_counted(tmp_path):
    """They are kept for a submission; a row would have more invalid edits than models."""
    tasks = [replace(task(i, questions=i < 2), context=f"It is {i}. NaN it is.") for i in range(8)]
    chosen = settings(("passage",))
    (row,) = evaluate(FakeModel(), tasks, store(tmp_path), chosen, keep_ungradable=True).rows
    assert (row.contexts, row.models, row.failed) == (2, 2, 2)
    assert sum(count for _, count in row.reasons) == 2


@pytest.mark.parametrize("regime", ["single", "cpt"])
def test_what_trains_nothing_leaves_the_model_as_it_was(tmp_path, regime):
    class Mute(FakeModel):
        def sample(self, prompts, sampling, seeds, **options):
            replies = super().sample(prompts, sampling, seeds, **options)
            return [
                Completion("") if p.kind == "instruction" else r
                for p, r in zip(prompts, replies, strict=True)
            ]

    result = evaluate(Mute(), TASKS, store(tmp_path), settings(("base", "own"), regime))
    own = result.rows[1]
    assert own.invalid == (7 if regime == "single" else 35)
    assert own.accuracy == (result.rows[0].accuracy if regime == "single" else 0.5)
    twice = evaluate(Mute(), TASKS, store(tmp_path, "c"), settings(("own",), regime, seeds=2))
    told = "own: 7 invalid edits and 0" if regime == "single" else "own: 35 invalid edits and 0"
    assert told in page_markdown(page(twice))
    bad = [replace(t, context=f"{t.context} NaN it is.") for t in TASKS]
    chosen = settings(("base", "passage"), regime, seeds=2)
    failed = evaluate(FakeModel(), bad, store(tmp_path, "b"), chosen).rows[1]
    assert failed.failed == (14 if regime == "single" else 2)
    assert failed.accuracy == 0.0
    again = evaluate(FakeModel(), bad, store(tmp_path, "b"), chosen)
    assert "failed trainings" in page_markdown(page(again))


def test_cpt_trains_each_statement_once_and_the_passage_last(tmp_path, edits):
    seen = []

    class Watched(FakeModel):
        def train(self, plans, *rest, **options):
            seen.append([s.text for s in plans[0].sequences])
            return super().train(plans, *rest, **options)

    evaluate(Watched(), TASKS, store(tmp_path), settings(("file",), "cpt"), elsewhere=edits)
    (texts,) = seen
    assert len(texts) == len(set(texts)) == 3 * 7
    assert texts[2::3] == [f"{t.title}\n{t.context}" for t in TASKS]


def test_cpt_full_on_real_weights(tmp_path):
    model = tiny_model()
    before = {name: value.clone() for name, value in model.hf.state_dict().items()}
    tasks = [replace(task(i), queries=task(i).queries[:1]) for i in range(2)]
    chosen = settings(("base", "passage"), "cpt-full", seeds=2)
    kept = store(tmp_path)
    result = evaluate(model, tasks, kept, chosen)
    assert all(value.equal(before[name]) for name, value in model.hf.state_dict().items())
    row = result.rows[1]
    tokens = sum(len(model.encode(s, 1024).ids) for s in _passages(tasks))
    assert row.tokens == tokens * 2 * 2  # epochs, seeds
    assert evaluate(model, tasks, kept, chosen) == result
    plans = []
    evaluate(model, tasks, kept, chosen, confirm=lambda plan: plans.append(plan) or True)
    (plan,) = plans
    assert plan.trainings == 2
    assert plan.tokens > 0
    assert plan.seconds > 0


@pytest.mark.parametrize("regime", ["cpt", "cpt-full"])
def test_a_training_is_known_by_all_that_it_depends_on(tmp_path, regime):
    """Statements that end are other trainings; an anchor holds adapters, not finetuned weights."""
    inner = settings(("passage",), regime).inner
    anchored = inner.train.model_copy(update={"anchor": AnchorSettings(weight=1.0)})
    ending = inner.knowledge.model_copy(update={"ends": True})
    kept, trained = store(tmp_path), []

    class Watched(FakeModel):
        def train(self, *args, **options):
            trained.append(args[2].anchor.weight)
            return super().train(*args, **options)

        def finetune(self, plan, train, *rest, **options):
            trained.append(train.anchor.weight)
            return self, TrainingRecord([1.0])

    for own in (
        inner,
        inner,
        *(inner.model_copy(update=c) for c in ({"train": anchored}, {"knowledge": ending})),
    ):
        chosen = settings(("passage",), regime).model_copy(update={"inner": own})
        evaluate(Watched(), TASKS, kept, chosen)
    assert trained == ([0, 1.0, 0] if regime == "cpt" else [0, 0])


def test_all_passages_together_share_the_neighbours():
    """As many in one training as in a training of one passage; they are part of what it is known by."""
    domain = Knowledge(KnowledgeSettings(strategy="implications", faithful=False, neighbours=4))
    tasks = [
        Task(f"id{name}", f"{name} Tower", f"The {name} Tower is tall. The tower leans.", ())
        for name in ("Marlow", "Tidewell")
    ]
    edits = [
        [SelfEdit(task.id, 0, (), ("\n".join(f"{task.title} has {n} steps." for n in range(5)),))]
        for task in tasks
    ]
    plan, invalid = corpus(domain, tasks, edits)
    assert invalid == 0
    assert len(domain.parse(tasks[0], edits[0][0]).neighbours) == 4
    assert len(plan.neighbours) == 4
    assert not any("Marlow" in own.text or "Tidewell" in own.text for own in plan.neighbours)


def _passages(tasks):
    from selfedit.types import TrainingSequence

    return [TrainingSequence(f"{t.title}\n{t.context}") for t in tasks]


def test_settings_of_the_regimes():
    for regime, own in REGIMES.items():
        chosen = KnowledgeEvaluation(
            regime=regime, inner=LearnSettings.model_validate(inner_values(regime, {}))
        ).inner
        assert chosen.candidates == own["candidates"]
        assert chosen.knowledge.topic
    full = LearnSettings.model_validate(inner_values("cpt-full", {"train": {"epochs": 2}})).train
    assert (full.learning_rate, full.epochs, full.batch_size) == (7e-5, 2, 8)
    with pytest.raises(ValueError, match="one edit"):
        KnowledgeEvaluation(inner=LearnSettings(candidates=2))


@pytest.mark.parametrize(
    ("conditions", "regime", "message"),
    [
        (("seal",), "single", "--policy"),
        (("file",), "single", "--edits"),
        (("grand",), "single", "base, in-context"),
        (("base", "base"), "single", "twice"),
        (("base", "own"), "cpt-full", "cpt-full"),
    ],
)
def test_refused_before_any_work(tmp_path, conditions, regime, message):
    model = FakeModel()
    with pytest.raises(InputError, match=message):
        evaluate(model, TASKS, store(tmp_path), settings(conditions, regime))
    assert not model.calls


def test_a_file_must_hold_every_context(tmp_path, edits):
    model = FakeModel()
    with pytest.raises(InputError, match="holds no edit"):
        evaluate(
            model,
            [*TASKS, task(50)],
            store(tmp_path),
            settings(("base", "file")),
            elsewhere=edits,
        )
    assert not model.calls
    with pytest.raises(InputError, match="nothing to measure"):
        evaluate(model, [task(1, questions=False)], store(tmp_path), settings())


def test_tables_and_plots(tmp_path):
    hostile = FakeModel("[red]x|y")
    result = evaluate(hostile, TASKS, store(tmp_path), settings())
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    print_page(page(result), console)
    shown = console.export_text()
    text = page_markdown(page(result))
    for told in (shown, text):
        assert "own is better than base" in told
        assert "±0 points" in told
        assert "50%" in told
        assert "[red]x" in told.replace("\\[red\\]", "[red]")
    assert "x\\|y" in text
    row = result.rows[2]
    assert cell(row).endswith("n=14/7")
    assert cell(None) == "not measured"
    svg = accuracy_by_round({"rewrite": [row, row], "self-qa": [row]})
    assert svg.startswith("<svg")
    assert "after 1 round" in svg
    assert accuracy_by_round({}) == ""
    summary = json.loads(json.dumps(result.summary()))
    assert len(summary["rows"][0]["by_context"]) == len(TASKS)
