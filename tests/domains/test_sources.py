"""What a user names: files, folders, globs, standard input, addresses."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from selfedit.domains.knowledge import left_out_note, read_sources
from selfedit.errors import InputError

LAMPS = "# Lamps\n\nThe lamps of Orro burn oil.\n\n![a lamp](l.png)\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {
        "lamps.md": LAMPS,
        "deep/boats.markdown": "# Boats\n\nThe boats of Orro are blue.\n",
        "deep/code.py": "def ring(bell):\n    return bell + 1  # rings the bell\n",
        "deep/empty.txt": "",
        "picture.png": "x",
        ".hidden/secret.md": "No one may read this.",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_folder_is_read_whole_and_what_is_skipped_is_said(folder: Path) -> None:
    sources = read_sources([folder, folder / "lamps.md"])
    assert [Path(d.source).name for d in sources.documents] == ["boats.markdown", "code.py", "lamps.md"]
    assert sources.documents[1].paragraphs[1] == "    return bell + 1  # rings the bell"
    assert sources.notes[0].endswith("were not read: 1 .png.")
    assert "empty.txt is empty" in sources.notes[1]
    assert left_out_note(sources.documents) == (
        "Left out of lamps.md, for only text is learned: 1 image."
    )


def test_what_is_left_out_of_several_files_of_one_name_is_said_of_each(folder: Path) -> None:
    (folder / "deep/lamps.md").write_text(f"{LAMPS}\n![another](m.png)\n")
    assert left_out_note(read_sources([folder]).documents) == (
        f"Left out, for only text is learned: 3 images ({folder}/deep/lamps.md: 2 images; "
        f"{folder}/lamps.md: 1 image)."
    )


def test_folders_that_are_not_read_are_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "linked").symlink_to(folder / "deep")
    (folder / "shut").mkdir()
    listed = Path.iterdir

    def refused(path: Path) -> Iterator[Path]:
        if path.name == "shut":  # whoever may do everything may open it
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", refused)
    sources = read_sources([folder])
    assert len(sources.documents) == 3
    assert sources.notes[1].endswith(f"were not read: {folder}/linked, {folder}/shut.")
    with pytest.raises(InputError, match=r"may not be opened, were not read: .*/shut\."):
        read_sources([folder / "shut"])


def test_names_without_a_suffix_are_read_only_where_they_are_named(folder: Path) -> None:
    for name in ("NOTES", "Report v1.2"):
        (folder / name).write_text("They burn thistle oil.")
        assert read_sources([folder / name]).documents
    assert read_sources([folder]).notes[0].endswith("were not read: 1 .png, 2 without a suffix.")


def test_globs_and_names_of_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert len(read_sources(["deep/*.m*"]).documents) == 1
    assert len(read_sources(["**/*.m*"]).documents) >= 2
    for name, said in {
        "*.png": "holds no file that can be read",
        "*.pdf": "none whose name matches",
        "deep/no.md": "no such file",
        "mill": "no such file",
        "deep/empty.txt": "is empty",
        "picture.png": "cannot read this kind of file",
    }.items():
        with pytest.raises(InputError, match=said):
            read_sources([name])


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(LAMPS.encode())))
    (document,) = read_sources(["-"]).documents
    assert (document.title, document.paragraphs) == ("Lamps", ("The lamps of Orro burn oil.",))
    assert document.source.startswith("text ")  # other text, piped in later, does not replace it


@pytest.fixture
def address() -> Iterator[str]:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path != "/gone" else 404)
            self.send_header("Content-Type", "text/markdown; charset=utf-8")
            self.end_headers()
            self.wfile.write(LAMPS.encode())

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_an_address_is_fetched_only_if_asked_for(address: str) -> None:
    with pytest.raises(InputError, match="--allow-urls"):
        read_sources([f"{address}/lamps"])
    (document,) = read_sources([f"{address}/lamps"], allow_urls=True).documents
    assert (document.title, document.source) == ("Lamps", f"{address}/lamps")
    with pytest.raises(InputError, match="cannot be fetched"):
        read_sources([f"{address}/gone"], allow_urls=True)
