"""The outer loop with the fake model: selection, commits, resuming, and rounds that go wrong."""

from __future__ import annotations

import contextlib
import json
import random
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from selfedit.algorithms.rest_em import ReSTEM
from selfedit.config import PolicySettings, TrainSettings
from selfedit.data import drawn
from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.settings import KnowledgeOuterSettings, KnowledgeSettings, LearnSettings
from selfedit.errors import InputError, SelfEditError, StoreError
from selfedit.grading import GRADERS
from selfedit.loops.outer import OuterRun
from selfedit.loops.policies import Policies
from selfedit.loops.rewards import CascadeReward, ProxyReward, TrueReward
from selfedit.loops.rounds import stored_groups
from selfedit.loops.sampler import EditPrompts
from selfedit.model.fake import FakeModel, load_fake
from selfedit.model.tiny import tiny_model
from selfedit.progress import Silent
from selfedit.runners import local, stored
from selfedit.runners.local import LocalRunner
from selfedit.store import Store
from selfedit.types import Candidate, Group, Prompt, Query, SelfEdit, Task
from tests.sampled import texts as texts_of

SETTINGS = KnowledgeOuterSettings(
    inner=LearnSettings(knowledge=KnowledgeSettings(restatements=1), candidates=2, seeds=2),
    rounds=2,
    contexts=2,
)


def task(i: int, *, questions: bool = True) -> Task:
    queries = (Query(f"Which stone is tower number{i} made of?", (f"stone{i}",)),)
    text = f"The tower number{i} is made of stone{i}. The tower number{i} stands in field{i}."
    return Task(f"id{i}", f"Tower {i}", text, queries if questions else ())


TASKS = [task(i) for i in range(4)]


def outer(tmp_path, model=None, settings=SETTINGS, tasks=TASKS, name="run", **options) -> OuterRun:
    algorithm = ReSTEM(settings.rule, settings.margin, settings.policy, settings.seed)
    domain = options.pop("domain", None) or Knowledge(settings.inner.knowledge)
    store = Store(tmp_path / name / "store.sqlite")
    policies = Policies(model or FakeModel(), options.pop("load", load_fake))
    return OuterRun(
        policies,
        domain,
        options.pop("algorithm", algorithm),
        options.pop("reward", TrueReward()),
        partial(LocalRunner, policies, store),
        tasks,
        store,
        tmp_path / name / "policies",
        settings,
        **options,
    )


def test_another_grader_is_another_run(tmp_path):
    def rounds(grader):
        settings = SETTINGS.model_copy(update={"grader": grader})
        domain = Knowledge(settings.inner.knowledge, GRADERS[grader])
        model = FakeModel()
        first = outer(tmp_path, model, settings, domain=domain).run()[0]
        return first.best_reward, model.calls["train"] > 0

    assert rounds("offline") == (1.0, True)
    assert rounds("offline") == (1.0, False), "nothing is repeated"
    assert rounds("exact") == (0.0, True), "trained and graded anew, and not read from the other run"


def test_what_was_forced_is_not_mixed_with_what_was_chosen(tmp_path):
    """Rounds of before 2026-11-28 have the key that log-probabilities take no part in."""

    class Former(ReSTEM):
        identity = "gradient"

    class Now(Former):
        reads_logprobs = True

    def begin(kind, **knowledge):
        warned = []

        class Warned(Silent):
            def warn(self, text):
                warned.append(text)

        inner = LearnSettings(knowledge=KnowledgeSettings(strategy="directed", **knowledge))
        settings = SETTINGS.model_copy(update={"inner": inner})
        algorithm = kind(settings.rule, settings.margin, settings.policy, settings.seed)
        run = outer(tmp_path, settings=settings, algorithm=algorithm, progress=Warned(), until=1)
        return run, warned

    former, warned = begin(Former, constrained=True)
    former.run()
    run, warned = begin(Now, constrained=True)
    assert run.key != former.key
    assert "starts afresh" in warned[0]
    run.run()
    assert begin(Now, constrained=True)[1] == [], "it goes on, and does not start"
    assert begin(Now)[0].key == begin(Former)[0].key, "nothing was forced"


def texts(record) -> list:
    return json.loads(Path(record.policy, "fake_model.json").read_text())["texts"]


def test_two_rounds_each_from_the_policy_before(tmp_path):
    seen = []
    first, second = outer(tmp_path, on_round=seen.append).run()
    assert seen == [first, second]
    assert (first.num_tasks, first.num_trials, first.num_invalid) == (2, 8, 0)
    assert (first.baseline, first.mean_reward) == (0.0, 1.0)
    assert len(first.selected) == 2
    assert first.changed
    assert second.changed
    policy = json.loads(Path(second.policy, "fake_model.json").read_text())
    assert policy["from"] == load_fake(first.policy).revision
    # What it was finetuned on is exactly the completions of the edits that were selected.
    assert sorted(texts(first)[0]) == sorted("\n".join(first.selected).split("\n"))


def test_contexts_do_not_repeat_before_all_were_used(tmp_path):
    run = outer(tmp_path)
    assert {t.id for t in [*run.sample(1), *run.sample(2)]} == {t.id for t in TASKS}
    assert [t.id for t in run.sample(3)] == [t.id for t in run.sample(1)]


@pytest.mark.parametrize("stop_at", range(1, 12))
def test_stopped_anywhere_it_ends_with_the_same(tmp_path, stop_at):
    whole = outer(tmp_path, name="whole").run()
    calls = 0

    class Stopping(FakeModel):
        def _called(self, method):
            nonlocal calls
            calls += 1
            if calls == stop_at:
                raise KeyboardInterrupt
            super()._called(method)

    def load(name):
        fake = load_fake(name)
        return Stopping(fake.name, fake.revision)

    with contextlib.suppress(KeyboardInterrupt):
        outer(tmp_path, Stopping(), load=load).run()
    records = outer(tmp_path).run()
    assert [r.selected for r in records] == [r.selected for r in whole]
    assert [texts(r) for r in records] == [texts(r) for r in whole]


def test_a_finished_round_is_never_repeated(tmp_path):
    records = outer(tmp_path).run()
    model = FakeModel()
    again = outer(tmp_path, model).run()
    assert again == records
    assert not model.calls
    longer = SETTINGS.model_copy(update={"rounds": 3})
    assert len(outer(tmp_path, settings=longer).run()) == 3  # another run, of its own


def test_a_run_ends_where_it_is_told_to_and_goes_on_as_if_it_had_not(tmp_path):
    whole = outer(tmp_path, name="whole").run()
    (first,) = outer(tmp_path, until=1).run()
    model = FakeModel()
    assert outer(tmp_path, model, until=1).run() == [first]
    assert not model.calls
    records = outer(tmp_path).run()
    assert records[0] == first
    assert [texts(r) for r in records] == [texts(r) for r in whole]
    assert outer(tmp_path, model, until=1).run() == [first], "not the policy of a later round"


class Other(ReSTEM):
    identity = "another algorithm"


def test_another_algorithm_is_another_run_and_earlier_runs_are_found(tmp_path):
    """Until the algorithm was a part of a run's key, there was ReST-EM alone."""
    other = Other(SETTINGS.rule, SETTINGS.margin, SETTINGS.policy, SETTINGS.seed)
    new = outer(tmp_path, settings=SETTINGS.model_copy(update={"rounds": 1}))
    assert outer(tmp_path, settings=new.settings, algorithm=other).key != new.key

    for place, name in enumerate(("without", "with")):  # the algorithm in the key
        old = outer(tmp_path, settings=new.settings, name=name)
        old.key = old._former_keys(TASKS, old.domain.digest())[place]
        old.tasks = shuffled(TASKS, new.settings.seed)
        old.folder = old.folder.parent / old.key[:12]
        records = old.run()
        model = FakeModel()
        again = outer(tmp_path, model, settings=new.settings, name=name)
        assert (again.key, again.tasks, again.run()) == (old.key, old.tasks, records)
        assert not model.calls
        own = outer(tmp_path, settings=new.settings, algorithm=other, name=name).key
        assert own not in (old.key, new.key)


def test_what_is_sampled_follows_from_the_tasks_not_from_their_order(tmp_path):
    run = outer(tmp_path)
    backwards = [replace(own, queries=own.queries[::-1]) for own in TASKS[::-1]]
    assert outer(tmp_path, tasks=backwards).key == run.key
    assert outer(tmp_path, tasks=backwards).sample(1) == run.sample(1)
    assert len({tuple(t.id for t in drawn(TASKS, seed)) for seed in range(9)}) > 3
    # One that no round samples does not count; one that is sampled does.
    more = [task(i) for i in range(4, 40)]
    behind = [own for own in more if drawn([*TASKS, own], SETTINGS.seed)[-1] == own]
    before = [own for own in more if drawn([*TASKS, own], SETTINGS.seed)[0] == own]
    assert outer(tmp_path, tasks=[*TASKS, behind[0]]).key == run.key
    assert outer(tmp_path, tasks=[*TASKS, before[0]]).key != run.key


def test_a_run_that_was_graded_otherwise_starts_afresh_and_says_so(tmp_path, monkeypatch):
    warned = []

    class Telling(Silent):
        def warn(self, text):
            warned.append(text)

    outer(tmp_path, progress=Telling()).run()
    assert not warned
    former = (Knowledge(SETTINGS.inner.knowledge).digest(),)
    monkeypatch.setattr(Knowledge, "former_digests", lambda self: former)
    monkeypatch.setattr(Knowledge, "digest", lambda self: "graded anew")
    again = outer(tmp_path, progress=Telling())
    assert not again.finished()
    assert "starts afresh" in warned[0]


def test_a_run_goes_on_from_the_policy_of_the_last_round_that_changed_it(tmp_path):
    """A round without a good edit leaves the policy of the round before it, not the first model."""
    settings = SETTINGS.model_copy(update={"rounds": 3, "contexts": 1})
    tasks = [task(0), replace(task(1), queries=(Query("How many moons?", ("seven",)),)), task(2)]
    order = next(s for s in range(99) if [t.id for t in drawn(tasks, s)] == ["id0", "id1", "id2"])
    settings = settings.model_copy(update={"seed": order})
    whole = outer(tmp_path, settings=settings, tasks=tasks, name="whole").run()
    assert [record.changed for record in whole] == [True, False, True]

    def stop(record):
        if record.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outer(tmp_path, settings=settings, tasks=tasks, on_round=stop).run()
    records = outer(tmp_path, settings=settings, tasks=tasks).run()
    assert [texts(r) for r in (records[0], records[2])] == [texts(r) for r in (whole[0], whole[2])]


def shuffled(tasks, seed):
    tasks = list(tasks)
    random.Random(seed).shuffle(tasks)
    return tasks


def test_a_killed_update_is_done_again_without_scoring(tmp_path, monkeypatch):
    original = FakeModel.save_merged

    def cut(self, folder, adapter):
        original(self, folder, adapter)
        raise KeyboardInterrupt

    monkeypatch.setattr(FakeModel, "save_merged", cut)
    run = outer(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run.run()
    assert not (run.folder / "round-1").exists()
    monkeypatch.undo()
    model = FakeModel()
    outer(tmp_path, model, settings=SETTINGS).run()
    assert model.calls["train"] == 1  # the update of round 1; its trials were kept


def test_what_a_killed_update_left_is_cleared_away(tmp_path):
    run = outer(tmp_path)
    left = run.folder / ".round-1.part" / "merged"
    left.mkdir(parents=True)
    (left / "weights").write_text("half of them")
    run.run()
    assert sorted(path.name for path in run.folder.iterdir()) == ["round-1", "round-2"]


def test_two_processes_do_not_write_one_policy(tmp_path):
    first, second = outer(tmp_path), outer(tmp_path)
    told = []

    def meanwhile(record):
        with pytest.raises(InputError, match="another process is at work"):
            second.run()
        told.append(record.number)

    first.on_round = meanwhile
    first.run()
    assert told == [1, 2]
    assert len(second.run()) == 2
    assert {run.status for run in second.store.runs()} == {"finished"}


class Watched(Silent):
    def __init__(self):
        self.units, self.notes = {}, []

    def start(self, name, total):
        self.name = name
        self.units.setdefault(name, [0, 0.0])[0] += total

    def advance(self, amount=1):
        self.units[self.name][1] += amount

    def note(self, text):
        self.notes.append(text)

    def warn(self, text):
        raise AssertionError(text)


def test_a_few_contexts_at_once_give_the_same_round(tmp_path, monkeypatch):
    """The trials of a large round are never all in memory."""
    wide = SETTINGS.model_copy(update={"contexts": 4})
    whole = outer(tmp_path, settings=wide, name="whole").run()
    at_once = []
    original = local.run_trials

    def counted(policy, domain, pairs, settings, **options):
        at_once.append(len(pairs))
        return original(policy, domain, pairs, settings, **options)

    monkeypatch.setattr(local, "run_trials", counted)
    monkeypatch.setattr(stored, "CONTEXTS_AT_ONCE", 3)
    monkeypatch.setattr("selfedit.loops.rounds._CONTEXTS_AT_ONCE", 3)
    run = outer(tmp_path, settings=wide)
    records = run.run()
    assert at_once == [6, 2, 6, 2]
    assert [(r.selected, r.num_trials, r.mean_reward) for r in records] == [
        (r.selected, r.num_trials, r.mean_reward) for r in whole
    ]
    assert len(list(stored_groups(run.store, run.key, records[0]))) == 4


def test_progress_tells_the_round_and_the_reward_so_far(tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "CONTEXTS_AT_ONCE", 1)
    watched = Watched()
    outer(tmp_path, progress=watched).run()
    assert watched.notes[0] == "round 1 of 2"
    assert "round 2 of 2, mean reward so far 100%, last trained: Tower" in watched.notes[-2]
    assert watched.notes[-1] == "round 2 of 2"  # the policy's update has no reward
    assert all(done == pytest.approx(total) for total, done in watched.units.values())
    again = Watched()
    outer(tmp_path, settings=SETTINGS.model_copy(update={"rounds": 1}), progress=again).run()
    assert any("100%" in note for note in again.notes), "stored trials count, too"


def test_a_disk_that_fills_up_while_the_policy_is_written(tmp_path, monkeypatch):
    """safetensors has an error of its own for that."""
    from safetensors import SafetensorError

    from selfedit.algorithms.policy import update_policy
    from selfedit.config import LoraSettings, PolicySettings
    from selfedit.types import Prompt, SelfEdit

    model = tiny_model(dtype="float32")

    def full(self, folder):
        Path(folder).mkdir()
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(type(model.hf), "save_pretrained", full)
    edit = SelfEdit("t", 0, (Prompt("ab"),), ("xyz",))
    settings = PolicySettings(lora=LoraSettings(rank=2, layers="all"))
    with pytest.raises(StoreError, match=r"No space left.*trials are kept: free some space"):
        update_policy(model, [edit], settings, 0, tmp_path / "run" / "round-1")
    assert not list((tmp_path / "run").iterdir()), "half a policy takes up no space"


def test_a_full_disk_stops_before_the_update_and_keeps_the_trials(tmp_path, monkeypatch):
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("selfedit.algorithms.policy.shutil.disk_usage", lambda path: usage(1, 1, 0))
    monkeypatch.setattr(FakeModel, "num_bytes", 10)
    run = outer(tmp_path)
    with pytest.raises(StoreError, match="free some space"):
        run.run()
    assert len(list(run.store.iter_trials())) == 8
    assert run.store.runs()[0].status == "failed"


def test_only_rubbish_leaves_the_policy_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("selfedit.model.fake._write", lambda prompt, seed: "")
    (first,) = outer(tmp_path).run()
    assert not first.changed
    assert first.num_invalid == first.num_trials == 8
    assert first.policy == "fake"
    assert "every edit was invalid" in first.note
    assert "collapsed" in first.stopped, "another round would be the same"
    monkeypatch.setattr("selfedit.model.fake._write", lambda prompt, seed: "." * (seed % 97))
    first, second = outer(tmp_path, name="other").run()
    assert first.num_invalid == first.num_trials == 8
    assert "every edit was invalid" in first.note
    assert second.policy == "fake", "of different texts the next may be valid"


def test_equal_rewards_select_nothing_by_positive_and_the_first_by_best(tmp_path):
    hopeless = [Task(t.id, t.title, t.context, (Query("How many moons?", ("seven",)),)) for t in TASKS]
    (first, _) = outer(tmp_path, tasks=hopeless).run()
    assert not first.changed
    assert "no edit was selected" in first.note
    best = SETTINGS.model_copy(update={"rule": "best"})
    (first, _) = outer(tmp_path, tasks=hopeless, settings=best, name="best").run()
    assert first.changed
    assert len(first.selected) == 2


def test_a_policy_that_did_not_change_writes_other_edits_about_the_same_contexts(tmp_path, monkeypatch):
    """Those of the first round, of a context that is new to it, and of a changed policy are as ever."""
    seeds = []
    original = FakeModel.sample

    def noted(self, prompts, sampling, own, **options):
        if sampling == SETTINGS.inner.sampling:
            seeds.append(set(own))
        return original(self, prompts, sampling, own, **options)

    monkeypatch.setattr(FakeModel, "sample", noted)
    hopeless = [replace(own, queries=(Query("How many moons?", ("seven",)),)) for own in TASKS[:3]]
    run = outer(tmp_path, tasks=hopeless, settings=SETTINGS.model_copy(update={"rounds": 3}))
    usual = [
        {one.id: set(EditPrompts.of(run.domain, [one], SETTINGS.inner).seeds) for one in run.sample(n)}
        for n in (1, 2, 3)
    ]
    assert not any(record.changed for record in run.run())
    first, second, third = seeds
    assert first == set.union(*usual[0].values())
    (new,) = usual[1].keys() - usual[0].keys()
    assert second > usual[1][new]
    assert len(second) == len(third) == len(first)
    assert not second & first
    assert not third & (first | second)
    seeds.clear()
    changed = outer(tmp_path, tasks=TASKS[:2], name="changed")
    assert all(record.changed for record in changed.run())
    assert seeds[0] == seeds[1]


def test_a_context_without_questions_takes_part_but_chooses_nothing(tmp_path):
    records = outer(tmp_path, tasks=[task(0), task(1, questions=False)]).run()
    assert len(records[0].selected) == 1
    with pytest.raises(InputError, match="no edit can be rewarded"):
        outer(tmp_path, tasks=[task(1, questions=False)])
    with pytest.raises(InputError, match="no contexts"):
        outer(tmp_path, tasks=[])


def test_a_library_that_was_moved_goes_on_from_its_own_policies(tmp_path):
    def stop(record):
        raise KeyboardInterrupt

    before = outer(tmp_path, on_round=stop)
    with pytest.raises(KeyboardInterrupt):
        before.run()
    before.store.close()
    (tmp_path / "run").rename(tmp_path / "moved")
    first, second = outer(tmp_path, name="moved").run()
    assert first.policy.startswith(str(tmp_path / "moved"))
    policy = json.loads(Path(second.policy, "fake_model.json").read_text())
    assert policy["from"] == load_fake(first.policy).revision


def test_a_lost_policy_is_an_error_that_says_so(tmp_path):
    import shutil

    records = outer(tmp_path).run()
    shutil.rmtree(records[0].policy)
    with pytest.raises(SelfEditError, match="put it back"):
        outer(tmp_path).run()


def test_the_policy_update_learns_to_write_the_edit_on_real_weights(tmp_path):
    """SFT on prompt -> edit, loss on the edit only, merged: the next policy writes that edit."""
    from selfedit.algorithms.policy import update_policy
    from selfedit.config import LoraSettings, PolicySettings, SamplingSettings, TrainSettings
    from selfedit.model.load import load_model
    from selfedit.types import Prompt, SelfEdit

    model = tiny_model(dtype="float32")
    edit = SelfEdit("t", 0, (Prompt("ab"), Prompt("cd")), ("xyxyz", "pqr"))
    settings = PolicySettings(
        lora=LoraSettings(rank=8, alpha=16, layers="all"),
        train=TrainSettings(learning_rate=1e-2, epochs=150, batch_size=2),
    )
    losses, left_out = update_policy(model, [edit], settings, 0, tmp_path / "policy")
    assert not left_out
    # With its small random head (|logit| <= 1.3) the tiny model cannot get below about 4.3.
    assert losses[-1] < losses[0] - 1
    greedy = SamplingSettings(temperature=0, max_new_tokens=12)
    policy = load_model(str(tmp_path / "policy"), device="cpu")
    assert texts_of(policy.sample(edit.prompts, greedy, [0, 0])) == ["xyxyz", "pqr"]
    assert texts_of(model.sample(edit.prompts, greedy, [0, 0])) != ["xyxyz", "pqr"]
    update_policy(model, [edit], settings, 0, tmp_path / "again")
    first, second = (
        Path(tmp_path, name, "model.safetensors").read_bytes() for name in ("policy", "again")
    )
    assert first == second


def test_what_is_too_long_for_the_policy_update_is_said(tmp_path):
    model = tiny_model(dtype="float32")
    edits = [SelfEdit("t", i, (Prompt("ab"),), (said,)) for i, said in enumerate(("xyz", "xyz" * 40))]
    train = TrainSettings(epochs=1, max_tokens=60)
    algorithm = ReSTEM("best", 0.0, PolicySettings(train=train), 0)
    groups = [Group(Task("t", "", "c"), 0.0, (Candidate(edit, (1.0,)),)) for edit in edits]
    update = algorithm.improve(model, groups, tmp_path / "policy", Silent())
    assert update.note.startswith("not trained on: 1 of 2 training sequences are longer than 60 tokens")


class Rubric:
    """Rates an edit by the opening that the fake model gave it."""

    def __init__(self, name="rubric"):
        self.name = name

    def digest(self):
        return self.name

    def score_many(self, pairs, on_done=None):
        from selfedit.endpoints.rubric import RubricScore

        for _ in pairs:
            on_done(1)
        marks = [5 if "People report" in text else 3 if "One can" in text else 2 for _, text in pairs]
        return [RubricScore(m, m, m, m) for m in marks]


def test_proxy_and_cascade_rewards(tmp_path):
    many = SETTINGS.model_copy(
        update={"inner": SETTINGS.inner.model_copy(update={"candidates": 4}), "rounds": 1}
    )
    proxy = ProxyReward(Rubric())
    model = FakeModel()
    (record,) = outer(tmp_path, model, many, reward=proxy, name="proxy").run()
    other = ProxyReward(Rubric("another judge"))
    assert outer(tmp_path, reward=other).key != outer(tmp_path, reward=proxy).key
    assert model.calls["train"] == 1  # the policy update: no inner loop at all
    assert record.best_reward in (1.0, 0.75, 0.625, 0.5)
    assert len(record.selected) == 2
    cascade = CascadeReward(proxy, keep=1)
    (record,) = outer(tmp_path, FakeModel(), many, reward=cascade, name="cascade").run()
    assert record.num_trials == 2 * 1 * 2  # tasks x the best-rated x seeds
    assert len(record.selected) == 2
    assert record.mean_reward == 1.0


def test_a_judge_that_dies_half_way_loses_nothing(tmp_path):
    """The real client against a real server: stopped with an error, and nothing is asked twice."""
    from selfedit.config import JudgeSettings
    from selfedit.endpoints.rubric import RubricJudge
    from selfedit.errors import JudgeError
    from tests.endpoint_server import EndpointServer, Reply, error

    good = Reply('{"length": 4, "diversity": 4, "quality": 4, "correctness": 4}')
    dead = True
    server = EndpointServer(lambda n, prompt: error(500) if dead and n >= 3 else good)
    settings = SETTINGS.model_copy(update={"reward": "proxy", "rounds": 1})

    def run() -> OuterRun:
        own = JudgeSettings(base_url=server.url, concurrency=1, max_retries=2)
        judge = RubricJudge(own, Store(tmp_path / "run" / "store.sqlite"), sleep=lambda seconds: None)
        reward = ProxyReward(judge)
        return outer(tmp_path, settings=settings, reward=reward)

    try:
        first = run()
        with pytest.raises(JudgeError, match="rubric judge"):
            first.run()
        assert first.store.runs()[0].status == "failed"
        assert not first.finished()
        before = len(server.requests)
        assert before == 3 + 3  # three ratings, then one request and its two retries
        dead = False
        (record,) = run().run()
        assert len(server.requests) == before + 1, "three of four ratings were kept"
        assert record.best_reward == 0.75
    finally:
        server.close()


def test_a_policy_knows_the_contexts_of_all_rounds_before_it(tmp_path):
    from selfedit.evaluation.lineage import trained_on

    run = outer(tmp_path)
    first, second = run.run()
    assert {t.id for t in trained_on(run.store, first.policy)} == {t.id for t in run.sample(1)}
    assert {t.context for t in trained_on(run.store, second.policy)} == {t.context for t in TASKS}
    assert trained_on(run.store, "fake") is None
    later = SETTINGS.model_copy(update={"rounds": 1, "seed": 1})
    going_on = outer(tmp_path, load_fake(first.policy), settings=later)
    (third,) = going_on.run()
    seen = {t.id for t in trained_on(run.store, third.policy)}
    assert seen == {t.id for t in [*run.sample(1), *going_on.sample(1)]}


def test_a_rating_is_not_called_an_accuracy():
    from selfedit.cli.rounds import round_line
    from selfedit.loops.rounds import RoundRecord

    record = RoundRecord(1, "p", True, 1, 2, 0, 0.1, 0.5, 0.75, ("e",), (), 1.0)
    assert "without edits 10%, mean edit 50%" in round_line(record)
    rated = round_line(record, rated=True)
    assert "mean rating of an edit 50%, of the best of each context 75%" in rated
    assert "10%" not in rated
