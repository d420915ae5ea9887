"""`selfedit report` and `selfedit compare` as a user runs them, with the fake model."""

from __future__ import annotations

import json
from html.parser import HTMLParser

from tests.cli.test_cli import OWL, QUIZ, run
from tests.cli.test_train import args, data


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.links: list[str | None] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "action")]


def report(library, *more):
    return run("report", *more, "--library", library)


def test_train_and_eval_runs(tmp_path):
    library = tmp_path / "lib"
    trained = run(*args(tmp_path, "lib", "--contexts", "5", "--rounds", "2"))
    assert trained.returncode == 0, trained.stderr
    policy = json.loads(trained.stdout)["policy"]
    page, twin = tmp_path / "out" / "r.html", tmp_path / "out" / "r.md"
    told = report(library, "latest", "--html", page, "--markdown", twin, "--context", "Tower 3")
    assert told.returncode == 0, told.stderr
    for text in (told.stdout, page.read_text(encoding="utf-8"), twin.read_text(encoding="utf-8")):
        assert "Round 1" in text
        assert "Round 2" in text
        assert "stone3" in text
    tags = Tags(page.read_text(encoding="utf-8"))
    assert "svg" in tags.found
    assert "script" not in tags.found
    assert all(link is None or link.startswith("#") for link in tags.links)

    more = ("--model", "fake", "--library", library, "--epochs", "2", "--yes", "--data")
    seen = run("eval", "knowledge", *more, data(tmp_path), "--conditions", "seal", "--policy", policy)
    assert seen.returncode == 1
    assert "held out" in seen.stderr  # the library knows what it trained the policy on
    done = run(
        "eval", "knowledge", *more, data(tmp_path, 10), "--conditions", "base,own,seal",
        "--policy", policy, "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert all(len(row["by_context"]) == 5 for row in rows)
    told = report(library, "2")
    assert "too few contexts" in told.stdout  # the pairs of five contexts
    assert "was not checked" not in told.stdout

    figure = tmp_path / "figure.svg"
    told = run("compare", "2", "--as", "figure4", "--figure", figure, "--library", library, "--json")
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["columns"] == ["0 rounds", "1 round", "2 rounds"]
    assert "rounds of RL" in figure.read_text(encoding="utf-8")

    listed = report(library)
    first = [line.split()[0] for line in listed.stdout.splitlines() if line.strip()]
    assert [word for word in first if word.isdigit()] == [
        "2",
        "1",
    ]  # a long row goes on in the next line
    runs = json.loads(report(library, "--json").stdout)["runs"]
    assert [(r["run"], r["kind"], r["status"]) for r in runs] == [
        (2, "eval", "finished"), (1, "train", "finished"),
    ]  # fmt: skip


def test_a_learn_run_gives_its_own_report(tmp_path):
    library = tmp_path / "lib"
    run("learn", OWL, "--quiz", QUIZ, "--model", "fake", "--library", library)
    told = report(library, "latest", "--html", tmp_path / "r.html")
    assert told.returncode == 0, told.stderr
    (own,) = (library / "reports").glob("*.html")
    assert own.name in told.stdout.replace("\n", "")
    assert (tmp_path / "r.html").read_bytes() == own.read_bytes()
    own.unlink()
    told = report(library, "latest", "--html", tmp_path / "r.html")
    assert "no longer there" in told.stdout.replace("\n", " ")
    assert "12 of 12" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_errors_say_what_to_do(tmp_path):
    library = tmp_path / "lib"
    nothing = report(library)
    assert nothing.returncode == 1
    assert "--library" in nothing.stderr
    assert not library.exists()
    run(*args(tmp_path, "lib"))
    for command, message in (
        (["report", "9"], "no run 9"),
        (["report", "first"], "by its number"),
        (["report", "--html", tmp_path / "x.html"], "name a run"),
        (["report", "1", "--context", "Nowhere"], "no context"),
        (["report", "1", "--html", "/dev/null/x.html"], "cannot be written"),
        (["compare", "1"], "kind train"),
        (["compare", "1", "--as", "table3"], "--as table3"),
        (["compare", "1", "--figure", tmp_path / "x.svg"], "figure4"),
    ):
        done = run(*command, "--library", library)
        assert done.returncode == 1, command
        assert message in done.stderr
        assert "Traceback" not in done.stderr
