"""Versions as files for other programs: a PEFT folder, a merged model, or a folder of PEFT folders with
a routing table."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from selfedit.errors import AdapterError, ModelError
from selfedit.learning.shelf import Shelf
from selfedit.learning.standing import Standing, adapter_names, has_none, kind_of, router_of
from selfedit.memory.routed import passage_text
from selfedit.seams import GgufFiles, Model, TrainsReaders
from selfedit.store import AdapterRecord

ROUTING = "routing.json"
_DRAFT = ".selfedit-export"  # no name that a folder of somebody else's has


def export(
    standing: Standing,
    record: AdapterRecord,
    target: Path,
    merged: bool,
    *,
    gguf: bool = False,
    llama_cpp: Path | None = None,
) -> Path:
    """Write a version into a new or empty folder, whole or not at all. Raises AdapterError,
    ModelError."""
    if target.exists() and not _is_free(target):
        raise AdapterError(f"{target} exists already and is not an empty folder.")
    try:
        with _drafted(target) as draft:
            made = _written(standing, record, draft, merged, gguf=gguf, llama_cpp=llama_cpp)
            place = target / made.relative_to(draft)
    except OSError as error:
        why = f"{error.filename or ''}: {error.strerror or error}".removeprefix(": ")
        raise AdapterError(f"version {record.version} cannot be exported: {why}") from error
    return place


def _is_free(target: Path) -> bool:
    """Whether there is nothing, or what an export left that was killed."""
    return target.is_dir() and ((target / _DRAFT).is_dir() or not any(target.iterdir()))


@contextmanager
def _drafted(target: Path) -> Iterator[Path]:
    """A folder inside the target to write into. What it holds is moved up at the end; after an error,
    nothing is left."""
    is_new = not target.exists()
    draft = target / _DRAFT
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        for path in draft.iterdir():
            if (place := target / path.name).is_dir():  # of one that was killed in the middle of this
                shutil.rmtree(place)
            path.replace(place)
        draft.rmdir()
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        if is_new:
            with suppress(OSError):
                target.rmdir()
        raise


def _written(
    standing: Standing,
    record: AdapterRecord,
    target: Path,
    merged: bool,
    *,
    gguf: bool,
    llama_cpp: Path | None,
) -> Path:
    kind = kind_of(record)
    names = sorted(adapter_names(record))
    if kind == "routed" and len(names) > 1:
        if merged or gguf:
            raise AdapterError(
                f"version {record.version} has {len(names)} adapters, which cannot be merged into "
                "one file or model: `selfedit adapters consolidate` trains one from everything."
            )
        return _folders(standing, record, names, target)
    return _one(standing, record, names, target, merged, gguf=gguf, llama_cpp=llama_cpp)


def _one(
    standing: Standing,
    record: AdapterRecord,
    names: list[str],
    target: Path,
    merged: bool,
    *,
    gguf: bool,
    llama_cpp: Path | None,
) -> Path:
    """The same of a version that is one adapter."""
    stacks = kind_of(record).startswith("stack")
    below = _below(standing, record) if stacks else None
    if below is not None and not merged:
        raise AdapterError(
            f"version {record.version} stands on others, and its adapter alone says little: export "
            "it with --merged."
        )
    base = standing.stacked(below)
    adapter = _only(standing.shelf, record, names)
    # What is merged into weights, as a stack is, answers without a reader.
    with nullcontext(adapter) if stacks else _as_read(base, adapter, target) as folder:
        if gguf:
            return _gguf(base, target, folder, merged, llama_cpp)
        if merged:
            base.save_merged(target, folder)
        else:
            _copy(folder, target, is_sum=folder != adapter)
        return target


@contextmanager
def _as_read(model: Model, adapter: Path, work: Path) -> Iterator[Path]:
    """The adapter as it answers: its folder, or one of its sum with the model's reader, while it is
    used. work: a folder that may be written to."""
    if not isinstance(model, TrainsReaders) or not model.has_reader:
        yield adapter
        return
    with TemporaryDirectory(dir=work, prefix=".reading-") as name:
        summed = Path(name) / adapter.name
        model.save_adapter(model.reading(model.load_adapter(adapter)), 0, summed)
        yield summed


def _copy(adapter: Path, target: Path, *, is_sum: bool) -> None:
    """Its files, without their modes: those of a library that is read-only could not be moved.

    is_sum: whether a reader is in it. The note says so, and a model that has the reader refuses it."""
    target.mkdir(exist_ok=True)
    for file in adapter.iterdir():
        shutil.copyfile(file, target / file.name)
    if is_sum:
        from selfedit.lora.files import NOTE

        note = json.loads((target / NOTE).read_text(encoding="utf-8"))
        note["base_revision"] += ", without its reader"
        (target / NOTE).write_text(json.dumps(note, indent=1), encoding="utf-8")


def _gguf(model: Model, target: Path, adapter: Path, merged: bool, llama_cpp: Path | None) -> Path:
    if not isinstance(model, GgufFiles):
        raise ModelError(f"{model.name} has no weights that llama.cpp could read.")
    return model.save_gguf(target, adapter, merged=merged, llama_cpp=llama_cpp)


def _only(shelf: Shelf, record: AdapterRecord, names: list[str]) -> Path:
    """The one adapter of a version. Raises AdapterError if it has none."""
    if not names:
        raise has_none(record)
    name = names[0] if kind_of(record) == "routed" else Shelf.own(record.version)
    folder = shelf.adapter(name)
    return shelf.find(record.version) if name == Shelf.own(record.version) else folder


def _below(standing: Standing, record: AdapterRecord) -> AdapterRecord | None:
    return None if record.parent is None else standing.store.adapter(record.parent)


def _folders(standing: Standing, record: AdapterRecord, names: list[str], target: Path) -> Path:
    """Each adapter in a folder of its name, and the table that says which passages each one holds."""
    for name in names:
        adapter = standing.shelf.adapter(name)
        with _as_read(standing.model, adapter, target) as folder:
            _copy(folder, target / name, is_sum=folder != adapter)
    own = Shelf.own(record.version)
    passages = [
        {
            "adapter": passage.adapter or own,
            "document": document.title,
            "source": document.source,
            "title": passage.title,
            "text": passage_text(passage),
        }
        for document in record.documents
        for passage in document.passages
        if passage.sequences
    ]
    table = {
        "format": 1,
        "model": record.model,
        "model_revision": record.model_revision,
        **_router(record),
        "passages": passages,
    }
    text = json.dumps(table, indent=1, ensure_ascii=False)
    (target / ROUTING).write_text(text, encoding="utf-8", errors="surrogatepass")
    return target


def _router(record: AdapterRecord) -> dict[str, object]:
    """What whoever routes needs to know beside the texts."""
    from selfedit.memory import blended, router

    if router_of(record) == "bm25":
        return {"router": "bm25", "threshold": {"start": router.START, "growth": router.GROWTH}}
    from selfedit.model.text_embedding import REVISION

    return {
        "router": "blended",
        "embedder": REVISION,
        "words": blended.WORDS,
        "threshold": {"start": blended.START, "growth": blended.GROWTH},
    }
