"""`selfedit chat` as lines of stdin, in this process; and the example agent before and after."""

from __future__ import annotations

import importlib.util
import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from selfedit.agents.interactions import all_recorded
from selfedit.cli.app import app
from selfedit.learning.library import Library
from selfedit.model.fake import FakeModel

EXAMPLE = Path(__file__).parents[2] / "examples" / "agent.py"
ASKED = "In which bay is the pump of Orro kept?"


def chat(folder: Path, *lines: str | bytes):
    """(exit code, stdout, stderr) of a chat that is given these lines."""
    text = b"".join(own if isinstance(own, bytes) else f"{own}\n".encode() for own in lines)
    done = CliRunner().invoke(app, ["chat", "--model", "fake", "--library", str(folder)], input=text)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def test_a_correction_is_remembered_explained_and_undone(tmp_path):
    folder = tmp_path / "library"
    code, said, _ = chat(
        folder, ASKED, "/remember No, the pump of Orro is kept in bay nine.", ASKED, "/why"
    )
    assert code == 0
    before, *learned, after, answered, concerns, source = said.splitlines()
    assert before == "I do not know."
    assert learned[0] == 'Remembered as version 1: "The pump of Orro is kept in bay nine."'
    assert "bay nine" in after
    assert answered == "Version 1 answered."
    assert concerns == f"It concerns pump of Orro (conversation: {ASKED}):"
    assert source.strip() == "The pump of Orro is kept in bay nine."
    listed = CliRunner().invoke(app, ["report", "--library", str(folder), "--json"]).stdout
    assert "remembered: The pump of Orro is kept in bay nine." in listed
    code, said, _ = chat(folder, ASKED, "/undo", ASKED)
    assert "bay nine" in said.splitlines()[0]  # after a restart, too
    assert said.splitlines()[2:] == ["The bare model is current.", "I do not know."]


def test_a_refused_command_is_told_and_the_rest_goes_on(tmp_path):
    code, said, errors = chat(tmp_path / "l", "/undo", "/why", "/remember", "/nonsense", "", ASKED)
    assert code == 1  # a script must see it
    assert errors.count("Error: ") == 4
    assert said == "I do not know.\n"
    _, _, errors = chat(tmp_path / "vague", "/remember the thing is good")
    assert "say it in a whole sentence" in errors
    assert "--quiz" not in errors  # which a chat does not have
    code, said, _ = chat(tmp_path / "l", "/help", "/quit", ASKED)
    assert (code, said.count("I do not know.")) == (0, 0)


def test_control_characters_and_broken_bytes_are_text(tmp_path):
    note = "/remember The pump of Orro \x1b]0;owned\x07 hums in bay nine."
    code, said, _ = chat(tmp_path / "l", note, b"Where does the pump of Orro \xff hum?\n")
    assert code == 0
    assert "\x1b" not in said
    assert "\x07" not in said
    assert "\\x1b]0;owned" in said


def test_what_was_recorded_elsewhere_is_learned_by_a_bare_remember(tmp_path):
    from selfedit.agents.interactions import Feedback, Interaction, Turn
    from selfedit.agents.remembering import record

    library = Library(FakeModel(), tmp_path / "l")
    feedback = Feedback("correction", "The pump of Orro is kept in bay nine.")
    record(library, Interaction((Turn("user", ASKED), Turn("assistant", "Bay two.")), feedback))
    code, said, errors = chat(tmp_path / "l", "/remember", ASKED)
    assert code == 0
    assert "not learned yet: 1" in errors
    assert "bay nine" in said.splitlines()[-1]


def test_a_recording_that_cannot_be_learned_leaves_the_others_their_turn(tmp_path):
    from selfedit.agents.interactions import Feedback, Interaction, Turn
    from selfedit.agents.remembering import record

    library = Library(FakeModel(), tmp_path / "l")
    record(library, Interaction((), Feedback("note", "yes")))
    feedback = Feedback("correction", "The pump of Orro is kept in bay nine.")
    record(library, Interaction((Turn("user", ASKED), Turn("assistant", "Bay two.")), feedback))
    code, said, errors = chat(tmp_path / "l", "/remember", ASKED)
    assert 'Remembered as version 1: "The pump of Orro is kept in bay nine."' in said
    assert "bay nine" in said.splitlines()[-1]
    assert code == 1  # a script must see that something was left out
    assert 'Error: "yes" was left out: ' in errors, errors


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_at_a_terminal_ctrl_c_drops_a_line_and_ctrl_d_leaves(tmp_path):
    main, side = pty.openpty()
    command = [sys.executable, "-m", "selfedit", "chat", "--model", "fake", "--library", tmp_path / "l"]
    process = subprocess.Popen(command, stdin=side, stdout=side, stderr=side, start_new_session=True,
                               preexec_fn=_own_terminal)  # fmt: skip
    os.close(side)
    heard = b""

    def until(text: bytes, again: bytes = b"") -> None:
        nonlocal heard
        silent = 0
        while text not in heard:
            if select.select([main], [], [], 10)[0]:
                heard += os.read(main, 4096)
                continue
            silent += 1
            assert silent < 20, f"waiting for {text!r}: {heard!r}"
            os.write(main, again)
        heard = heard.partition(text)[2]

    until(b"> ")
    # Python heeds a signal that comes between the prompt and its wait for a key at the next key only.
    os.write(main, b"half a line\x03")
    until(b"leaves", again=b"\x03")
    until(b"> ")
    os.write(main, b"Who?\n")
    until(b"I do not know.", again=b"Who?\n")
    until(b"> ")
    os.write(main, b"\x04")
    assert process.wait(timeout=120) == 0
    os.close(main)


def _own_terminal() -> None:
    import fcntl
    import signal
    import termios

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_the_example_agent_does_not_repeat_a_mistake_after_a_restart(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("agent", EXAMPLE)
    agent = importlib.util.module_from_spec(spec)
    sys.modules["agent"] = agent
    spec.loader.exec_module(agent)
    first = agent.Agent(Library(FakeModel(), tmp_path / "l"))
    assert not first.fetch("the pump of Orro")
    assert first.corrected("The pump of Orro is in bay nine.").committed
    again = agent.Agent(Library(FakeModel(), tmp_path / "l"))
    assert again.fetch("the pump of Orro")
    assert "open_bay('nine') -> the pump of Orro" in capsys.readouterr().out
    (own,) = all_recorded(again.library.store)
    assert own.interaction.feedback.text == "The pump of Orro is in bay nine."


def test_learn_first_answers_from_the_document_and_keeps_nothing(tmp_path):
    notes = tmp_path / "notes.md"
    notes.write_text("# Owls\n\nThe Hask owl eats blue moths at dusk.\n")
    asked = ["ask", "What does the Hask owl eat?", "--model", "fake", "--library", str(tmp_path / "l")]
    done = CliRunner().invoke(app, [*asked, "--learn-first", str(notes), "--json"])
    assert "blue moths" in done.stdout
    assert not (tmp_path / "l").exists()
    wrong = CliRunner().invoke(app, [*asked, "--learn-first", str(notes), "--version", "1"])
    assert wrong.exit_code == 1
    notes.write_text("# Owls\n\nThe NaN owl eats blue moths at dusk.\n")
    failed = CliRunner().invoke(app, [*asked, "--learn-first", str(notes)])
    assert failed.stdout == "I do not know.\n"
    assert "the bare model answers" in failed.stderr


def test_learn_first_reads_what_learn_reads(tmp_path):
    ask = ["ask", "--model", "fake", "--library", str(tmp_path / "l")]
    fetched = [*ask, "Who?", "--learn-first", "http://127.0.0.1:9/owls.md", "--allow-urls"]
    for args, said in {
        (*fetched,): "cannot be fetched",
        (*ask, "Who?", "--allow-urls"): "goes with --learn-first",
        (*ask, "--learn-first", "-"): "give the question",
    }.items():
        refused = CliRunner().invoke(app, list(args), input="Who?\n")
        assert said in str(refused.exception)
