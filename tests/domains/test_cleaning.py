"""Text as PDFs and word processors give it, and the encodings of old files."""

# ruff: noqa: RUF001
from __future__ import annotations

import time
from pathlib import Path

import pytest

from selfedit.data.encodings import guessed_encoding
from selfedit.domains.knowledge import read_document
from selfedit.domains.knowledge.cleaning import clean_text


@pytest.mark.parametrize(
    ("given", "clean"),
    [
        ("a \ufb01ne o\ufb03cer", "a fine officer"),
        ("Zu\u0308rich, cafe\u0301", "Zürich, café"),
        ("light\u00adhouse and light\u00ad\nhouse", "lighthouse and lighthouse"),
        ("\ufeffone\u200b \u202btwo\u202c\ufeff three\u2060", "one two three"),
        ("the obser-\nvatory on Gull Hill", "the observatory on Gull Hill"),
        ("a well-\nknown mill", "a well-known mill"),
        ("a north-east wind, a north-\neast wind", "a north-east wind, a north-east wind"),
        ("Jean-\nPierre, from 1912-\n1915", "Jean-Pierre, from 1912-1915"),
        ("Vor-\nund Nachteile", "Vor- und Nachteile"),
        ("a list\n- of\n- things", "a list\n- of\n- things"),
        ("Title\n-----\n\ntext", "Title\n-----\n\ntext"),
        ("می\u200cخواهم क्\u200dष 👩\u200d🚀 co\u200dop", "می\u200cخواهم क्\u200dष 👩\u200d🚀 coop"),
        ("\ufee3\ufeae\ufea3\ufe92\ufe8e", "مرحبا"),
        ("\u2f08\u3068\uff76\uff9e", "人とガ"),
        ("50 °C, x², ½, ﷺ™", "50 °C, x², ½, ﷺ™".replace("ﷺ", "صلى الله عليه وسلم")),
        ("dos\r\nmac\rend", "dos\nmac\nend"),
    ],
)
def test_what_is_not_seen_goes_and_what_is_read_stays(given: str, clean: str) -> None:
    assert clean_text(given) == clean
    assert clean_text(clean) == clean


def test_cleaning_takes_linear_time() -> None:
    start = time.process_time()
    for unit in ("a-\n", "a\u0301", "\u00ad\n", "a" * 50, "-", "\u200d", "a-b"):
        clean_text(unit * (1_000_000 // len(unit)))
    assert time.process_time() - start < 60


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("cp1252", "Der Müller von Köln zahlt 5 €"),
        ("cp1250", "Wieża stoi przy ulicy Żółtej"),
        ("cp1250", "A főtér őre"),
        ("cp1251", "Маяк построен в 1912 году"),
        ("koi8-r", "Маяк построен в 1912 году"),
        ("cp1253", "Ο φάρος είναι ψηλός"),
        ("cp1254", "Işık şehrin güneyinde"),
        ("cp1255", "המגדלור עומד על החוף"),
        ("cp1256", "المنارة على الشاطئ"),
        ("shift_jis", "灯台は海のそばにある。"),
        ("gb18030", "灯塔在海边，是陈海的。"),
        ("big5", "燈塔在海邊，是陳海的。"),
        ("euc-kr", "등대는 바닷가에 있다."),
    ],
)
def test_the_error_names_the_code_page(tmp_path: Path, page: str, text: str) -> None:
    data = f"Plain words first\n\n{text}\n".encode(page)
    assert guessed_encoding(data).lower() == page
    (tmp_path / "old.txt").write_bytes(data)
    with pytest.raises(Exception, match=rf"iconv -f {page.upper()} -t utf8"):
        read_document(tmp_path / "old.txt")


def test_wide_characters_without_a_mark_are_named(tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_bytes("Plain words first".encode("utf-16-be"))
    with pytest.raises(Exception, match="iconv -f UTF-16BE -t utf8"):
        read_document(tmp_path / "old.txt")
