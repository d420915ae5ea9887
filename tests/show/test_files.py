"""Files that the user names: whole or not at all, and never in the place of what is no file."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from selfedit.errors import InputError, StoreError
from selfedit.show.files import check_figure, check_writable, write_whole


def test_a_pipe_is_written_into_and_stays_one(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    check_writable(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text(encoding="utf-8")))
    reader.start()
    write_whole(pipe, "a page\n")
    reader.join(60)
    assert read == ["a page\n"]
    assert pipe.is_fifo()


def test_a_device_stays_one(tmp_path):
    link = tmp_path / "nothing.html"
    link.symlink_to("/dev/null")
    for path in (Path("/dev/null"), link):
        check_writable(path)
        write_whole(path, "text")
    assert Path("/dev/null").is_char_device()
    assert link.is_symlink()


def test_a_file_in_the_users_folder(tmp_path, monkeypatch):
    """bash leaves ~ as it is in --html=~/page.html."""
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.chdir(tmp_path)
    check_writable(Path("~/pages/a.html"))
    assert write_whole(Path("~/pages/a.html"), "a page") == tmp_path / "me" / "pages" / "a.html"
    assert (tmp_path / "me" / "pages" / "a.html").read_text(encoding="utf-8") == "a page"
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("there", [True, False])
def test_a_link_keeps_pointing_at_its_target(tmp_path, there):
    link, target = tmp_path / "link.md", tmp_path / "else" / "page.md"
    target.parent.mkdir()
    if there:
        target.write_text("old", encoding="utf-8")
    link.symlink_to(target)
    write_whole(link, "new")
    assert link.is_symlink()
    assert target.read_text(encoding="utf-8") == "new"
    assert list(target.parent.iterdir()) == [target]


def test_what_cannot_be_written_is_known_before(tmp_path):
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    for path in (Path("/dev/null/page.html"), Path("/proc/page.html"), tmp_path, circle):
        for refused in (check_writable, lambda path: write_whole(path, "x")):
            with pytest.raises(StoreError, match="cannot be written"):
                refused(path)
    with pytest.raises(InputError, match=r"\.svg, \.png, \.pdf"):
        check_figure(tmp_path / "figure.xyz")


def test_checking_leaves_nothing_behind(tmp_path):
    check_writable(tmp_path / "new" / "folder" / "page.html")
    assert not list(tmp_path.iterdir())
    write_whole(tmp_path / "new" / "page.html", "\ud800")
    assert (tmp_path / "new" / "page.html").read_text(encoding="utf-8") == "\\ud800"
