"""JSON values out of a file of any kind, told apart by what is in it, never by its name.

JSON, JSON lines, rows of text (`text_rows.py`), parquet, Arrow, any of them compressed with gzip; a
Hugging Face data set in a folder, or by its name. The last ones need the extra `data`.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
import os
import re
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

from selfedit.data.encodings import decoded
from selfedit.data.golds import FORM
from selfedit.data.text_rows import rows_of_text
from selfedit.errors import InputError
from selfedit.home import MOST_BYTES, check_size, regular_file

_HEAD = 1 << 16
_MOST_BYTES = MOST_BYTES  # of a file that is read at once, and of any line
_MOST_VALUES = 50_000_000  # of one JSON value, at most: some 60 bytes each
_KINDS = (
    (b"PAR1", "parquet"),
    (b"ARROW1", "arrow"),
    (b"\x1f\x8b", "gzip"),
    (b"PK\x03\x04", "a ZIP file or a spreadsheet: unpack it, or save it as CSV"),
    (b"SQLite format 3", "a database: write the table as CSV"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd: unpack it with `unzstd`"),
    (b"BZh", "compressed with bzip2: unpack it with `bunzip2`"),
    (b"\xfd7zXZ", "compressed with xz: unpack it with `unxz`"),
    (b"%PDF", "a PDF: questions are read from JSON lines, JSON or CSV"),
)


class Value(NamedTuple):
    """A JSON value. where: its place, for messages. is_row: of a data set, whose titles have
    underscores for spaces, as those of SQuAD."""

    where: str
    value: Any
    is_row: bool = False


def values(path: Path) -> Iterator[Value]:
    """The JSON values of a file with their places. Raises InputError with the file and the place."""
    try:
        with regular_file(path).open("rb") as file:
            yield from _values(path, file)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path} cannot be unpacked: {error}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None


def _values(path: Path, file: IO[bytes]) -> Iterator[Value]:
    head = file.read(_HEAD)
    file.seek(0)
    kind = next((kind for start, kind in _KINDS if head.startswith(start)), "text")
    if kind == "gzip" and isinstance(file, gzip.GzipFile):  # there are files that unpack to themselves
        raise InputError(f"{path} is packed twice: unpack it once")
    if kind == "gzip":
        with gzip.open(file) as unpacked:
            yield from _values(path, unpacked)  # type: ignore[arg-type]
    elif kind in ("parquet", "arrow"):
        yield from _tables(path, file, kind)
    elif kind != "text":
        raise InputError(f"{path} is {kind}")
    else:
        yield from _texts(path, file, head)


def _texts(path: Path, file: IO[bytes], head: bytes) -> Iterator[Value]:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # Excel's "Unicode text"
        data = decoded(_whole(path, file), str(path)).encode("utf-8", "surrogatepass")
        file, head = io.BytesIO(data), data[:_HEAD]
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if start[:1] == b"{" and _is_value(start.split(b"\n", 1)[0]):
        yield from _json_lines(path, file)
    elif start[:1] in (b"{", b"["):
        yield from _json(path, decoded(_whole(path, file), str(path)))
    elif start:
        for place, row in rows_of_text(str(path), decoded(_whole(path, file), str(path))):
            yield Value(place, row)


def _whole(path: Path, file: IO[bytes]) -> bytes:
    """All that is left. Raises InputError for a file that would fill the memory."""
    if not isinstance(file, gzip.GzipFile):
        if not isinstance(file, io.BytesIO):
            check_size(path, os.fstat(file.fileno()).st_size, _MOST_BYTES)
        return file.read()
    data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise InputError(
            f"{path} unpacks to more than {_MOST_BYTES // 1_000_000} MB: split it, or write JSON lines"
        )
    return data


def _is_value(line: bytes) -> bool:
    """Whether a line is a whole JSON value, so that the next line is another."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


# -- JSON --------------------------------------------------------------------------------------------


def _json_lines(path: Path, file: IO[bytes]) -> Iterator[Value]:
    """One line in memory at a time."""
    # Bytes are split at \n alone: JSON text may hold U+2028 and the like.
    for number, data in enumerate(iter(partial(file.readline, _MOST_BYTES), b""), start=1):
        where = f"{path}, line {number}"
        if len(data) == _MOST_BYTES:
            raise InputError(f"{where}: more than {_MOST_BYTES // 1_000_000} MB; a line is one object")
        line = decoded(data, where)
        if line.strip():
            try:
                yield Value(where, json.loads(line))
            except (ValueError, RecursionError) as error:
                why = _why(error)
                raise InputError(
                    f"{where}: invalid JSON ({why}); each line is one object, such as {FORM}"
                ) from None


def _json(path: Path, text: str) -> Iterator[Value]:
    """A file that is one JSON value, or several, one behind the other."""
    check_values(str(path), text)
    try:
        yield Value(str(path), json.loads(text))
        return
    except json.JSONDecodeError as error:
        first = error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: invalid JSON ({_why(error)})") from None
    if text.lstrip()[:1] == "{" and _line_by_line(text):
        yield from _json_lines(path, io.BytesIO(text.encode("utf-8", "surrogatepass")))
        return
    decoder, place, found = json.JSONDecoder(), 0, 0
    while rest := re.compile(r"\S").search(text, place):
        try:
            value, place = decoder.raw_decode(text, rest.start())
        except (ValueError, RecursionError) as error:
            shown = first if not found or not isinstance(error, json.JSONDecodeError) else error
            raise InputError(f"{path}, line {shown.lineno}: invalid JSON ({_why(shown)})") from None
        found += 1
        yield Value(f"{path}, line {text.count(chr(10), 0, rest.start()) + 1}", value)


def check_values(where: str, text: str) -> None:
    """Raises InputError for JSON whose values would take gigabytes: 200 MB of [] are four."""
    lists = text.count("[") + text.count("{")  # each takes as much as five numbers
    if 5 * lists + text.count(",") > _MOST_VALUES:
        raise InputError(f"{where} holds too many values to be read at once: split it")


def _line_by_line(text: str) -> bool:
    """Whether each line is meant to be an object, though the first is broken."""
    lines = [line for line in text.split("\n") if line.strip()]
    return len(lines) > 1 and all(line.lstrip()[:1] == "{" for line in lines)


def _why(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, column {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


# -- tables and data sets ----------------------------------------------------------------------------


def _tables(path: Path, file: IO[bytes], kind: str) -> Iterator[Value]:
    try:
        import pyarrow
        from pyarrow import ipc, parquet
    except ImportError:
        raise InputError(
            f'{path} is a {kind} file; to read it, install its library: pip install "selfedit[data]"'
        ) from None
    number = 0
    try:
        batches = (
            parquet.ParquetFile(file).iter_batches(batch_size=1024)
            if kind == "parquet"
            else _batches(ipc.open_file(file))
        )
        for batch in batches:
            for row in batch.to_pylist():
                number += 1
                yield Value(f"{path}, row {number}", row, is_row=True)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:  # the last: names of columns
        raise InputError(f"{path} cannot be read after row {number}: {_first_line(error)}") from None


def _batches(reader: Any) -> Iterator[Any]:
    for place in range(reader.num_record_batches):
        yield reader.get_batch(place)


def dataset(name: str, split: str, without: str) -> Iterator[Value]:
    """The rows of a Hugging Face data set, streamed: of a folder (also one that `save_to_disk` wrote),
    or by its name. without: beginning of the message if its library is missing."""
    try:
        import datasets
    except ImportError:
        raise InputError(
            f'{name}: {without}, install its library: pip install "selfedit[data]"'
        ) from None
    number = 0
    try:
        # The library's own errors are of many kinds: unknown id or split, no network, damaged files.
        if _was_saved(Path(name)):
            rows = _of_split(datasets.load_from_disk(name), split)
        else:
            rows = datasets.load_dataset(name, split=split, streaming=True)
        for number, row in enumerate(rows, start=1):
            yield Value(f"{name} ({split}), row {number}", row, is_row=True)
    except InputError:
        raise
    except Exception as error:
        after = f" after row {number}" if number else ""
        raise InputError(
            f"the dataset {name} ({split}) cannot be read{after}: {_first_line(error)}"
        ) from error


def _was_saved(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))


def _of_split(found: Any, split: str) -> Any:
    """The split of what was saved; a data set without splits is taken whole."""
    if not isinstance(found, dict):
        return found
    if split not in found and len(found) != 1:
        raise ValueError(f"it has no split {split}, but: {', '.join(found)}")
    return found[split] if split in found else next(iter(found.values()))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
