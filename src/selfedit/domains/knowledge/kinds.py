"""Kinds of files by the ends of their names: which are read as what, and what helps with others."""

from __future__ import annotations

import re
from pathlib import Path

from selfedit.domains.knowledge.converters import CONVERTED

PLAIN = (".txt", ".text", ".log")
MARKDOWN = (".md", ".markdown", ".mdown", ".mkd", ".mdx")
CODE = tuple(
    ".py .pyi .js .mjs .ts .tsx .jsx .java .kt .scala .c .h .cc .cpp .hpp .cs .go .rs .rb .php .swift "
    ".m .r .jl .lua .pl .sh .bash .ps1 .sql .hs .ml .ex .exs .erl .clj .dart .zig .nim .f90 .vb "
    ".proto .css .scss .vue .svelte .toml .yaml .yml .ini .cfg .tf .gradle .groovy .cmake .bat "
    ".cmd .fs .scm .lisp .el .rkt .pas .asm .v .sv .vhd .sol .cu .cuh .mm .adb .cob".split()
)
CODE_NAMES = ("Makefile", "Dockerfile", "Jenkinsfile", "Rakefile", "Gemfile", "Justfile")
SUPPORTED = (*PLAIN, *MARKDOWN, *CONVERTED, *CODE)

# What pandoc makes Markdown of; and what helps with others.
_PANDOC = tuple(
    ".odt .rtf .tex .latex .org .adoc .asciidoc .fb2 .opml .typ .textile .muse .mediawiki .wiki "
    ".dokuwiki .docbook .dbk .jats .man .tei .creole .twiki .t2t".split()
)
_ADVICE = {
    ".doc": "save it as .docx", ".pages": "export it as .docx", ".ppt": "save it as PDF",
    ".pptx": "save it as PDF", ".key": "export it as PDF", ".odp": "export it as PDF",
    ".xls": "save it as CSV", ".xlsx": "save it as CSV", ".ods": "save it as CSV",
    ".numbers": "export it as CSV", ".zip": "unpack it, and name the folder",
    ".tar": "unpack it, and name the folder", ".7z": "unpack it, and name the folder",
    ".rar": "unpack it, and name the folder", ".mobi": "convert it to .epub (Calibre)",
    ".azw3": "convert it to .epub (Calibre)", ".djvu": "make a PDF of it (ddjvu -format=pdf)",
    ".ps": "make a PDF of it (ps2pdf)", ".msg": "save it as .eml", ".mhtml": "save it as .html",
    ".json": "questions are read by --quiz and --data; a document is text",
    ".jsonl": "questions are read by --quiz and --data; a document is text",
    ".bz2": "unpack it", ".xz": "unpack it", ".zst": "unpack it",
}  # fmt: skip


def unsupported(path: Path) -> str:
    """The message for a file of another kind, with what to do."""
    suffix = path.suffix.lower()
    if suffix in _PANDOC:
        advice = f"`pandoc {path.name} -o {path.stem}.md` converts it"
    else:
        advice = _ADVICE.get(suffix, "if it is text, rename it to .txt")
    return (
        f"{path}: cannot read this kind of file; supported are .txt, .md, .html, .pdf, .docx, .epub, "
        f".rst, .ipynb, .csv, .eml, .srt and source code; {advice}"
    )


def is_suffix(suffix: str) -> bool:
    """Whether the end of a name says what it is: "Report v1.2", "draft.v2" and "Mr. Pask" have none."""
    return bool(re.fullmatch(r"\.(?![vV]\d+$)(?=\S*[A-Za-z])[A-Za-z0-9_+-]{1,12}", suffix))
