"""What nobody would give to a command: refused in one sentence, or taken as the text that it is."""

from __future__ import annotations

import gzip
import io
import json
import logging
import os
import signal
import socket
import sqlite3
import sys
import threading
import time
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from selfedit.cli import main
from selfedit.home import STORE
from tests.faults.libraries import MODEL, learn, write_inputs
from tests.faults.torture import TORTURE

LIB = ("--library", "lib")
LONG = "n" * 5000


@dataclass(frozen=True, slots=True)
class Said:
    code: int
    out: str
    err: str


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """A command as a user gives it, in this process and in a folder with inputs."""
    write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(*args: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["selfedit", *args])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code
        return Said(code, *capsys.readouterr())

    return run


REFUSED = {
    "a pipe as a document": (["learn", "pipe", *MODEL, *LIB], "pipe or a device"),
    "a device as a document": (["learn", "/dev/zero", *MODEL, *LIB], "pipe or a device"),
    "a pipe as a quiz": (["learn", "Orro.md", "--quiz", "pipe", *MODEL, *LIB], "pipe or a device"),
    "a device as a quiz": (["learn", "Orro.md", "--quiz", "/dev/zero", *MODEL, *LIB], "a device"),
    "a folder as a quiz": (["learn", "Orro.md", "--quiz", ".", *MODEL, *LIB], "cannot be read"),
    "a pipe as a prompt": (["learn", "Orro.md", "--prompt-file", "pipe", *MODEL, *LIB], "a device"),
    "a pipe to import": (["import", "release", "pipe", *LIB], "pipe or a device"),
    "a pipe as a matrix": (["import", "continual", "pipe", *LIB], "pipe or a device"),
    "a deep matrix": (["import", "continual", "deep.json", *LIB], "not a recorded"),
    "a list as a matrix": (["import", "continual", "list.json", *LIB], "not a recorded"),
    "a long library": (["ask", "q", *MODEL, "--library", LONG], "too long"),
    "a long document": (["learn", LONG, *MODEL, *LIB], "too long"),
    "a prompt of a megabyte": (
        ["learn", "Orro.md", "--prompt-file", "long.txt", *MODEL, *LIB],
        "2 MB, more than 1",
    ),
    "too many values": (["learn", "Orro.md", "--quiz", "many.json", *MODEL, *LIB], "too many values"),
    "too many values to import": (["import", "release", "many.json", *LIB], "too many values"),
    "a large quiz": (["learn", "Orro.md", "--quiz", "large.json", *MODEL, *LIB], "600 MB, more"),
    "a large document": (["learn", "large.md", *MODEL, *LIB], "600 MB, more than 500: split it"),
    "an address with a password": (
        ["learn", "https://user:secret@h/x", "--allow-urls", *MODEL, *LIB],
        "https://…@h/x: an address with a user and password is not fetched",
    ),
    "no such user's library": (["ask", "q", *MODEL, "--library", "~nosuchuser/x"], "such user"),
    "no such user's document": (["learn", "~nosuchuser/x.md", *MODEL, *LIB], "such user"),
    "a seed of 64 bits": ([*learn("Orro"), "--seed", str(2**63)], "less than or equal"),
    "a billion restatements": ([*learn("Orro"), "--restatements", "1000000000"], "less than or equal"),
    "a billion candidates": ([*learn("Orro"), "--candidates", "1000000000"], "less than or equal"),
    "a document that looks like an option": (["learn", "-Orro.md", *MODEL, *LIB], "No such option"),
    "a version of 64 bits": (["adapters", "show", str(2**63), *LIB], "no library"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_in_a_sentence(name, call, tmp_path, monkeypatch):
    monkeypatch.setattr("selfedit.data.files._MOST_VALUES", 100)
    (tmp_path / "many.json").write_text("[[],[],[],[]," * 5)
    (tmp_path / "long.txt").write_text("{context} " * 200_000)
    for large in ("large.json", "large.md"):
        (tmp_path / large).write_text("[")
        os.truncate(tmp_path / large, 600_000_000)  # it takes no room
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "list.json").write_text("[1]")
    args, message = REFUSED[name]
    said = call(*args)
    assert said.code in (1, 2), said
    assert message in " ".join(said.err.split())
    assert len(said.err) < 600
    assert not (tmp_path / "lib" / "adapters").exists()


EVIL = "<script>alert(1)</script> \x1b[2J\x1b]0;owned\x07 [red]x[/red] '); DROP TABLE runs;-- ../../x"


def test_what_is_written_is_text_everywhere(call, tmp_path):
    """Markup of every kind in the title, the passage, the question and the answer."""
    (tmp_path / "-evil.md").write_text(f"# Title {EVIL}\n\nThe lamps of Orro burn {EVIL} oil.\n")
    beside = set(tmp_path.parent.iterdir())
    asked = {"question": f"What {EVIL} burns?", "answers": [EVIL]}
    (tmp_path / "evil.jsonl").write_text(json.dumps(asked))
    done = call("learn", "--quiz", "evil.jsonl", *MODEL, *LIB, "--", "-evil.md")
    assert done.code == 0, done
    shown = [
        done,
        call("report", "1", *LIB, "--html", "page.html", "--markdown", "page.md"),
        call("adapters", "show", "1", *LIB),
        call("adapters", "list", *LIB),
        call("ask", f"What {EVIL} burns?", *MODEL, *LIB),
        call("learn", f"no{EVIL}.md", *MODEL, *LIB),
    ]
    for said in shown:
        assert "\x1b]" not in said.out + said.err, said
        assert "\x1b[2J" not in said.out + said.err, said
    assert "[red]x[/red]" in shown[2].out
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "<script" not in page
    assert "&lt;script" in page
    assert "\x1b" not in page
    assert "<script" not in (tmp_path / "page.md").read_text("utf-8")
    assert set(tmp_path.parent.iterdir()) == beside, "no name led out of the folder"


def test_a_lineage_in_a_circle_is_damage(call, tmp_path):
    assert call(*learn("Orro")).code == 0
    with sqlite3.connect(tmp_path / "lib" / STORE) as database:
        database.execute("UPDATE adapters SET parent = 1")
    for args in (["adapters", "show", "1", *LIB], ["adapters", "list", *LIB], learn("Velm")):
        said = call(*args)
        assert said.code == 1
        assert "damaged" in " ".join(said.err.split())


def test_standard_output_that_takes_nothing(call, monkeypatch):
    class Full:
        encoding = "utf-8"

        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

        def flush(self) -> None:
            pass

        def isatty(self) -> bool:
            return False

        def fileno(self) -> int:
            raise ValueError("none")

    assert call(*learn("Orro")).code == 0
    monkeypatch.setattr(sys, "stdout", Full())
    said = call("adapters", "show", "1", "--json", *LIB)
    assert said.code == 1
    assert "No space left on device" in said.err
    monkeypatch.setattr(sys, "stdout", None)
    assert call("adapters", "show", "1", *LIB).code == 0


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ImportError("ft2font.so: failed to map segment from shared object"),
        RuntimeError("can't start new thread"),
        SystemError("<function f> returned NULL without setting an exception"),
    ],
)
def test_no_memory(call, monkeypatch, error):
    def greedy(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("selfedit.learning.library.Library.adapters", greedy)
    assert call(*learn("Orro")).code == 0
    said = call("adapters", "list", *LIB)
    assert said.code == 1
    assert "memory" in said.err


def test_ctrl_c_while_an_object_is_tidied_up(call, monkeypatch):
    """There, Python prints it and forgets it."""

    class Object:
        def __del__(self) -> None:
            raise KeyboardInterrupt

    def long(*args: object, **options: object) -> None:
        Object()
        time.sleep(60)

    monkeypatch.setattr("selfedit.learning.library.Library.adapters", long)
    assert call(*learn("Orro")).code == 0
    began = time.monotonic()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # workers of pytest ignore it
    try:
        said = call("adapters", "list", *LIB)
    finally:
        signal.signal(signal.SIGINT, before)
    assert said.code == 130
    assert "Traceback" not in said.err
    assert time.monotonic() - began < 30


def test_ctrl_c_that_a_library_reports_is_no_error(call, monkeypatch):
    """As SQLAlchemy does where it comes while a connection is closed."""

    def closing(*args: object, **options: object) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            log = logging.Logger("of a library")  # pytest's own handlers do not get it
            log.error("Exception closing connection", exc_info=True)
            raise

    monkeypatch.setattr("selfedit.learning.library.Library.adapters", closing)
    assert call(*learn("Orro")).code == 0
    said = call("adapters", "list", *LIB)
    assert said.code == 130
    assert "Traceback" not in said.err
    assert "Stopped" in said.err


def test_standard_input_that_never_ends(call, monkeypatch):
    class Endless:
        buffer = property(lambda self: self)

        def read(self, size: int) -> bytes:
            return b"word " * (size // 5)

    monkeypatch.setattr("selfedit.domains.knowledge.sources.MOST_BYTES", 10**7)
    monkeypatch.setattr(sys, "stdin", Endless())
    said = call("learn", "-", *MODEL, *LIB)
    assert said.code == 1
    assert "standard input has more than 10 MB" in said.err
    monkeypatch.setattr("selfedit.cli.ask._MOST_PIPED", 1000)
    monkeypatch.setattr(sys, "stdin", io.StringIO("Who?\n" * 1000))
    said = call("ask", "--base", *MODEL)
    assert said.code == 1
    assert "more than 1,000 characters" in said.err


def test_standard_input_that_is_closed_or_no_text(call, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    said = call("ask", "--base", *MODEL)
    assert (said.code, "there is no question" in said.err) == (1, True)
    monkeypatch.setattr(sys, "stdin", None)
    assert call("chat", *MODEL, *LIB).code == 0

    for command in (["ask", "--base", "--json"], ["chat", *LIB]):
        strict = io.TextIOWrapper(io.BytesIO(b"Who \xff is Ada?\n"), "utf-8", errors="strict")
        monkeypatch.setattr(sys, "stdin", strict)
        said = call(*command, *MODEL)
        assert said.code == 0, said
        assert "I do not know." in said.out
    said = call("ask", "Who \udcff is Ada?", "--base", "--json", *MODEL)  # an argument's broken byte
    assert json.loads(said.out)["answers"][0]["question"] == "Who ? is Ada?"


def test_an_address_of_an_engine_that_was_not_chosen(call, monkeypatch):
    monkeypatch.setattr("selfedit.serve.run.run", lambda *given: None)
    said = call("serve", *MODEL, *LIB, "--vllm-url", "http://127.0.0.1:1")
    assert said.code == 1
    assert "--vllm-url: add --engine vllm" in said.err


@pytest.mark.parametrize(("key", "message"), [(" \n", "holds no key"), ("short\n", "too short")])
def test_a_key_of_the_environment_that_is_none(call, monkeypatch, key, message):
    monkeypatch.setattr("selfedit.serve.run.run", lambda *given: None)
    monkeypatch.setenv("SELFEDIT_API_KEY", key)
    said = call("serve", *MODEL, *LIB)
    assert said.code == 1
    assert message in said.err


@pytest.mark.parametrize("option", ["--max-body-mb", "--learning-share"])
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_numbers_that_are_none(call, option, value):
    said = call("serve", *MODEL, *LIB, option, value)
    assert said.code in (1, 2)
    assert option in said.err


def test_a_file_that_unpacks_to_packed_ones(call, tmp_path):
    (tmp_path / "twice.gz").write_bytes(gzip.compress(gzip.compress(b"{}")))
    said = call("learn", "Orro.md", "--quiz", "twice.gz", *MODEL, *LIB)
    assert said.code == 1
    assert "packed twice" in said.err


def test_what_unpacks_to_gigabytes(call, tmp_path, monkeypatch):
    """Kilobytes of white space: a line, one JSON value, rows, a Word document and its pictures."""
    monkeypatch.setattr("selfedit.data.files._MOST_BYTES", 10**6)
    asked = b'{"question": "Who?", "answers": ["Ada"]}\n'
    for start, said in ((asked, "line 2: more than"), (b"[", "1 MB: split"), (b"a,b\n", "1 MB: split")):
        (tmp_path / "bomb.gz").write_bytes(gzip.compress(start + b" " * 2 * 10**6))
        refused = call("learn", "Orro.md", "--quiz", "bomb.gz", *MODEL, *LIB)
        assert refused.code == 1
        assert said in " ".join(refused.err.split())
    pytest.importorskip("markitdown", reason="the extra `documents`")
    monkeypatch.setattr("selfedit.domains.knowledge.converters._MOST_TEXT", 10**6)
    monkeypatch.setattr("selfedit.domains.knowledge.converters._MOST_UNPACKED", 2 * 10**6)
    for part in ("word/document.xml", "word/media/picture.png"):
        with zipfile.ZipFile(tmp_path / "bomb.docx", "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr(part, b" " * 3 * 10**6)
        refused = call("learn", "bomb.docx", *MODEL, *LIB)
        assert refused.code == 1
        assert "bomb.docx unpacks to 3 MB of" in " ".join(refused.err.split())


@pytest.mark.parametrize("talk", ["drip", "headers", "nonsense", "cut"])
def test_an_address_that_drips_or_talks_nonsense(call, monkeypatch, talk):
    """And a document that is an address of its own."""

    def answer(peer: socket.socket) -> None:
        peer.recv(65536)
        beginning = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 999999\r\n\r\n"
        with peer, suppress(OSError):  # it hangs up
            opening = {"nonsense": b"BEER 9\r\n\r\n", "headers": beginning[:20]}
            peer.sendall(opening.get(talk, beginning))
            while talk in ("drip", "headers"):
                peer.sendall(b"a")
                time.sleep(0.01)

    monkeypatch.setattr("selfedit.domains.knowledge.sources._ALL_SECONDS", 0.2)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=lambda: answer(listener.accept()[0]), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        said = call("learn", url, "--allow-urls", *MODEL, *LIB)
    assert said.code == 1
    assert "cannot be fetched" in said.err


LONG_TEXTS = {
    "a Markdown document": ("long.md", "split it into several files"),
    "a plain document": ("long.txt", "split it into several files"),
    "a page": ("long.mdx", "split it into several files"),
    "documents together": ("folder", "with 1 other documents has"),
    "a context": ("context", "a context is one passage"),
    "a title": ("title", "shorten it"),
    "a question": ("question", "shorten it"),
    "an answer": ("answer", "an answer is a few words"),
    "an edit": ("edit", "it is about one passage"),
    "a graded answer": ("graded", "leave the line out"),
}


def _long_command(named: str, length: int) -> list[str]:
    """Writes the file with a text of so many characters; the command that reads it."""
    text = "The mill of Orro is old. " * (length // 25 + 1)
    if named == "folder":
        Path(named).mkdir()
        for name in ("a.md", "b.md"):  # each has as many as a document may have
            (Path(named) / name).write_text(text[: len(text) // 2])
    if named.startswith(("long", "folder")):
        Path(named).is_dir() or Path(named).write_text(text)
        return ["learn", named, *MODEL, *LIB]
    if named == "graded":
        Path("long.jsonl").write_text(json.dumps({"question": "Who?", "gold": "Ada", "answer": text}))
        return ["grade", "long.jsonl"]
    if named == "edit":
        Path("long.jsonl").write_text(json.dumps({"context": "The mill.", "edit": text}))
        return ["eval", "knowledge", "--data", "towers.json", "--edits", "long.jsonl", *MODEL, *LIB]
    row = {"title": "T", "context": "The mill is old.", "question": "How is it?", "answer": "old"}
    Path("long.json").write_text(json.dumps([{**row, named: text}]))
    return ["eval", "knowledge", "--data", "long.json", *MODEL, *LIB]


@pytest.mark.parametrize("name", LONG_TEXTS)
def test_a_text_that_is_too_long_to_be_worked_on(name, call, monkeypatch):
    """200 million characters (in the quick part a thousand, with smaller bounds) are refused within
    seconds."""
    named, message = LONG_TEXTS[name]
    length = 200_000_000 if TORTURE else 1000
    if named == "folder":
        length = 30_000_000 if TORTURE else 1000
    if not TORTURE:
        for module, bound in (
            ("domains.knowledge.documents", "DOCUMENT"),
            ("domains.knowledge.sources", "DOCUMENT"),
            ("data.read", "CONTEXT"),
            ("data.read", "ANSWER"),
            ("endpoints.writer", "CONTEXT"),
            ("grading.answers_file", "ANSWER"),
        ):
            monkeypatch.setattr(f"selfedit.{module}.MOST_{bound}", 600)
    args = _long_command(named, length)
    began = time.process_time()
    said = call(*args)
    assert said.code == 1, said
    assert message in " ".join(said.err.split()), said.err
    assert "characters, more than" in " ".join(said.err.split())
    assert len(said.err) < 600
    assert time.process_time() - began < (30 if TORTURE else 5)


def test_paths_that_climb_out_are_no_places():
    from selfedit.errors import AdapterError
    from selfedit.learning.shelf import Shelf

    for name in ("../x", "v0001/../../x", "/etc", "", ".", "v1", "0" * 8 + "/..", "ABCDEF00"):
        with pytest.raises(AdapterError, match="not the name"):
            Shelf(Path("lib")).adapter(name)
