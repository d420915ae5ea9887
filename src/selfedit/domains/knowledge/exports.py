"""Files that other programs write and the standard library reads: tables, e-mails, subtitles."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage, MIMEPart

from selfedit.domains.knowledge.lines import row_text, table_text

_DELIMITERS = ",\t;|"
_TIMING = re.compile(r"(?:\d+:)?\d\d:\d\d[.,]\d{1,3}\s*-->\s*(?:\d+:)?\d\d:\d\d[.,]\d{1,3}.*")
_SPEAKER = re.compile(r"<v(?:\.\S+)?\s+([^>]+)>")
_TAG = re.compile(r"</?[a-zA-Z][^>]*>|<\d[\d:.]*>|\{\\an?\d\}")
_SILENT_CUES = ("WEBVTT", "NOTE", "STYLE", "REGION")
_WROTE = re.compile(
    r".{0,80}\b(?:wrote|schrieb|a écrit|escribió|ha scritto|escreveu|schreef|skrev)\s*:"
)


@dataclass(frozen=True, slots=True)
class Converted:
    """text: Markdown or plain text. left_out: what the text does not hold, besides what its Markdown
    still shows (images)."""

    text: str
    title: str = ""
    markdown: bool = True
    left_out: Counter[str] = field(default_factory=Counter)


def table(text: str) -> Converted:
    """The rows of CSV or TSV, a sentence each. Raises csv.Error."""
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = [[" ".join(cell.split()) for cell in row] for row in reader if any(map(str.strip, row))]
    widest = max(map(len, rows), default=0)
    padded = [[*row, *[""] * (widest - len(row))] for row in rows]
    return Converted("\n\n".join(table_text(padded)), markdown=False)


def subtitles(text: str) -> Converted:
    """What is said in SubRip or WebVTT: no times, a line that is shown again once."""
    said: list[str] = []
    for block in re.split(r"\n[ \t]*\n", text):
        lines = block.strip().splitlines()
        at = next((i for i, line in enumerate(lines) if _TIMING.fullmatch(line.strip())), None)
        if at is None and (not lines or lines[0].startswith(_SILENT_CUES) or lines[0].isdecimal()):
            continue
        for line in lines if at is None else lines[at + 1 :]:
            plain = " ".join(_TAG.sub("", _SPEAKER.sub(r"\1: ", line)).split())
            if plain and plain not in said[-2:]:
                said.append(plain)
    return Converted(" ".join(said), markdown=False)


def email(data: bytes) -> Converted:
    """One message: who wrote it to whom and when, and its text. What is attached or quoted is
    counted."""
    message = message_from_bytes(data, policy=policy.default)
    left_out: Counter[str] = Counter()
    body = message.get_body(("plain", "html")) if isinstance(message, EmailMessage) else None
    left_out["attachment"] = sum(1 for _ in message.iter_attachments())
    header = [name for name in ("From", "To", "Date") if message[name]]
    about = row_text(header, [" ".join(str(message[name]).split()) for name in header])
    text = _said(body)
    if body is not None and body.get_content_subtype() == "html":
        return Converted(text, str(message["Subject"] or ""), left_out=left_out)
    kept = list(_own_lines(text, left_out))
    return Converted("\n".join([about, "", *kept]), str(message["Subject"] or ""), False, left_out)


def _said(body: MIMEPart | None) -> str:
    return str(body.get_content()) if body is not None else ""


def _own_lines(text: str, left_out: Counter[str]) -> Iterator[str]:
    for line in text.splitlines():
        if line.rstrip() == "--":  # the signature below
            return
        if line.startswith(">") or _WROTE.fullmatch(line.strip()):
            left_out["quoted line"] += 1
        else:
            yield line
