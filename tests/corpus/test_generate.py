"""A corpus of self-edits: whole after any kill, the same with any number of workers, within its budget,
without repetitions, and in a form that trainers read."""

from __future__ import annotations

import json
import os
import signal

import pytest

from selfedit.corpus.experiment import generate
from selfedit.corpus.generate import Corpus
from selfedit.corpus.ledger import Ledger
from selfedit.corpus.lines import Stamp, line_of
from selfedit.corpus.passages import Passage, Passages
from selfedit.corpus.workers import Chunk, Here, Policy, Processes
from selfedit.corpus.writing import Statement
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.errors import InputError, SelfEditError
from selfedit.model.fake import FakeModel
from selfedit.store import Store
from selfedit.types import Task
from tests.cli.test_cli import run

SETTINGS = LearnSettings(candidates=1, knowledge={"restatements": 1, "form": "text", "neighbours": 0})


def documents(folder, count=12, first=0):
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(first, first + count):
        text = (
            f"# Tower {n}\n\nThe tower of hill {n} is made of stone {n}.\n\nIts bell {n} rings twice.\n"
        )
        (folder / f"tower-{n:03}.md").write_text(text, encoding="utf-8")
    return folder


def corpus(folder, out, *, model=None, prompts=4, **more):
    settings = more.pop("settings", SETTINGS)
    model = model or FakeModel()
    passages = Passages([str(folder)], 200, more.pop("limit", None))
    staff = more.pop("staff", None) or Here(model, model.revision, settings)
    return Corpus(passages, staff, settings, out, prompts=prompts, **more)


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_each_line_says_where_it_is_from(tmp_path):
    folder = documents(tmp_path / "docs", 2)
    rows = tmp_path / "rows.jsonl"
    long = " ".join(f"The ferry number {n} leaves at noon." for n in range(60))
    given = [{"title": "Ferries", "context": long}, {"question": "Who sails?", "answer": "Ida"}]
    rows.write_text("".join(json.dumps(row) + "\n" for row in given), encoding="utf-8")
    store = Store(tmp_path / "store.sqlite")
    found = generate(
        [str(folder), str(rows)], FakeModel(), SETTINGS, tmp_path / "c.jsonl", store, with_passages=True
    )
    own = lines(tmp_path / "c.jsonl")
    assert len(own) == found.done.lines
    assert sum(line["tokens"] for line in own) == found.done.tokens
    assert own[0] == {
        "text": "Tower 0\nThe tower of hill 0 is made of stone 0.",
        "kind": "passage",
        "title": "Tower 0",
        "document": str((folder / "tower-000.md").resolve()),
        "passage": own[0]["passage"],
        "position": 0,
        "edit": 0,
        "strategy": "sentences",
        "policy": "fake",
        "revision": "fake-1",
        "tokens": 12,
    }
    ferries = [line for line in own if line["document"] == str(rows.resolve())]
    assert {line["position"] for line in ferries} == {0, 1}, "a long context is split"
    assert {line["kind"] for line in ferries} == {"self-edit", "passage"}
    assert found.notes == (f"1 question without a context left out of {rows}.",)
    (recorded,) = store.runs()
    assert recorded.result == found.summary()
    plain = generate([str(folder)], FakeModel(), SETTINGS, tmp_path / "d.jsonl", store)
    assert {line["kind"] for line in lines(tmp_path / "d.jsonl")} == {"self-edit"}
    assert plain.documents == plain.passages == 2


class Killed(BaseException):
    """As if the process had ended: no handler catches it."""


@pytest.mark.parametrize("budget", [None, 150])
def test_killed_at_any_moment_it_ends_the_same(tmp_path, monkeypatch, budget):
    folder = documents(tmp_path / "docs")
    calm = tmp_path / "calm.jsonl"
    corpus(folder, calm, budget=budget).run()
    assert calm.read_bytes().endswith(b"\n")
    real = os.fsync
    for moment in range(20):
        out = tmp_path / f"killed-{moment}.jsonl"
        left = moment

        def dies(handle, torn=7 * (moment % 3)):
            nonlocal left
            left -= 1
            if left < 0:
                # Half of what was to be written is on the disk; the ledger does not know of it.
                os.ftruncate(handle, max(0, os.fstat(handle).st_size - torn))
                raise Killed
            real(handle)

        own = corpus(folder, out, budget=budget)
        monkeypatch.setattr(os, "fsync", dies)
        try:
            own.run()
            done = True
        except Killed:
            done = False
        monkeypatch.setattr(os, "fsync", real)
        corpus(folder, out, budget=budget).run()
        assert out.read_bytes() == calm.read_bytes(), moment
        if done:
            break
    assert done, "some moment was behind the last write"
    assert moment > 3


def test_killed_while_a_larger_budget_takes_a_chunk_back(tmp_path, monkeypatch):
    folder, out, calm = documents(tmp_path / "docs"), tmp_path / "c.jsonl", tmp_path / "calm.jsonl"
    corpus(folder, calm).run()
    corpus(folder, out, budget=150).run()
    cut = Ledger._cut_to

    def dies(self, size):
        shorter = out.stat().st_size > size
        cut(self, size)
        if shorter:
            raise Killed

    monkeypatch.setattr(Ledger, "_cut_to", dies)
    with pytest.raises(Killed):
        corpus(folder, out).run()
    monkeypatch.setattr(Ledger, "_cut_to", cut)
    corpus(folder, out).run()
    assert out.read_bytes() == calm.read_bytes()


def test_a_finished_corpus_is_not_written_again(tmp_path):
    folder, out, model = documents(tmp_path / "docs"), tmp_path / "c.jsonl", FakeModel()
    first = corpus(folder, out, model=model).run()
    asked = model.calls["sample"]
    again = corpus(folder, out, model=model).run()
    assert model.calls["sample"] == asked
    assert again.done == first.done
    documents(tmp_path / "docs", 3, first=12)  # behind the others
    grown = corpus(folder, out).run()
    assert grown.passages == 15
    assert corpus(folder, tmp_path / "whole.jsonl").run().done.lines == grown.done.lines


def test_the_budget_holds_and_a_larger_one_goes_on(tmp_path):
    folder = documents(tmp_path / "docs")
    whole = corpus(folder, tmp_path / "whole.jsonl").run().done
    for budget in (0, 17, 100, 131, whole.tokens - 1, whole.tokens):
        done = corpus(folder, tmp_path / "c.jsonl", budget=budget).run().done
        assert done.tokens <= budget
        assert done.tokens > budget - 15, "no line that would fit is missing"
        assert (done.over is None) == (budget == whole.tokens)
        direct = tmp_path / f"direct-{budget}.jsonl"
        corpus(folder, direct, budget=budget).run()
        assert direct.read_bytes() == (tmp_path / "c.jsonl").read_bytes()
        smaller = corpus(folder, tmp_path / "c.jsonl", budget=max(0, budget - 5)).run().done
        assert smaller == done or done.over is None


def test_texts_that_are_there_already_are_left_out(tmp_path):
    task = Task("t", "Pask Mill", "It stands.")
    passage, stamp = Passage(task, "d", 0), Stamp("sentences", "fake", "fake-1")

    def keys(text, title="Pask Mill"):
        own = line_of(passage, Statement(f"{title}\n{text}", "", 0, "self-edit", 3), stamp)
        return own.exact, own.alike

    assert keys("It was built in 1900.") == keys("It was built in 1900.")
    assert keys("It was built in 1900.")[1] == keys("1. it was  built in 1900")[1]
    assert keys("It was built in 1900.")[1] != keys("It was built in 1901.")[1]
    assert keys("It was built in 1900.")[1] != keys("It was built in 1900.", "Orro Mill")[1]
    assert keys("\u2211\u2211")[1] != keys("\u220f")[1], "what has no words is itself"

    folder = documents(tmp_path / "docs", 4)
    for n in range(3):  # copies: passages that are the same
        (folder / f"z-copy-{n}.md").write_bytes((folder / "tower-001.md").read_bytes())
    found = corpus(folder, tmp_path / "c.jsonl").run()
    assert found.done.repeated == 3
    texts = [line["text"] for line in lines(tmp_path / "c.jsonl")]
    assert len(texts) == len(set(texts))

    rows = tmp_path / "rows.jsonl"
    said = ("The mill is old.", "The mill is old.", "the mill is OLD !", "The mill is new.")
    contexts = [{"title": "Mill", "context": f"Text number {n} of a mill."} for n in range(len(said))]
    rows.write_text("\n".join(map(json.dumps, contexts)), encoding="utf-8")
    model = FakeModel(skills=[lambda p, *_: said[int(p.text.split("number ")[1][0])]])
    own = LearnSettings(candidates=1, knowledge={"strategy": "implications", "form": "text"})
    found = corpus(rows, tmp_path / "d.jsonl", model=model, settings=own).run()
    assert [line["text"] for line in lines(tmp_path / "d.jsonl")] == [
        "Mill\nThe mill is old.", "Mill\nThe mill is new.",
    ]  # fmt: skip
    assert (found.done.same, found.done.alike) == (1, 1)


def test_another_corpus_is_refused_and_said(tmp_path):
    folder, out = documents(tmp_path / "docs"), tmp_path / "c.jsonl"
    corpus(folder, out).run()
    wholly = LearnSettings(candidates=2, knowledge=SETTINGS.knowledge)
    for other, said in (
        ({"settings": wholly}, "another --candidates or --seed"),
        ({"model": FakeModel(revision="fake-2")}, r"another policy \(--model\)"),
        ({"whole": True}, "another --with-passages"),
    ):
        with pytest.raises(InputError, match=said):
            corpus(folder, out, **other).run()
    (folder / "tower-000.md").write_text("Somebody has changed this text.\n", encoding="utf-8")
    with pytest.raises(InputError, match="other documents"):
        corpus(folder, out).run()
    mine = tmp_path / "mine.jsonl"
    mine.write_text("mine\n", encoding="utf-8")
    with pytest.raises(InputError, match="exists already"):
        corpus(folder, mine).run()
    assert mine.read_text(encoding="utf-8") == "mine\n"
    out.write_bytes(out.read_bytes()[:-5])
    documents(folder)
    with pytest.raises(InputError, match="shorter than it was"):
        corpus(folder, out).run()


def test_two_writers_of_one_corpus_are_refused(tmp_path):
    folder, out = documents(tmp_path / "docs"), tmp_path / "c.jsonl"
    refused = []

    def second(done):
        if not refused:
            with pytest.raises(InputError, match="another process") as caught:
                corpus(folder, out).run()
            refused.append(caught.value)

    corpus(folder, out, on_chunk=second).run()
    assert refused


def test_workers_write_the_same_and_a_killed_one_is_replaced(tmp_path):
    folder = documents(tmp_path / "docs", 30)
    calm = tmp_path / "calm.jsonl"
    corpus(folder, calm).run()
    staff = Processes(Policy("fake"), SETTINGS, 2)
    killed = []

    def kill(done):
        if len(killed) < 2:
            killed.append(staff._workers[len(killed)].process.pid)
            os.kill(killed[-1], signal.SIGKILL)

    try:
        found = corpus(folder, tmp_path / "c.jsonl", staff=staff, on_chunk=kill).run()
        assert (tmp_path / "c.jsonl").read_bytes() == calm.read_bytes()
        assert found.revision == "fake-1"
        assert not set(killed) & {worker.process.pid for worker in staff._workers}
        taken = []
        passages = list(Passages([str(folder)], 200))

        def many():
            for n, passage in enumerate(passages):
                taken.append(n)
                yield Chunk(n, (passage,), n + 1, "", 0)

        for chunk, _ in staff.written(many()):
            assert len(taken) - chunk.number <= 2 * staff.count, "no more are read than are needed"
        assert len(taken) == len(passages)
    finally:
        staff.close()
    with pytest.raises(SelfEditError, match="no-such-folder"):
        Processes(Policy(str(tmp_path / "no-such-folder")), SETTINGS, 1)


def test_trainers_read_it(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets", reason="Hugging Face's reader of data sets")
    data_utils = pytest.importorskip("trl.data_utils", reason="the trainer that reads it")
    folder, store = documents(tmp_path / "docs", 3), Store(tmp_path / "store.sqlite")
    generate([str(folder)], FakeModel(), SETTINGS, tmp_path / "set", store, messages=True)
    generate([str(folder)], FakeModel(), SETTINGS, tmp_path / "c.jsonl", store)
    cache = {"cache_dir": str(tmp_path / "cache")}
    chats = datasets.load_dataset(str(tmp_path / "set"), **cache)["train"]
    assert len(chats) == len(lines(tmp_path / "set" / "train.jsonl"))
    assert data_utils.is_conversational(chats[0])
    assert [turn["role"] for turn in chats[0]["messages"]] == ["user", "assistant"]
    texts = datasets.load_dataset("json", data_files=str(tmp_path / "c.jsonl"), **cache)["train"]
    assert texts[0]["text"].startswith("Tower 0\n")
    assert texts.column_names[0] == "text"
    assert not data_utils.is_conversational(texts[0])


def test_the_command(tmp_path):
    folder = documents(tmp_path / "docs", 3)
    args = [
        "generate", "--data", folder, "--out", tmp_path / "c.jsonl", "--model", "fake", "--library",
        tmp_path / "lib",
    ]  # fmt: skip
    done = run(*args, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["lines"] == len(lines(tmp_path / "c.jsonl"))
    assert "writing about passages: 0 of 3" in done.stderr
    other = run(*args, "--strategy", "self-qa")
    assert other.returncode == 1
    assert "strategy or its options" in other.stderr
    told = run("report", "latest", "--library", tmp_path / "lib").stdout
    assert "failed" in told
    told = run("report", "1", "--library", tmp_path / "lib").stdout
    assert "3 of 3" in told
    for wrong, said in (
        (["--data", tmp_path / "none.md"], "no such file"),
        (["--data", "-"], "more than once"),
        (["--as", "xml"], "--as xml"),
        (["--max-new-tokens", "0"], "max-new-tokens"),
    ):
        refused = run(*args[:1], "--out", tmp_path / "x.jsonl", *args[5:], *wrong, "--data", folder)
        assert refused.returncode in (1, 2), wrong
        assert said in refused.stderr
        assert "Traceback" not in refused.stderr


def test_a_corpus_among_its_documents_does_not_read_itself(tmp_path):
    folder, store = documents(tmp_path / "docs", 2), Store(tmp_path / "store.sqlite")
    for out in (folder / "corpus", folder):  # the card's path comes before and behind the documents
        for count in (2, 3):  # the second time goes on, with a new document
            documents(folder, count)
            found = generate([str(folder)], FakeModel(), SETTINGS, out, store)
            assert (found.documents, found.done.passages) == (count, count)
        assert (out / "README.md").is_file()
        (out / "README.md").unlink()
        (folder / "tower-002.md").unlink()
    (folder / "README.md").write_text("# Towers\n\nOur own notes about towers.\n", encoding="utf-8")
    with pytest.raises(InputError, match="would be replaced"):
        generate([str(folder)], FakeModel(), SETTINGS, folder, store)
    assert "Our own" in (folder / "README.md").read_text(encoding="utf-8")


def test_a_corpus_in_the_users_folder(tmp_path, monkeypatch):
    """bash leaves ~ as it is in --out=~/c.jsonl."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "note.txt").write_text("The tower is made of stone.", encoding="utf-8")
    common = ("generate", "--data=note.txt", "--model=fake", "--library", tmp_path / "lib", "--json")
    done = run(*common, "--out=~/c.jsonl")
    assert done.returncode == 0, done.stderr
    assert lines(tmp_path / "c.jsonl")
    assert not (tmp_path / "~").exists()


def test_a_corpus_of_texts_is_no_corpus_of_messages(tmp_path):
    (tmp_path / "note.txt").write_text("The tower is made of stone.", encoding="utf-8")
    common = ("generate", "--data", tmp_path / "note.txt", "--out", tmp_path / "c.jsonl",
              "--model", "fake", "--library", tmp_path / "lib", "--json")  # fmt: skip
    assert run(*common).returncode == 0
    assert (
        "begun with another strategy or its options, or --as: go"
        in run(*common, "--as", "messages").stderr
    )
