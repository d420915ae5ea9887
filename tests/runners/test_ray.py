"""Trials on a real Ray cluster of this machine: two workers, the fake and a tiny model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import psutil
import pytest

from selfedit import experiments
from selfedit.config import InnerSettings, MeasureSettings
from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.evaluation import KnowledgeEvaluation
from selfedit.domains.knowledge.settings import KnowledgeOuterSettings, KnowledgeSettings, LearnSettings
from selfedit.errors import InputError, ModelError, WorkerError
from selfedit.loops.policies import Policies, ref_of
from selfedit.loops.pulse import Watched
from selfedit.model.fake import FakeModel, load_fake
from selfedit.model.tiny import tiny_model
from selfedit.progress import Silent
from selfedit.runners import stored
from selfedit.runners.local import LocalRunner
from selfedit.runners.ray import NICENESS, Cluster
from selfedit.store import Store
from tests.runners.test_local import proposals

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'selfedit[ray]'")

SETTINGS = InnerSettings(seeds=2)
DOMAIN = Knowledge()


@pytest.fixture(scope="module", autouse=True)
def _ray():
    """One for all tests of this file, with room for two workers on any machine."""
    os.environ[NICENESS] = "0"  # else they starve on a busy machine
    ray.init(
        address="local", num_cpus=2, include_dashboard=False, log_to_driver=False,
        logging_level="error", object_store_memory=100_000_000,
    )  # fmt: skip
    yield
    ray.shutdown()


@pytest.fixture(autouse=True)
def _small_waves(monkeypatch):
    """A wave for each context."""
    monkeypatch.setattr(stored, "CONTEXTS_AT_ONCE", 1)


def without_losses(trials):
    return {key: replace(trial, losses=()) for key, trial in trials.items()}


class Run:
    """Runs of one model, each with a store of its own."""

    def __init__(self, tmp_path, model) -> None:
        self.tmp_path, self.model = tmp_path, model

    def __call__(self, make, name, count=4, settings=SETTINGS, on_trials=lambda trials: None):
        with Store(self.tmp_path / f"{name}.sqlite") as store:
            run = store.start_run("train", self.model.name, self.model.revision, {}, {})
            runner = make(Policies(self.model), store, run, on_trials)
            groups = list(runner.run(ref_of(self.model), DOMAIN, proposals(count), settings, Silent()))
            return groups, trials_of(store)


def trials_of(store):
    """Everything that a trial is, apart from the time that it took."""
    return {trial.key: replace(trial, seconds=0.0) for trial in store.iter_trials()}


def test_trials_are_those_of_the_local_runner(tmp_path):
    """Losses but for their last bits: MKL's float32 products depend on where a tensor lies."""
    model = tiny_model(dtype="float32")
    run = Run(tmp_path, model)
    with Cluster(lambda name: tiny_model(dtype="float32"), workers=2) as cluster:
        groups, trials = run(cluster.runner, "ray")
    expected, known = run(LocalRunner, "local")
    assert len(trials) == 16
    assert sum(len(trial.losses) for trial in trials.values()) > 20
    losses = [loss for key in known for loss in trials[key].losses]
    assert losses == pytest.approx([loss for key in known for loss in known[key].losses], rel=1e-6)
    assert without_losses(trials) == without_losses(known)
    assert groups == expected


@pytest.mark.parametrize("place", ["opening", "start"])
def test_workers_read_golds_as_the_local_runner_does(tmp_path, place):
    settings = InnerSettings(seeds=1, measure=MeasureSettings(kind="mixed", place=place))
    run = Run(tmp_path, FakeModel())
    with Cluster(load_fake, workers=1) as cluster:
        groups, trials = run(cluster.runner, "ray", 2, settings)
    assert (groups, trials) == run(LocalRunner, "local", 2, settings)


def marking(folder, delay=0.0):
    """Loads a fake model; each worker leaves its process id in the folder."""

    def load(name):
        (folder / str(os.getpid())).touch()
        fake = load_fake(name)
        fake.delay = delay
        return fake

    return load


def test_the_wave_of_a_killed_worker_is_run_again(tmp_path):
    pids = tmp_path / "pids"
    pids.mkdir()
    killed = []

    def kill_one():
        while not killed:
            for found in pids.iterdir():
                time.sleep(0.3)  # now it is in the middle of a wave
                os.kill(int(found.name), signal.SIGKILL)
                killed.append(int(found.name))
                return
            time.sleep(0.05)

    run = Run(tmp_path, FakeModel())
    killer = threading.Thread(target=kill_one)
    killer.start()
    with Cluster(marking(pids, delay=0.5), workers=1) as cluster:
        groups, trials = run(cluster.runner, "ray", 3)
    killer.join()
    assert (groups, trials) == run(LocalRunner, "local", 3)
    assert {int(found.name) for found in pids.iterdir()} > set(killed), "another one took its place"


def test_a_wave_that_kills_its_workers_stops_the_run_and_the_others_are_kept(tmp_path):
    def load(name):
        class Dying(FakeModel):
            def train(self, plans, *arguments, **options):
                if any("number1 " in sequence.text for plan in plans for sequence in plan.sequences):
                    os._exit(1)
                return super().train(plans, *arguments, **options)

        return Dying()

    stored_trials = []
    run = Run(tmp_path, FakeModel())
    with (
        Cluster(load, workers=1) as cluster,
        pytest.raises(WorkerError, match=r"a wave of 2 self-edits \(Tower 1\) lost its worker 3 times"),
    ):
        run(cluster.runner, "ray", 2, on_trials=stored_trials.extend)
    assert "t0" in {trial.task_id for trial in stored_trials if trial.status == "scored"}


def test_a_driver_that_was_stopped_goes_on_from_the_store(tmp_path):
    def stop(trials):
        if trials[0].status == "scored":
            raise KeyboardInterrupt

    run = Run(tmp_path, FakeModel())
    with Cluster(load_fake, workers=2) as cluster:
        with pytest.raises(KeyboardInterrupt):
            run(cluster.runner, "ray", on_trials=stop)
        told = []
        groups, trials = run(cluster.runner, "ray", on_trials=told.extend)
    assert (groups, trials) == run(LocalRunner, "local")
    assert 0 < sum(trial.status == "scored" for trial in told) < 8


TASKS = [own.task for own in proposals(4)]
OUTER = KnowledgeOuterSettings(
    inner=LearnSettings(knowledge=KnowledgeSettings(restatements=1), candidates=2, seeds=2),
    rounds=2,
    contexts=2,
)


def test_the_next_policy_reaches_the_workers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the policies' folder is relative

    def outer(runner, name):
        with Store(tmp_path / name / "store.sqlite") as store:
            done = experiments.train(
                DOMAIN, TASKS, FakeModel(), OUTER, store, load=load_fake, folder=f"{name}/policies",
                runner=runner,
            )  # fmt: skip
            return [replace(own, seconds=0, policy="") for own in done.rounds], trials_of(store)

    with Cluster(load_fake, workers=2) as cluster:
        rounds, trials = outer(cluster.runner, "ray")
    assert (rounds, trials) == outer(LocalRunner, "local")
    assert rounds[1].num_trials == 8


def test_an_evaluation_is_that_of_the_local_runner(tmp_path):
    """Edits of the model and of a policy, and the passages themselves."""
    settings = KnowledgeEvaluation(
        conditions=("base", "passage", "own", "seal"), inner=LearnSettings(candidates=1), resamples=100
    )

    def load(name):
        return FakeModel(name, f"weights of {name}")

    def evaluated(runner, name):
        with Store(tmp_path / name / "store.sqlite") as store:
            found = experiments.evaluate(
                DOMAIN, TASKS, "fake", settings, store, policy="other", load=load, trained=(),
                runner=runner,
            )  # fmt: skip
            return [replace(row, seconds=0.0) for row in found.evaluation.rows], trials_of(store)

    with Cluster(load, workers=2) as cluster:
        rows, trials = evaluated(cluster.runner, "ray")
    assert (rows, trials) == evaluated(LocalRunner, "local")
    assert [row.condition for row in rows] == list(settings.conditions)
    assert len(trials) >= 8


def test_whoever_follows_sees_the_workers(tmp_path):
    watched = Watched()
    with Store(tmp_path / "store.sqlite") as store, Cluster(load_fake, workers=2) as cluster:
        model = FakeModel()
        model.num_workers = 7
        run = store.start_run("train", model.name, model.revision, {}, {})
        runner, seen = cluster.runner(Policies(model), store, run, lambda trials: None), []
        watched.of(runner, model)
        assert watched.values()["workers"] == 7, "the model's threads, before there are any"
        for _ in runner.run(ref_of(model), DOMAIN, proposals(4), SETTINGS, watched):
            seen.append(watched.values())
        assert store.count_trials(run) == (16, 4 + 4), "waves, and edits that are none"
    workers = seen[-1]["workers"]
    assert workers in (1, 2), "one may have done all before the other had started"
    assert (seen[-1]["done"], seen[-1]["total"], seen[-1]["left"]) == (16, 16, 0)
    assert seen[-1]["rate"] > 0
    assert f"{workers} worker{'s' * (workers > 1)}, mean reward so far" in seen[-1]["note"]


def test_a_worker_with_other_weights_or_none_is_refused(tmp_path):
    def other(name):
        return FakeModel(name, "other weights")

    def missing(name):
        raise ModelError("there is no model folder /policies/round-1.")

    run = Run(tmp_path, FakeModel())
    for load, said in ((other, "has changed"), (missing, "storage that all of them share")):
        with (
            Cluster(load, workers=1) as cluster,
            pytest.raises(ModelError, match=rf"(?s)the worker on .* cannot load.*{said}"),
        ):
            run(cluster.runner, "ray", 1)


def test_without_ray_one_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'selfedit\[ray\]'"):
        Cluster(load_fake)


def test_a_killed_command_leaves_nothing_running_and_goes_on(tmp_path):
    """The real command, killed with -9, and started again without Ray: the trials are the same."""
    data = tmp_path / "data.json"
    rows = [{"title": t.title, "context": t.context,
             "questions": [{"question": q.question, "answer": q.gold} for q in t.queries]}
            for t in TASKS]  # fmt: skip
    data.write_text(json.dumps(rows))
    library = tmp_path / "library"

    def command(*more):
        return [
            sys.executable, "-m", "selfedit", "train", "knowledge", "--model", "fake",
            "--data", str(data), "--library", str(library), "--rounds", "1", "--contexts", "4",
            "--candidates", "1", "--seeds", "40", "--yes", *more,
        ]  # fmt: skip

    slow = {**os.environ, "SELFEDIT_FAKE_DELAY": "1"}
    process = subprocess.Popen(
        command("--runner", "ray", "--ray-workers", "2"), env=slow, stderr=subprocess.PIPE
    )
    try:
        begun = stored_count(library, process)
        started = psutil.Process(process.pid).children(recursive=True)
        # Its agents look for their parent now and then, and end within a minute.
        workers = [own for own in started if "Agent" not in own.name()]
    finally:
        process.kill()
        process.wait()
    assert begun < 160
    assert len(workers) > 3
    _, left = psutil.wait_procs(workers, timeout=60)
    assert not left, "Ray ends with the command"
    subprocess.run(command(), check=True, capture_output=True)
    assert stored_count(library, None) == 160


def stored_count(library, process) -> int:
    """Trials in the store; waits for the first ones while the process runs."""
    end = time.monotonic() + 240  # a busy machine starts Ray slowly
    while time.monotonic() < end:
        if (library / "store.sqlite").exists() or process is None:
            with Store(library / "store.sqlite") as store:
                if count := len(list(store.iter_trials())):
                    return count
        assert process is None or process.poll() is None, process.stderr.read().decode()
        time.sleep(0.1)
    raise AssertionError("no trial in four minutes")
