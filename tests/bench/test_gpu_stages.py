"""gpu.sh: a stage that fails is named and stops no other, and what is there is not measured again."""

from __future__ import annotations

import json
import sys

import pytest

from benchmarks import gpu_stages, results_table
from benchmarks.gpu_stages import EXPECTED, LIMIT, Stage, Target, run_all, stages
from benchmarks.gpu_time import START, Rates, inner_seconds
from selfedit.bench.plan import InnerBench

MACHINE = {"commit": "abc", "gpu": "a card", "smoke": False}


def stage(name, script):
    return Stage(name, ("sh", "-c", script), lambda: 0.0)


def read(out):
    return json.loads((out / "gpu.json").read_text())


def test_what_fails_is_named_and_done_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu_stages, "PATIENCE", 0.5)
    broken = [
        stage("first", "echo '{\"answers_ratio\": 2.5}'"),
        stage("fails", "echo before >&2; echo no memory >&2; exit 3"),
        stage("words", "echo done"),
        stage("hangs", "exec sleep 60"),
        stage("last", "echo '{}'"),
    ]
    assert run_all(broken, tmp_path, MACHINE, 60) == ["fails", "words", "hangs"]
    whole = read(tmp_path)
    assert list(whole["steps"]) == ["first", "last"]
    assert whole["failed"]["fails"] == "exit status 3: no memory"
    assert "not JSON" in whole["failed"]["words"]
    assert whole["failed"]["hangs"].startswith("stopped after")
    assert whole["machine"] == MACHINE
    results_table.main([tmp_path / "gpu.json"])
    printed = capsys.readouterr().out
    assert "| exit status 3: no memory |" in printed
    assert "| answers_ratio | 2.5 |" in printed
    # Again, with what failed mended: the others are not run.
    mended = [
        stage(own.name, "echo '{}'" if own.name in whole["failed"] else "exit 1") for own in broken
    ]
    assert run_all(mended, tmp_path, MACHINE, 60) == []
    assert read(tmp_path)["failed"] == {}
    assert list(read(tmp_path)["steps"]) == [own.name for own in broken]
    with pytest.raises(SystemExit, match="commit"):
        run_all(mended, tmp_path, MACHINE | {"commit": "def"}, 60)


def test_no_stage_begins_when_the_time_is_over(tmp_path):
    assert run_all([stage("late", "echo '{}'")], tmp_path, MACHINE, -1) == ["late"]
    assert read(tmp_path)["failed"] == {"late": "not begun: the -1 seconds were over"}


def test_all_stages_are_expected_to_fit(capsys):
    names = [own.name for own in stages(Target(smoke=False, weights=True))]
    assert names == list(EXPECTED)
    assert sum(EXPECTED.values()) <= LIMIT
    for smoke, weights in ((True, True), (True, False), (False, False)):
        todo = stages(Target(smoke, weights))
        assert [own.name for own in todo] == names
        assert all(own.command[0] == sys.executable for own in todo)
        place = ("cpu", "tiny") if smoke else ("cuda", None)
        for own in todo:
            assert own.command[own.command.index("--device") + 1] == place[0]
            shape = own.command[own.command.index("--shape") + 1]
            assert place[1] in (None, shape)


def test_seconds_are_reckoned_as_the_bench_runs():
    """By hand: 3 edits of 5, 3 and 2 sequences, 2 epochs."""
    at = Rates(kernels=0, running=1.0, plain=2.0, token=0.0, peft_token=0.0, released=0.0)
    what = InnerBench(
        edits=3, widths=(2,), kinds=("plain", "packed"), repeats=2, released_edits=0, questions=0
    )
    plain = 2.0 * (2 * 2 * 10 + 5)  # timed twice, and one epoch of one edit before
    bank = 1.0 * (2 * 2 * (5 + 2) + 5)  # waves of two and of one
    assert inner_seconds(what, [5, 3, 2], 2, at, trunk=False) == pytest.approx(START + plain + bank)
