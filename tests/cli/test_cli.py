"""The command line as a user runs it, with the fake model; real processes where they are killed."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from selfedit.cli import main
from selfedit.types import ProbeResult

EXAMPLES = Path(__file__).parents[2] / "examples"
OWL = EXAMPLES / "tidewell-observatory.md"
QUIZ = EXAMPLES / "tidewell-observatory.quiz.jsonl"
OTHER = EXAMPLES / "marrowtide-festival.md"
OTHER_QUIZ = EXAMPLES / "marrowtide-festival.quiz.jsonl"

LEARN_KEYS = {
    "accuracy_before", "accuracy_after", "num_questions", "held_out", "version", "committed",
    "reason", "num_trials", "num_invalid", "seconds_per_edit", "seconds", "adapter_path",
    "report_path", "quiz", "logprob_gain", "quiz_ended", "notes", *ProbeResult().measures(),
}  # fmt: skip


def start(*args: object, delay: float = 0.0, **options) -> subprocess.Popen:
    env = {**os.environ, "SELFEDIT_FAKE_DELAY": str(delay), "COLUMNS": "100"}
    return subprocess.Popen(
        [sys.executable, "-m", "selfedit", *map(str, args)],
        stdin=options.get("stdin", subprocess.DEVNULL),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
        # A shell may have started the tests with SIGINT ignored, which children would inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def run(*args: object, text: str | None = None) -> subprocess.CompletedProcess:
    """The command in this process, which spares each test the imports; `start` is the real thing."""
    words = ["selfedit", *map(str, args)]
    streams = [
        io.TextIOWrapper(io.BytesIO(data), "utf-8") for data in ((text or "").encode(), b"", b"")
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "100")
        patch.setenv("SELFEDIT_FAKE_DELAY", "0")
        patch.setattr(sys, "argv", words)
        for name, stream in zip(("stdin", "stdout", "stderr"), streams, strict=True):
            patch.setattr(sys, name, stream)
        try:
            main()
            code = 0
        except SystemExit as stopped:
            code = stopped.code
    for stream in streams[1:]:
        stream.flush()
    out, err = (stream.buffer.getvalue().decode() for stream in streams[1:])
    return subprocess.CompletedProcess(words, code, out, err)


def run_apart(*args: object) -> subprocess.CompletedProcess:
    """The command in a process of its own."""
    process = start(*args)
    out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(args, process.returncode, out, err)


def learn_args(library: Path, document: Path = OWL, quiz: Path = QUIZ) -> list[object]:
    return ["learn", document, "--quiz", quiz, "--model", "fake", "--library", library, "--json"]


def test_progress_is_on_stderr_and_quiet_stops_it(tmp_path):
    args = learn_args(tmp_path / "library")
    quiet = run(*args, "--quiet")
    assert json.loads(quiet.stdout)["committed"] is True
    assert quiet.stderr == ""
    assert "writing self-edits: 0 of 30" in run(*args).stderr


def test_learn_ask_and_adapters(tmp_path):
    library = tmp_path / "library"
    done = run_apart(*learn_args(library))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert set(result) == LEARN_KEYS
    assert result["committed"] is True
    assert done.stdout.count("\n") == 1
    asked = run("ask", "--model", "fake", "--library", library, "--json", "--compare",
                text="Who founded Tidewell Observatory?\n\n")  # fmt: skip
    (answer,) = json.loads(asked.stdout)["answers"]
    assert "Maren Hollick" in answer["answer"]
    assert answer["base"] == "I do not know."
    listed = json.loads(run("adapters", "list", "--library", library, "--json").stdout)
    assert [a["current"] for a in listed["adapters"]] == [True]
    shown = json.loads(run("adapters", "show", 1, "--library", library, "--json").stdout)
    assert shown["lineage"] == [1]
    assert shown["edits"][0]["sequences"]
    plain = run("adapters", "show", 1, "--library", library)
    assert "Tidewell Observatory" in plain.stdout
    back = run("adapters", "rollback", "--model", "fake", "--library", library, "--json")
    assert json.loads(back.stdout) == {"current": None}


def test_terminal_output_says_what_happened(tmp_path):
    done = run(*learn_args(tmp_path / "library")[:-1])
    assert "0 of 12" in done.stdout
    assert "12 of 12" in done.stdout
    assert "Committed as version 1" in done.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"word", "word"),
        ("# Café\n\nThe caf\u00e9 opens at noon.".encode("latin-1"), "byte"),
        (b"\x00\x01\x02\xff" * 50, "not text"),
    ],
)
def test_bad_documents(tmp_path, content, message):
    document = tmp_path / "bad.md"
    document.write_bytes(content)
    done = run(*learn_args(tmp_path / "library", document))
    assert done.returncode == 1
    assert "bad.md" in done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_bad_quiz_line_is_named(tmp_path):
    quiz = tmp_path / "quiz.jsonl"
    quiz.write_text('{"question": "Who?", "answer": "Me"}\n{"question": "Who?"\n', encoding="utf-8")
    done = run(*learn_args(tmp_path / "library", OWL, quiz))
    assert done.returncode == 1
    assert "quiz.jsonl, line 2" in done.stderr
    empty = tmp_path / "empty.jsonl"
    empty.write_text('{"question": "Who?", "answer": ""}\n', encoding="utf-8")
    assert "line 1" in run(*learn_args(tmp_path / "library", OWL, empty)).stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["ask", "x", "--base", "--model", "/no/such/folder"], "no model folder"),
        (["learn", str(OWL), "--model", "fake", "--epochs", "0"], "--epochs"),
        (["learn", str(OWL), "--model", "fake", "--strategy", "dance"], "--strategy"),
        (["learn", "no-such-file.md", "--model", "fake"], "no-such-file.md"),
        (["ask", "--model", "fake"], "no question"),
        (["adapters", "show", "7"], "no library"),
    ],
)
def test_errors_say_what_to_do(tmp_path, args, message):
    done = run(*args, "--library", tmp_path / "library")
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_unknown_option_is_a_usage_error():
    done = run("learn", "--no-such-option")
    assert done.returncode == 2
    assert "no-such-option" in done.stderr


def test_long_work_needs_yes_without_a_terminal(tmp_path, monkeypatch):
    document = tmp_path / "long.txt"
    sentences = (f"Item {i} of the Zorv catalogue weighs {i} grams." for i in range(4000))
    document.write_text("\n\n".join(sentences), encoding="utf-8")
    process = start(*learn_args(tmp_path / "library", document), delay=3.0)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "--yes" in err
    assert "passages" in err


def result_of(library: Path) -> tuple[dict, str]:
    done = run(*learn_args(library))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    return result, weights_in(result["adapter_path"])


def weights_in(passages: str) -> str:
    """Those of the one adapter in a library's folder."""
    (adapter,) = Path(passages).rglob("fake_adapter.json")
    return adapter.read_text(encoding="utf-8")


@pytest.mark.parametrize("seed", range(4))
def test_kill_9_anywhere_loses_nothing(tmp_path, seed):
    """Killed twice at random moments of a slowed run, then finished: the same as never killed."""
    whole, texts = result_of(tmp_path / "whole")
    library = tmp_path / "killed"
    draw = random.Random(seed)
    for _ in range(2):
        process = start(*learn_args(library), delay=0.25)
        time.sleep(draw.uniform(0.6, 2.6))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        process.stderr.close()
    result, again = result_of(library)
    if result["committed"]:  # else a killed run had committed already, and this one adds nothing
        assert again == texts
        assert result["accuracy_after"] == whole["accuracy_after"]
    listed = json.loads(run("adapters", "list", "--library", library, "--json").stdout)
    committed = [a for a in listed["adapters"] if a["status"] == "committed"]
    assert len(committed) == 1
    assert weights_in(committed[0]["path"]) == texts


def test_ctrl_c_exits_130_with_one_line(tmp_path):
    process = start(*learn_args(tmp_path / "library"), delay=2.0)
    while not (tmp_path / "library" / "learn.lock").exists():  # it is at work from here on
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert out == ""
    assert "goes on from there" in err
    assert "Traceback" not in err


def test_two_learns_at_once_wait_for_each_other(tmp_path):
    library = tmp_path / "library"
    pair = [
        start(*learn_args(library), delay=0.1),
        start(*learn_args(library, OTHER, OTHER_QUIZ), delay=0.1),
    ]
    ends = [process.communicate(timeout=300) for process in pair]
    assert [process.returncode for process in pair] == [0, 0], ends
    assert {json.loads(out)["version"] for out, _ in ends} == {1, 2}
    both = run("ask", "--model", "fake", "--library", library,
               text="Who founded Tidewell Observatory?\n")  # fmt: skip
    assert "Maren Hollick" in both.stdout
    shown = json.loads(run("adapters", "show", 2, "--library", library, "--json").stdout)
    assert len(shown["documents"]) == 2
    assert shown["parent"] == 1


def test_a_store_of_a_newer_version_is_refused(tmp_path):
    import sqlite3

    library = tmp_path / "library"
    assert run(*learn_args(library)).returncode == 0
    with sqlite3.connect(library / "store.sqlite") as connection:
        connection.execute("update alembic_version set version_num = '9999_future'")
    done = run("adapters", "list", "--library", library)
    assert done.returncode == 1
    assert "newer" in done.stderr


def test_models_are_listed():
    models = json.loads(run("models", "--json").stdout)["models"]
    assert models[0]["name"] == "smollm2-135m"


def test_a_single_setting_goes_before_the_preset():
    from selfedit.domains.knowledge.options import learn_settings

    settings = learn_settings({"train": {"epochs": 3}}, "paper")
    assert settings.lora.target_modules == ("q_proj", "v_proj")
    assert settings.lora.layers == "all"
    assert settings.train.epochs == 3
    assert learn_settings({}, "balanced") == learn_settings({})
    assert learn_settings({}, "fast").train.epochs < 10


def test_an_unknown_preset(tmp_path):
    wrong = run(*learn_args(tmp_path / "other"), "--preset", "best")
    assert wrong.returncode == 1
    assert "fast, balanced, paper" in wrong.stderr


def test_probe_says_what_a_version_broke(tmp_path):
    library = tmp_path / "library"
    assert run(*learn_args(library)).returncode == 0
    done = run("probe", "--model", "fake", "--library", library, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    # The fake model knows nothing of the world, and gives a neighbour what it has learned.
    assert (result["num_general"], result["general_before"], result["general_kept"]) == (96, 0, None)
    assert result["leakage"] > 0
    assert result["neighbour_drift"] > 0
    version = run("adapters", "show", 1, "--library", library).stdout
    assert "Neighbours that take a fact" in version
    assert "num_general" not in version
    shown = run("probe", "--model", "fake", "--library", library)
    assert "Neighbours that take a fact" in shown.stdout
    assert "cannot be judged" in shown.stdout
    (adapter,) = (library / "passages").iterdir()
    folder = run("probe", "--model", "fake", "--adapter", adapter, "--json")
    assert json.loads(folder.stdout)["leakage"] is None
    assert json.loads(folder.stdout)["drift"] > result["drift"]  # no router keeps questions from it


def test_probe_refuses_what_does_not_go_together(tmp_path):
    twice = run("probe", "--model", "fake", "--version", 1, "--base", "fake", "--library", tmp_path)
    assert "exclude each other" in twice.stderr
    none = run("probe", "--model", "fake", "--library", tmp_path)
    assert none.returncode == 1
    assert "there is no library" in none.stderr
    lost = run("probe", "--model", "fake", "--adapter", tmp_path, "--document", OWL)
    assert lost.returncode == 1
    assert "adapter" in lost.stderr


def test_reading_commands_refuse_a_library_that_is_not_there(tmp_path):
    nowhere = tmp_path / "libary"
    for command in (
        ["ask", "Who?", "--model", "fake"],
        ["ask", "Who?", "--model", "fake", "--version", 1],
        ["adapters", "list"],
        ["adapters", "show", 1],
        ["adapters", "export", tmp_path / "out", "--model", "fake"],
        ["adapters", "rollback", "--model", "fake"],
        ["adapters", "delete", 1],
        ["report"],
    ):
        done = run(*command, "--library", nowhere)
        assert done.returncode == 1
        assert str(nowhere) in done.stderr.replace("\n", "")
        assert not nowhere.exists()
    bare = run("ask", "Who?", "--base", "--model", "fake", "--library", nowhere)
    assert bare.stdout == "I do not know.\n"  # which needs none


def test_hostile_documents_are_text_on_any_console(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")
    title = "M\u0142yn\x1b]0;owned\x07 \u6771\u4eac"
    document, quiz = tmp_path / "m.md", tmp_path / "q.jsonl"
    document.write_text(
        f"# {title}\n\nThe miller of the mill is Jan\x1b[31m K\u0142os.\n", encoding="utf-8"
    )
    question = {"question": "Who is the miller of the mill?", "answer": "K\u0142os"}
    quiz.write_text(json.dumps(question), encoding="utf-8")
    library = ["--library", tmp_path / "library"]
    for command in (
        ["learn", document, "--quiz", quiz, "--model", "fake"],
        ["adapters", "list"],
        ["adapters", "show", 1],
        ["ask", "Who is the miller of the mill?", "--model", "fake"],
        ["ask", "Who is the miller of the mill?", "--model", "fake", "--compare"],
        ["report", 1],
    ):
        done = run(*command, *library)
        assert done.returncode == 0, done.stderr
        assert not set(done.stdout + done.stderr) & set("\x1b\x07")
    shown = json.loads(run("adapters", "show", 1, *library, "--json").stdout)
    assert shown["documents"] == [title]
    error = run("learn", tmp_path / "no\x1b[31m.md", "--model", "fake", *library)
    assert error.returncode == 1
    assert "no\\x1b[31m.md" in error.stderr.replace("\n", "")
    assert run("adapters", "rollback", "--model", "fake", *library, "--", -5).returncode == 1
    assert "no adapter version" in run("adapters", "show", 2**64, *library).stderr
