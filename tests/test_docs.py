"""What the documents say is true: commands exist, files are there, generated pages are fresh."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import shlex
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from selfedit.cli import app
from selfedit.grading import GRADERS
from selfedit.report.run_report import run_report

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(text: str) -> list[tuple[str, str]]:
    """(language, content) of the fenced code blocks."""
    return _FENCE.findall(text)


def commands(text: str) -> list[str]:
    """The selfedit commands of all blocks; in a transcript, the lines behind a "$"."""
    found = []
    for _, block in blocks(text):
        lines = block.replace("\\\n", " ").splitlines()
        prompted = [line[2:] for line in lines if line.startswith("$ ")]
        for line in prompted or lines:
            for part in re.split(r"\s(?:\||&&)\s", line):
                if re.match(r"selfedit(\s|$)", part.strip()):
                    found.append(part.strip())
    return found


def parse(command: Any, name: str, arguments: list[str], parent: Any = None) -> None:
    """Parse as the command line does, down to the last sub-command, and run nothing."""
    context = command.make_context(name, arguments, parent=parent)
    rest = [*getattr(context, "_protected_args", ()), *context.args]
    if not hasattr(command, "commands"):
        assert not rest, f"{name}: too many arguments: {rest}"
    elif rest:
        child, inner, inner_arguments = command.resolve_command(context, rest)
        parse(inner, child, inner_arguments, context)


def script(name: str) -> ModuleType:
    path = ROOT / "scripts" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_cli_page_is_fresh(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert page == script("cli_docs").render(), "docs/cli.md is stale: run `make docs`"


def test_settings_page_is_fresh():
    page = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    assert page == script("settings_docs").render(), "docs/reference/settings.md: run `make docs`"


def test_the_tutorial_prints_what_it_says():
    """All its commands, in order, with the fake model."""
    page = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    assert len(commands(page)) > 8
    assert page == script("tutorial").render(page), "docs/tutorial.md is stale: run `make docs`"


def test_the_site_has_every_page_once():
    listed = re.findall(r"^ +- ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    assert sorted(f"docs/{page}" for page in listed) == PAGES


def test_readme_shows_commands():
    assert len(commands(README)) > 5


@pytest.mark.parametrize(
    "line",
    [
        line
        for page in ("README.md", "CONTRIBUTING.md", *PAGES)
        if page != "docs/cli.md"  # usage lines, and made of the commands
        for line in commands((ROOT / page).read_text(encoding="utf-8"))
    ],
)
def test_commands_of_the_pages_parse(line):
    _, *arguments = shlex.split(line, comments=True)
    with contextlib.suppress(typer.Exit):  # --version and --help
        parse(typer.main.get_command(app), "selfedit", arguments)


@pytest.mark.parametrize(
    "line",
    ["selfedit learn a.md --nonsense", "selfedit nonsense", "selfedit ask a b", "selfedit learn"],
)
def test_a_wrong_command_does_not_parse(line):
    with pytest.raises(Exception) as caught:  # noqa: PT011 (typer's own classes differ by version)
        parse(typer.main.get_command(app), "selfedit", line.split()[1:])
    assert hasattr(caught.value, "exit_code") or isinstance(caught.value, AssertionError)


@pytest.mark.parametrize(
    "page",
    ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", *PAGES],
)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    own = [target for target in targets if not re.match(r"[a-z]+:", target)]
    assert not [t for t in own if not ((ROOT / page).parent / t).exists()]


def test_the_evidence_of_fidelity_exists():
    """Files, tests and names of the code that docs/fidelity.md points at."""
    text = (ROOT / "docs" / "fidelity.md").read_text(encoding="utf-8")
    tests = re.findall(r"`(tests/[\w/]+\.py)((?:::\w+)?)`((?:, `::\w+`)*)", text)
    assert tests
    for path, first, more in tests:
        source = (ROOT / path).read_text(encoding="utf-8")
        for name in re.findall(r"::(\w+)", first + more):
            assert f"def {name}(" in source, f"{path} has no {name}"
    for path in re.findall(r"`((?:src/selfedit/|(?!tests/)[a-z]+/)[\w/]*(?:\.py)?)`", text):
        place = path if path.startswith("src/") else f"src/selfedit/{path}"
        assert (ROOT / place).exists(), path


def test_python_of_the_readme_runs(tmp_path, monkeypatch):
    """With the fake model, on an example."""
    from selfedit.model.fake import FakeModel

    (code,) = [block for language, block in blocks(README) if language == "python"]
    assert '"smollm2-135m"' in code
    for name, example in (("notes.md", ".md"), ("quiz.jsonl", ".quiz.jsonl")):
        text = (ROOT / "examples" / f"tidewell-observatory{example}").read_text(encoding="utf-8")
        (tmp_path / name).write_text(text, encoding="utf-8")
    tower = {"title": "T", "context": "The tower is made of tin.", "question": "Is the tower tin?"}
    (tmp_path / "train.json").write_text(json.dumps([{**tower, "answer": "made of tin"}]))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"MODEL": FakeModel()}
    exec(code.replace('"smollm2-135m"', "MODEL"), names)  # noqa: S102
    assert (tmp_path / "exported").is_dir()
    assert len(list((tmp_path / "my-library" / "policies").glob("*/round-2"))) == 1
    assert names["domain"].grader is GRADERS[names["settings"].grader], "as the settings say"


def test_python_of_the_algorithm_page_runs(tmp_path, monkeypatch):
    """A policy in each round, the first trained on both edits of each context; the report has them."""
    page = (ROOT / "docs" / "how-to" / "algorithm.md").read_text(encoding="utf-8")
    contexts = (ROOT / "examples" / "contexts.jsonl").read_text(encoding="utf-8")
    (tmp_path / "contexts.jsonl").write_text(contexts, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for language, code in blocks(page):
        if language == "python":
            exec(code, names)  # noqa: S102
    records = names["done"].rounds
    assert [record.number for record in records] == [1, 2]
    assert [len(record.selected) for record in records] == [4, 4]
    report = run_report(names["store"], names["store"].runs()[0])
    assert [own["losses"] for own in report.values["rounds"]] == [(1.0, 0.5)] * 2
    assert names["domain"].grader is GRADERS[names["settings"].grader], "as the settings say"
    assert Path(names["done"].policy).is_dir()
