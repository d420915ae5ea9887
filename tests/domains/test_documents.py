from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfedit.domains.knowledge import (
    Document,
    Section,
    read_document,
    split_passages,
    text_document,
)
from selfedit.errors import InputError

NOTES = """---
title: ignored, the heading is better
tags: [a]
---

# The [Kestrel](http://x.org) handbook

A *kestrel* hovers with `tail spread`; see [the film](http://y.org "t").
It eats<br>voles.

```python
secret = "code is left out"
```

    indented code is left out

<div>It weighs 200 g.</div>

## Nesting

- in **holes**
- [x] on cliffs
  - never on the ground
- in boxes!

| Month | Eggs |
|-------|------|
| April | 3    |
| May   |      |

### Predators

> Goshawks take kestrels.

![a picture](k.png)

## Sounds
"""


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_markdown(tmp_path: Path) -> None:
    document = read_document(write(tmp_path, "notes.md", NOTES))
    assert document.title == "The Kestrel handbook"
    assert document.sections == (
        Section(
            "", ("A kestrel hovers with tail spread; see the film. It eats voles.", "It weighs 200 g.")
        ),
        Section(
            "Nesting",
            (
                "in holes.",
                "on cliffs.",
                "never on the ground.",
                "in boxes!",
                "Month: April; Eggs: 3.",
                "Month: May.",
            ),
        ),
        Section("Nesting: Predators", ("Goshawks take kestrels.",)),
        Section("", ("Sounds",)),  # a heading over nothing is text itself
    )


def test_what_markdown_leaves_out_is_counted(tmp_path: Path) -> None:
    document = read_document(write(tmp_path, "notes.md", NOTES))
    assert dict(document.left_out) == {"code block": 2, "image": 1}


def test_windows_line_ends_and_byte_order_mark_change_nothing(tmp_path: Path) -> None:
    plain = read_document(write(tmp_path, "notes.md", NOTES))
    content = b"\xef\xbb\xbf" + NOTES.replace("\n", "\r\n").encode()
    windows = read_document(write(tmp_path, "notes.md", content))
    assert (windows.title, windows.sections) == (plain.title, plain.sections)
    assert windows.digest != plain.digest


def test_markdown_title_without_top_heading(tmp_path: Path) -> None:
    front = "---\ntitle: 'From the front'\n---\n\n## Part\n\nSome words to learn.\n"
    document = read_document(write(tmp_path, "a.md", front))
    assert (document.title, document.sections[0].title) == ("From the front", "Part")
    document = read_document(write(tmp_path, "my_old-notes.md", "Some words to learn."))
    assert document.title == "My old notes"
    document = read_document(write(tmp_path, "b.md", "---\n\nA rule is no front matter.\n\n---\n"))
    assert document.paragraphs == ("A rule is no front matter.",)


def test_large_markdown_is_read_in_pieces_to_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "".join(
        f"## Part {i}\n\nText {i} with a [link][l].\n\n```\n# no heading {i}\n```\n\n"
        for i in range(60)
    )
    path = write(tmp_path, "big.md", f"# Big\n\n[l]: http://x.org\n\n{body}")
    whole = read_document(path)
    monkeypatch.setattr("selfedit.domains.knowledge.markdown._CHUNK_CHARACTERS", 200)
    assert read_document(path) == whole
    assert len(whole.sections) == 60
    assert whole.paragraphs[-1] == "Text 59 with a link."


@pytest.mark.parametrize(
    ("content", "title", "paragraphs"),
    [
        ("The Moon\n\nIt is far.\nVery far.", "The Moon", ["It is far. Very far."]),
        ("The Moon\n========\nIt is far.", "The Moon", ["It is far."]),
        ("The Moon\nIt is far, and it shines at night.", "The Moon", None),
        ("It is far.\n\nIt is big.", "Some file", ["It is far.", "It is big."]),
        ("the moon is a very large stone that\nshines at night", "Some file", None),
        ("The moon shines\nupon all of the earth while it sleeps", "Some file", None),
        ("only three words", "Some file", ["only three words"]),
        ("- one thing\n- two\n  things\n", "Some file", ["one thing", "two things"]),
        ("List\n\n* one {x} \u2028two", "List", ["one {x} two"]),
    ],
)
def test_plain_text(tmp_path: Path, content: str, title: str, paragraphs: list[str] | None) -> None:
    document = read_document(write(tmp_path, "some_file.txt", content))
    assert document.title == title
    if paragraphs is not None:
        assert list(document.paragraphs) == paragraphs


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.png", b"PNG", "supported are .txt, .md, .html, .pdf"),
        ("a.txt", b"", "is empty"),
        ("a.md", b" \r\n\t\n", "is empty"),
        ("a.txt", b"\xef\xbb\xbf", "is empty"),
        ("a.txt", b"Hello", "only 1 word of text"),
        ("a.md", b"# A title and nothing else at all", "only 0 words of text"),
        ("a.md", b"```\nonly code is in here\n```", "only 0 words of text"),
        ("a.txt", b"... !!! ??? ---", "only 0 words"),
        ("a.txt", b"text and \x00 more", "is not text: it has a NUL byte at offset 9"),
        ("a.txt", "caf\u00e9 au lait".encode("latin-1"), "offset 3"),
        ("a.txt", b"\xef\xbb\xbf" + "caf\u00e9".encode("latin-1"), "offset 6"),
        ("a.md", "caf\u00e9".encode("latin-1"), "iconv -f CP1252 -t utf8"),
        ("a.txt", "hello there you".encode("utf-16-le"), "iconv -f UTF-16LE -t utf8"),
        (
            "a.txt",
            "Er mißt drei Fuß.\n".encode() + b"Sie mi\xdft vier.",
            "in line 2, which looks like CP1252",
        ),
        ("a.txt", "水車は三つある。".encode("iso2022_jp"), "iconv -f ISO-2022-JP -t utf8"),
    ],
)
def test_refuses(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(InputError) as error:
        read_document(path)
    assert said in str(error.value)
    assert str(path) in str(error.value)


def test_a_byte_order_mark_says_the_encoding(tmp_path: Path) -> None:
    for encoding in ("utf-16", "utf-32", "utf-8-sig"):
        document = read_document(write(tmp_path, "a.txt", "Die Mühle hört auf.".encode(encoding)))
        assert document.paragraphs == ("Die Mühle hört auf.",)


def test_refuses_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_document(tmp_path / "missing.txt")
    (tmp_path / "folder.md").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        read_document(tmp_path / "folder.md")


def test_text_without_spaces_is_text(tmp_path: Path) -> None:
    document = read_document(
        write(tmp_path, "a.txt", "".join(f"\u732b\u304c{i}\u3002" for i in range(200)))
    )
    passages = split_passages(document, 20)
    assert len(passages) > 5
    assert "".join(task.context for task in passages).replace(" ", "") == document.paragraphs[0]


words = st.text(alphabet="abcX.!?\u00e9", min_size=1, max_size=12)
paragraph = st.lists(words, min_size=1, max_size=60).map(" ".join)
sections = st.lists(
    st.tuples(st.sampled_from(["", "One", "Two"]), st.lists(paragraph, min_size=1, max_size=6)),
    min_size=1,
    max_size=4,
)


def _numbered(text: str, number: Iterator[int]) -> str:
    return " ".join(f"{next(number)}{word}" for word in text.split())


@settings(max_examples=150, deadline=None)
@given(sections, st.integers(20, 60))
def test_no_word_is_lost_and_no_passage_too_long(
    drawn: list[tuple[str, list[str]]], max_words: int
) -> None:
    # Words are numbered, so that no two passages are alike: those are taken once.
    number = count()
    parts = [Section(title, tuple(_numbered(text, number) for text in texts)) for title, texts in drawn]
    document = Document("T", tuple(parts), "t.txt", "")
    tasks = split_passages(document, max_words)
    assert [word for task in tasks for word in task.context.split()] == [
        word for text in document.paragraphs for word in text.split()
    ]
    assert all(len(task.context.split()) <= 1.25 * max_words for task in tasks)
    assert len({task.id for task in tasks}) == len(tasks)
    assert split_passages(document, max_words) == tasks


def test_passages_follow_borders() -> None:
    sentence = "These are exactly six words here."
    document = Document(
        "Title",
        (
            Section("", ("Short one.", "Short two.")),
            Section("Long", (" ".join([*[sentence] * 7, "A last one."]), "Next paragraph.")),
            Section("Endless", ("word " * 69 + "end",)),
        ),
        "t.txt",
        "",
    )
    tasks = split_passages(document, 20)
    assert [task.title for task in tasks][:2] == ["Title", "Title: Long"]
    assert tasks[0].context == "Short one.\nShort two."
    # 18 words each; the last one takes what is left of the paragraph and the one after it.
    assert tasks[1].context == " ".join([sentence] * 3)
    assert tasks[2].context == f"{sentence} A last one.\nNext paragraph."
    assert tasks[3].context == " ".join(["word"] * 20)
    # The same passage three times: once. Ten words left over are no passage of a quarter or less.
    assert tasks[4].context == " ".join(["word"] * 9 + ["end"])
    assert len(tasks) == 5


def test_a_short_rest_joins_the_passage_before_it() -> None:
    texts = [" ".join(f"{name}{i}" for i in range(20)) for name in "ab"]
    document = Document("T", (Section("", (*texts, "c0 c1 c2 c3 c4")),), "t.txt", "")
    tasks = split_passages(document, 20)
    assert [task.context for task in tasks] == [texts[0], f"{texts[1]}\nc0 c1 c2 c3 c4"]


def test_long_addresses_count_as_several_words() -> None:
    addresses = " ".join(f"http://example.org/{i:040}" for i in range(10))  # 14 words each
    tasks = split_passages(Document("T", (Section("", (addresses,)),), "t.txt", ""), 30)
    assert [len(task.context.split()) for task in tasks] == [2] * 5
    assert " ".join(task.context for task in tasks) == addresses


def test_ids_depend_on_title_and_context_alone() -> None:
    first = Document("T", (Section("", ("Some words here.",)),), "a.txt", "1")
    moved = Document("T", (Section("", ("Some words here.",)),), "b.txt", "2")
    other = Document("U", (Section("", ("Some words here.",)),), "a.txt", "1")
    assert split_passages(first) == split_passages(moved)
    assert split_passages(first)[0].id != split_passages(other)[0].id


@pytest.mark.parametrize("separator", [" ", "\n\n"])
def test_time_is_linear(tmp_path: Path, separator: str) -> None:
    """Four times the text in about four times the time: 2 MB here; 50 MB take seconds."""
    took = []
    for number in (10_000, 40_000):
        text = separator.join(f"Sentence number {i} has a few words." for i in range(number))
        path = write(tmp_path, "big.txt", text)
        started = time.process_time()
        assert len(split_passages(read_document(path))) > number // 40
        took.append(time.process_time() - started)
    assert took[1] < 12 * took[0] + 1


@pytest.mark.parametrize(
    ("content", "title", "paragraphs"),
    [
        ("---\nOwner: Ida Voss.\n\nThe mill is old.\n\n---\n\n# Mill\n\nIt turns.", "Mill", 3),
        ("---\n\nDepth: nine metres\n\n---\n\n# Well\n\nIt is deep.", "Well", 2),
        ("---\nNote: it is deep.\n---\n\n# Well\n\nIt is old.", "Well", 2),
        (
            "---\ntitle: |\n  Two\n  lines\ntags: [a, b]\n\ndate: 2001-02-03\n---\n\nIt is old.",
            "Two lines",
            1,
        ),
        ("---\ntitle: Owls: a book\n---\n\nIt is an old book.", "Owls: a book", 1),
        ("---\ntitle: 1984 # working\n---\n\nIt is an old book.", "1984", 1),
        ('+++\ntitle = "Toml"\n+++\n\nIt is an old book.', "Toml", 1),
        ("---\nTitle: Two\nDate: 1999\n---\n\nIt is an old book.", "Two", 1),
    ],
)
def test_front_matter_is_told_from_facts(
    tmp_path: Path, content: str, title: str, paragraphs: int
) -> None:
    document = read_document(write(tmp_path, "a.md", content))
    assert (document.title, len(document.paragraphs)) == (title, paragraphs)


HTML_PARTS = """# Ferry

<table>
<thead><tr><th>Boat</th><th>Captain</th></tr></thead>

<tr><td>Heron</td>
<td>Ida <b>Voss</b></td></tr>

</table>

<details>
<summary>When</summary>

It sails at *nine*.

</details>

<ul><li>one bell<li>two oars</ul>
<p>A<br>bell &amp; a <img src="b.png"> rope <!-- no text --></p><script>var x = "no text";</script>

<table><tr><th>Only a header</th><th>here</th></tr></table>
"""


def test_html_in_markdown_keeps_its_text(tmp_path: Path) -> None:
    document = read_document(write(tmp_path, "a.md", HTML_PARTS))
    assert document.paragraphs == (
        "Boat: Heron; Captain: Ida Voss.",
        "When",
        "It sails at nine.",
        "one bell.",
        "two oars.",
        "A bell & a rope",
        "Only a header: here.",
    )
    assert document.left_out == (("image", 1),)
    assert text_document("The owl eats moths.").left_out == ()  # nothing: not a count of 0
