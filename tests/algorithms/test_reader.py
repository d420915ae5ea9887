"""The reader: held against a plain PEFT loop, resumed after a kill, kept from evaluation contexts."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, PeftModel

from selfedit import experiments
from selfedit.algorithms.policy import write_policy
from selfedit.algorithms.reader import Reader, held_out
from selfedit.config import AnchorSettings, LoraSettings, SamplingSettings, TrainSettings
from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.reader import ReaderSettings
from selfedit.domains.knowledge.settings import KnowledgeSettings, LearnSettings
from selfedit.errors import AdapterError, InputError
from selfedit.evaluation.lineage import refuse_overlap, trained_on
from selfedit.lora.bank import AdapterBank
from selfedit.lora.sequences import batches
from selfedit.model.fake import FakeModel, load_fake
from selfedit.model.load import load_model
from selfedit.model.reader import frozen_bank
from selfedit.progress import Silent
from selfedit.report.runs import find_run
from selfedit.report.train_run import train_report
from selfedit.store import Store
from selfedit.types import Prompt, Query, TrainingPlan, TrainingSequence
from tests.loops.test_outer import task

LORA = LoraSettings(rank=3, alpha=6, layers="all")
SETTINGS = TrainSettings(learning_rate=5e-3, epochs=2, batch_size=2, clip=0.5)
SEED = 7


def documents(tiny, folder, count=3, rank=2):
    """Adapters that have learned something, each in its folder and alone in its bank."""
    shape = LoraSettings(rank=rank, alpha=2 * rank, layers="all")
    banks = []
    for i in range(count):
        bank = AdapterBank(tiny.hf, shape, [i], num_layers=tiny.num_layers)
        noise = torch.Generator().manual_seed(i)
        draw = torch.randn(bank.weights_KP.shape, generator=noise, dtype=torch.float64)
        bank.weights_KP += 0.05 * draw
        tiny.save_adapter(bank, 0, folder / f"document-{i}")
        banks.append(bank)
    return banks


LESSONS = [
    (0, TrainingSequence("red", Prompt("What colour?", kind="question"))),
    (2, TrainingSequence("a long answer", Prompt("Why?", kind="question"))),
    (1, TrainingSequence("2", Prompt("How many towers are there?", kind="question"))),
    (2, TrainingSequence("blue", Prompt("What colour?", kind="question"))),
    (0, TrainingSequence("seven", Prompt("How many?", kind="question"))),
]


def plain_peft(tiny, folder, data, initial):
    """One sequence at a time with its document's adapter and the reader active, only the latter
    trained; torch's AdamW. Returns the reader's factors by module."""
    hf = copy.deepcopy(tiny.hf)
    model = PeftModel.from_pretrained(hf, folder / "document-0", adapter_name="document-0")
    for i in (1, 2):
        model.load_adapter(folder / f"document-{i}", adapter_name=f"document-{i}")
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model.add_adapter("reader", LoraConfig(r=3, lora_alpha=6, target_modules=names))
    modules = dict(model.base_model.model.named_modules())
    for name, (down, up) in initial.items():
        modules[name].lora_A["reader"].weight.data = down.T.clone()
        modules[name].lora_B["reader"].weight.data = up.T.clone()
    trained = [p for name, p in model.named_parameters() if ".reader." in name]
    optimizer = torch.optim.AdamW(trained, lr=SETTINGS.learning_rate, weight_decay=0.0)
    steps = list(batches(data, SETTINGS, SEED))
    for taken, batch in enumerate(steps):
        optimizer.param_groups[0]["lr"] = SETTINGS.learning_rate * (1 - taken / len(steps))
        optimizer.zero_grad()
        tokens = sum(own.num_supervised for own in batch)
        for own in batch:
            model.base_model.set_adapter([f"document-{own.beneath}", "reader"])
            for name, parameter in model.named_parameters():
                parameter.requires_grad_(".reader." in name)
            logits = model(torch.tensor([own.ids])).logits[0, :-1]
            losses = torch.nn.functional.cross_entropy(
                logits, torch.tensor(own.ids[1:]), reduction="none"
            )
            (losses[[place - 1 for place in own.supervised]].sum() / tokens).backward()
        torch.nn.utils.clip_grad_norm_(trained, SETTINGS.clip)
        optimizer.step()
    return {
        name: (modules[name].lora_A["reader"].weight.T, modules[name].lora_B["reader"].weight.T)
        for name in initial
    }


@pytest.mark.parametrize("document_rank", [2, 3])
def test_a_reader_over_frozen_adapters_is_plain_peft(tiny, tmp_path, document_rank):
    banks = documents(tiny, tmp_path, rank=document_rank)
    before = [bank.weights_KP.clone() for bank in banks]
    owners, lessons = zip(*LESSONS, strict=True)
    trained, record = tiny.train_reader(banks, owners, lessons, LORA, SETTINGS, SEED)
    assert len(record.losses) == 6
    assert record.losses[-1] < record.losses[0]
    start = AdapterBank(tiny.hf, LORA, [SEED], num_layers=tiny.num_layers)
    initial = {name: (down[0], up[0]) for name, (down, up) in start.factors.items()}
    data = [replace(tiny.encode(own, 1024), beneath=k) for k, own in LESSONS]
    expected = plain_peft(tiny, tmp_path, data, initial)
    for name, (down, up) in trained.factors.items():
        for own, theirs in zip((down[0], up[0]), expected[name], strict=True):
            assert (own - theirs).abs().max() <= 1e-9
    assert (trained.weights_KP - start.weights_KP).abs().max() > 1e-3
    for bank, weights in zip(banks, before, strict=True):
        assert torch.equal(bank.weights_KP, weights), "the documents' adapters are frozen"


def test_a_reader_that_would_not_fit_keeps_less(tiny, tmp_path, monkeypatch):
    banks, found, told = documents(tiny, tmp_path, rank=2), [], []
    owners, lessons = zip(*LESSONS, strict=True)
    monkeypatch.setattr(tiny, "status", told.append)
    for free in (10**12, 0):
        monkeypatch.setattr("selfedit.model.training.memory_free", lambda _, own=free: own)
        found.append(tiny.train_reader(banks, owners, lessons, LORA, SETTINGS, SEED)[0].weights_KP)
    assert (found[0] - found[1]).abs().max() <= 1e-9
    assert len([text for text in told if "activation checkpointing" in text]) == 1


def test_the_trunk_and_the_whole_model_give_the_same_reader(tiny, tmp_path, monkeypatch):
    upper = LoraSettings(rank=2, alpha=4, layers="upper-half")
    banks = [AdapterBank(tiny.hf, upper, [i], num_layers=tiny.num_layers) for i in range(3)]
    for bank in banks:
        bank.weights_KP += 0.05
    owners, lessons = zip(*LESSONS, strict=True)
    with_trunk, _ = tiny.train_reader(banks, owners, lessons, upper, SETTINGS, SEED)
    monkeypatch.setattr("selfedit.forward.packed.Decoder.has_trunk", lambda *_: False)
    without, _ = tiny.train_reader(banks, owners, lessons, upper, SETTINGS, SEED)
    assert (with_trunk.weights_KP - without.weights_KP).abs().max() <= 1e-9


def test_where_nothing_was_learned_it_is_held_to_the_bare_model(tiny, tmp_path, monkeypatch):
    """Anchors are read with the adapter that does nothing, so that at the start there is no drift."""
    banks = documents(tiny, tmp_path)
    frozen = frozen_bank(banks, tiny.num_layers)
    assert frozen.num_adapters == 4
    assert not frozen.weights_KP[3].any()
    anchor = AnchorSettings(weight=1.0, interval=1, num_prompts=3, reply_tokens=4)
    settings = SETTINGS.model_copy(update={"anchor": anchor})
    owners, lessons = zip(*LESSONS, strict=True)
    monkeypatch.setenv("SELFEDIT_HOME", str(tmp_path / "home"))
    _, record = tiny.train_reader(banks, owners, lessons, LORA, settings, SEED)
    assert record.drifts[0] == pytest.approx(0.0, abs=1e-9)
    assert record.drifts[-1] > 0


GREEDY = SamplingSettings(temperature=0.0, max_new_tokens=8)
ASKED = [Prompt("What colour?", kind="question"), Prompt("How many?", kind="question")]


def said(model, **how):
    scores = model.answer_scores(ASKED, ["red", "seven"], **how)
    return torch.tensor([score.logprob for score in scores], dtype=torch.float64)


@pytest.fixture
def with_reader(tiny, tmp_path):
    """A model that attaches a reader, as it is loaded; one of the same weights without; documents'
    adapters of the latter, and the reader."""
    banks = documents(tiny, tmp_path)
    owners, lessons = zip(*LESSONS, strict=True)
    reader, _ = tiny.train_reader(banks, owners, lessons, LORA, SETTINGS, SEED)
    tiny.save_reader(reader, tmp_path / "model")
    model, plain = (load_model(str(tmp_path / "model"), dtype="float64") for _ in range(2))
    plain.reader = None
    return model, plain, [bank.over(plain.hf) for bank in banks], reader.over(plain.hf)


def test_an_attached_reader_reads_where_an_adapter_is_and_nowhere_else(with_reader):
    model, plain, banks, reader = with_reader
    assert (model.has_reader, plain.has_reader) == (True, False)
    assert torch.equal(said(model), said(plain)), "where nothing is attached it is the bare model"
    summed = plain.combine([banks[1], reader], [{0: 1.0, 1: 1.0}])
    own = banks[1].over(model.hf)
    read = said(model, adapters=own, owners=[0, 0])
    assert (read - said(plain, adapters=summed, owners=[0, 0])).abs().max() <= 1e-9
    assert (read - said(plain, adapters=banks[1], owners=[0, 0])).abs().max() > 1e-3
    twin = model.twin()
    texts = [
        [one.text for one in m.sample(ASKED, GREEDY, [0, 0], adapters=bank, owners=[0, 0])]
        for m, bank in ((model, own), (twin, own.over(twin.hf)), (plain, summed))
    ]
    assert texts[0] == texts[1] == texts[2]
    moved = [TrainingSequence("red", ASKED[0])]
    assert model.divergence(moved, own) == pytest.approx(plain.divergence(moved, summed), abs=1e-9)


def test_documents_are_trained_without_the_reader(with_reader):
    plan = TrainingPlan((TrainingSequence("Lamps burn oil."),))
    trained = [m.train([plan], LORA, SETTINGS, [3])[0].weights_KP for m in with_reader[:2]]
    assert torch.equal(*trained)


def test_a_second_reader_learns_over_the_first_and_keeps_it(with_reader, tmp_path):
    model, plain, banks, first = with_reader
    owners, lessons = zip(*LESSONS, strict=True)
    own = [bank.over(model.hf) for bank in banks]
    second, _ = model.train_reader(own, owners, lessons, LORA, SETTINGS, SEED + 1)
    model.save_reader(second, tmp_path / "again")
    again = load_model(str(tmp_path / "again"), dtype="float64")
    assert again.reader.settings.rank == 6
    assert again.revision.split("-")[-1] != model.revision.split("-")[-1]
    parts = [banks[0], first, second.over(plain.hf)]
    whole = plain.combine(parts, [{0: 1.0, 1: 1.0, 2: 1.0}])
    read = said(again, adapters=banks[0].over(again.hf), owners=[0, 0])
    assert (read - said(plain, adapters=whole, owners=[0, 0])).abs().max() <= 1e-9


def test_a_policy_that_grows_from_one_with_a_reader_has_it(with_reader, tmp_path):
    model, _, banks, _ = with_reader
    write_policy(model, banks[2].over(model.hf), tmp_path / "policy")
    policy = load_model(str(tmp_path / "policy"), dtype="float64")
    assert torch.equal(policy.reader.weights_KP, model.reader.weights_KP)


def test_a_damaged_reader_is_an_error(with_reader, tmp_path):
    (tmp_path / "model" / "reader" / "adapter_model.safetensors").write_bytes(b"no")
    with pytest.raises(AdapterError, match="reader"):
        load_model(str(tmp_path / "model"))


TASKS = [task(i) for i in range(12)]
READING = ReaderSettings(
    inner=LearnSettings(knowledge=KnowledgeSettings(restatements=1), candidates=1, seeds=1),
    rounds=2,
    contexts=4,
)


def train(tmp_path, model=None, load=load_fake, tasks=TASKS, name="run", probes=0, settings=READING):
    store = Store(tmp_path / name / "store.sqlite")
    domain = Knowledge(READING.inner.knowledge)
    folder = tmp_path / name / "policies"
    done = experiments.train_reader(
        domain, tasks, model or FakeModel(), settings, store, load=load, folder=folder,
        probe_questions=probes,
    )  # fmt: skip
    return store, done


def test_rounds_of_a_reader(tmp_path):
    store, done = train(tmp_path)
    first, second = done.trained.rounds
    assert first.metrics["documents"] == 3, "one of four contexts is held out"
    assert first.metrics["held_out_questions"] == 1
    assert first.changed
    assert second.changed
    assert done.trained.policy == second.policy
    assert not list((tmp_path / "run" / "policies").glob("*/*.adapters")), "kept until the round ends"
    model = FakeModel()
    _, again = train(tmp_path, model)
    assert again.trained == done.trained
    assert not model.calls
    report = train_report(store, find_run(store, "latest"), None)
    assert "round 2: a reader over" in report.values["headline"]
    # What it was trained or measured on is never evaluated.
    seen = trained_on(store, second.policy)
    assert len(seen) == 8
    domain = Knowledge(READING.inner.knowledge)
    with pytest.raises(InputError, match="was trained on"):
        refuse_overlap(domain, seen, TASKS)
    refuse_overlap(domain, seen, [task(99)])


def test_a_merged_reader_that_lost_general_answers_is_refused(tmp_path, monkeypatch):
    merged = READING.model_copy(update={"merge": True})
    _, sound = train(tmp_path, probes=4, settings=merged)
    assert sound.probe.num_general
    assert not sound.refused
    monkeypatch.setattr(
        experiments, "too_damaged", lambda found, most: f"{found.num_general} over {most}"
    )
    _, lost = train(tmp_path, probes=4, settings=merged)
    assert lost.refused == f"{sound.probe.num_general} over 0.2"
    assert lost.summary()["probe"]
    _, attached = train(tmp_path, probes=4)
    assert attached.probe is None, "it changes nothing where no document is"


def test_a_context_that_is_held_out_is_so_in_every_round(tmp_path, monkeypatch):
    """Six contexts in rounds of four: the second round samples two of the first one's again."""
    taught = []
    original = FakeModel.train_reader

    def noted(self, documents, owners, sequences, *rest):
        taught.append({own.text for own in sequences})
        return original(self, documents, owners, sequences, *rest)

    monkeypatch.setattr(FakeModel, "train_reader", noted)
    _, done = train(tmp_path, tasks=TASKS[:6])
    golds = [task.queries[0].gold for task in done.trained.tasks]
    first, second = taught
    assert first == set(golds[:3]), "the fourth measures"
    assert second >= set(golds[:2]), "what was taught does not measure in the next round"
    assert "read_before" not in done.trained.rounds[1].metrics
    assert [len(held_out(TASKS[:n], 0.25)) for n in (3, 4, 7, 8)] == [0, 1, 1, 2]


def test_its_plan_has_one_training_an_edit_and_no_rewards(tmp_path):
    plans = []
    inner = READING.inner.model_copy(update={"seeds": 3})
    experiments.train_reader(
        Knowledge(inner.knowledge), TASKS, FakeModel(), READING.model_copy(update={"inner": inner}),
        Store(tmp_path / "store.sqlite"), load=load_fake, folder=tmp_path / "policies",
        probe_questions=0, confirm=lambda plan: plans.append(plan) or True,
    )  # fmt: skip
    (plan,) = plans
    assert (plan.seeds, plan.trust) == (1, None)


def test_its_lessons_are_questions_of_training_contexts_alone(tmp_path, monkeypatch):
    taught = []
    original = FakeModel.train_reader

    def noted(self, documents, owners, sequences, *rest):
        taught.append([own.text for own in sequences])
        return original(self, documents, owners, sequences, *rest)

    monkeypatch.setattr(FakeModel, "train_reader", noted)
    _, done = train(tmp_path)
    for number, (lessons, record) in enumerate(zip(taught, done.trained.rounds, strict=True)):
        *own, held_out = done.trained.tasks[4 * number : 4 * number + 4]
        assert set(lessons) <= {one.queries[0].gold for one in own}
        assert held_out.queries[0].gold not in lessons
        assert len(lessons) == record.metrics["questions"] >= 2


def test_its_lessons_may_be_right_answers_in_the_models_own_words(tmp_path, monkeypatch):
    """Where it is wrong with the context at hand, there is no lesson."""
    taught = []
    original = FakeModel.train_reader

    def noted(self, documents, owners, sequences, *rest):
        taught.extend((own.prompt.text.splitlines()[-1], own.text) for own in sequences)
        return original(self, documents, owners, sequences, *rest)

    monkeypatch.setattr(FakeModel, "train_reader", noted)
    wrong = [replace(own, queries=(Query(own.queries[0].question, ("gold",)),)) for own in TASKS[:6]]
    own_words = READING.model_copy(update={"own_words": True})
    _, done = train(tmp_path, tasks=[*wrong, *TASKS[6:]], settings=own_words)
    assert 0 < len(taught) == sum(r.metrics.get("questions", 0) for r in done.trained.rounds) < 6
    for question, answer in taught:
        number = question.removeprefix("Which stone is tower number").split()[0]
        assert int(number) >= 6
        assert answer == f"The tower number{number} is made of stone{number}."
    _, none = train(tmp_path, tasks=wrong, name="none", settings=own_words)
    assert "answers right with the context at hand" in none.trained.rounds[0].note


def test_blanks_which_are_no_lessons_are_not_asked(monkeypatch):
    asked = []
    original = FakeModel.sample

    def noted(self, prompts, *rest, **options):
        asked.extend(prompt.text.splitlines()[-1] for prompt in prompts)
        return original(self, prompts, *rest, **options)

    monkeypatch.setattr(FakeModel, "sample", noted)
    reader = Reader(
        Knowledge(READING.inner.knowledge), READING.inner, READING.policy, 0, own_words=True
    )
    (query,) = TASKS[0].queries
    blank = Query("The tower number0 is made of ____.", ("stone0",), form="cloze")
    answers = reader.answers(FakeModel(), [replace(TASKS[0], queries=(blank, query))], Silent())
    assert answers == {"id0": ["", "The tower number0 is made of stone0."]}
    assert asked == [query.question]


@pytest.mark.parametrize("stop_at", [2, 4, 5, 7, 9])
def test_a_killed_reader_goes_on(tmp_path, stop_at):
    _, whole = train(tmp_path, name="whole")
    calls = 0

    class Stopping(FakeModel):
        def _called(self, method):
            nonlocal calls
            calls += 1
            if calls == stop_at:
                raise KeyboardInterrupt
            super()._called(method)

    def load(name):
        found = load_fake(name)
        return Stopping(found.name, found.revision)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, Stopping(), load)
    _, done = train(tmp_path)
    assert [r.selected for r in done.trained.rounds] == [r.selected for r in whole.trained.rounds]
    assert [r.metrics for r in done.trained.rounds] == [r.metrics for r in whole.trained.rounds]


def test_contexts_without_questions_leave_the_model_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr("selfedit.model.fake._write", lambda prompt, seed: "")
    _, done = train(tmp_path)
    assert done.trained.policy == "fake"
    assert "stays as it was" in done.trained.rounds[0].note
