"""Domains by name, and those in a file of the user's."""

from __future__ import annotations

import pytest

from selfedit.domains import BUILT_IN, load_domain
from selfedit.domains.arc.domain import Arc
from selfedit.domains.base import BaseDomain
from selfedit.domains.knowledge import Knowledge
from selfedit.errors import InputError

OWN = """
from dataclasses import dataclass
from selfedit.domains.base import BaseDomain

@dataclass
class Note:
    text: str

class Own(BaseDomain):
    name = "own"
"""


def test_built_in_domains():
    assert [load_domain(name) for name in BUILT_IN] == [Knowledge, Arc]
    assert [load_domain(name).name for name in BUILT_IN] == list(BUILT_IN)
    for name in BUILT_IN:
        for preset in load_domain(name).presets.values():
            assert load_domain(name).of(preset().inner).name == name


def test_a_file_of_ones_own_is_run_once_and_its_text_is_its_identity(tmp_path):
    file, copy, other = (tmp_path / f"{name}.py" for name in ("own", "copy", "other"))
    file.write_text(OWN)
    copy.write_text(OWN)
    other.write_text(OWN + "# changed\n")
    own = load_domain(f"{file}:Own")
    assert load_domain(f"{file}:Own") is own
    assert issubclass(own, BaseDomain)
    digests = [load_domain(f"{path}:Own")().digest() for path in (file, copy, other)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("poetry", "use knowledge, arc, or your own as file.py:Name"),
        ("{}/none.py:Own", "there is no file"),
        ("{}/own.py", "file.py:Name"),
        ("{}/own.py:Other", "there is no Other"),
        ("{}/own.py:Note", "derive the class from"),
        ("{}/wrong.py:Own", "NameError: name 'undefined' is not defined"),
        ("{}/unfinished.py:Own", "SyntaxError"),
    ],
)
def test_what_cannot_be_loaded_is_said(tmp_path, name, message):
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "wrong.py").write_text("undefined\n")
    (tmp_path / "unfinished.py").write_text("class Own(\n")
    with pytest.raises(InputError, match=message):
        load_domain(name.format(tmp_path))


def test_a_class_without_a_file_must_say_what_it_depends_on():
    own = type("Own", (BaseDomain,), {"__module__": "__main__ of a notebook"})
    with pytest.raises(InputError, match=r"give it a method digest\(\)"):
        own().digest()
