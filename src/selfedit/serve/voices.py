"""The names under which a server answers: the bare model, versions, documents, loaded adapters."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from selfedit.errors import AdapterError, InputError
from selfedit.forward.threads import in_passing_thread
from selfedit.home import expanded, shortened
from selfedit.learning.library import Library
from selfedit.learning.shelf import Shelf
from selfedit.learning.standing import named
from selfedit.lora.files import NOTE
from selfedit.memory.answering import Adapted
from selfedit.memory.loaded import Mix
from selfedit.memory.routed import Routed
from selfedit.seams import Adapters, Model
from selfedit.store import AdapterRecord
from selfedit.types import Prompt

BASE, CURRENT = "base", "current"
_VERSION = re.compile(r"v(\d{1,9})")
_NAME = re.compile(r"[\w.:/-]{1,200}")


class UnknownVoice(InputError):
    """No model of that name answers here."""


@dataclass(frozen=True, slots=True)
class Voice:
    """A name with what it stands for.

    root: the model below all; parent: the name of what this one was trained on top of, or is a part
    of; None: the bare model itself. version: None for the bare model and loaded adapters. created:
    seconds since 1970.
    """

    id: str
    root: str
    parent: str | None
    version: int | None
    created: int
    document: str | None = None


@dataclass(frozen=True, slots=True)
class Speaker:
    """What writes one text: the adapter of a bank of one over a model, or the model alone. key: names
    the adapter, the same for the same weights; "" without one. folder: where it lies; None for a sum of
    several."""

    model: Model
    key: str = ""
    adapters: Adapters | None = None
    folder: Path | None = None


class Voices:
    """Names and what they stand for, for one library. folders: under which loaded adapters may be.

    Several threads may ask.
    """

    def __init__(self, library: Library, folders: tuple[Path, ...] = ()) -> None:
        self.library = library
        self.folders = tuple(expanded(folder).resolve() for folder in folders)
        self._loaded: dict[str, tuple[str, Adapters, Path]] = {}
        self._loads = 0
        self._lock = threading.RLock()

    def list(self) -> list[Voice]:
        """Every name once, the bare model's first, then the current version's."""
        found: dict[str, Voice] = {}
        for voice in self._voices():
            found.setdefault(voice.id, voice)
        return list(found.values())

    def get(self, name: str) -> Voice:
        """Raises UnknownVoice, which names those that there are."""
        if name == self.library.model.name:
            name = BASE
        if match := _VERSION.fullmatch(name):  # not by looking at all of them
            with suppress(AdapterError):
                record = self.library.adapter(int(match[1]))
                if self._answers(record):
                    return self._of(record, f"v{record.version}")
        for voice in self._voices():
            if voice.id == name:
                return voice
        known = [voice.id for voice in self.list()]
        more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
        there = ", ".join(known[:_LISTED])
        raise UnknownVoice(f"there is no model {shortened(name)!r}; there are {there}{more}")

    def speaker(self, voice: Voice, prompt: Prompt) -> Speaker:
        """What writes the answer to a prompt. Raises AdapterError."""
        return in_passing_thread(lambda: self._speaker(voice, prompt))

    def _speaker(self, voice: Voice, prompt: Prompt) -> Speaker:
        with self._lock:
            bare = self.library.model
            if voice.id in self._loaded:
                return Speaker(bare, *self._loaded[voice.id])
            if voice.version is None:
                return Speaker(bare)
            record = self.library.adapter(voice.version)
            answering = self.library.answering(voice.version)
            if isinstance(answering, Routed):
                whole = voice.document is None
                mix = answering.mix(prompt) if whole else self._about(voice, record, prompt)
                return self._mixed(answering, mix)
            assert isinstance(answering, Adapted)
            model = answering.other or bare
            if answering.adapters is None:
                return Speaker(model)
            key = Shelf.own(record.version)
            return Speaker(model, key, answering.adapters, self.library.shelf.adapter(key))

    def _mixed(self, answering: Routed, mix: Mix) -> Speaker:
        bare = self.library.model
        if not mix:
            return Speaker(bare)
        adapters = answering.loaded.bank([mix])
        if len(mix) == 1 and mix[0][1] == 1.0:
            key = mix[0][0]
            return Speaker(bare, key, adapters, self.library.shelf.adapter(key))
        return Speaker(bare, repr(mix), adapters)

    def _about(self, voice: Voice, record: AdapterRecord, prompt: Prompt) -> Mix:
        """The adapters of a document's own passages that answer a prompt. One alone always does."""
        own = [one for one in record.documents if one.title == voice.document]
        place = Shelf.own(record.version)
        adapters = {p.adapter for d in named(own, place) for p in d.passages if p.sequences}
        if len(adapters) == 1:
            return ((adapters.pop(), 1.0),)
        most = int(record.settings.get("adapters_per_question") or 1)
        return self.library.standing.routed(own, most, place).mix(prompt)

    def _voices(self) -> Iterator[Voice]:
        """What is asked for most comes first, and costs least. A document's title may be another's name
        already, which then keeps it."""
        name = self.library.model.name
        yield Voice(BASE, name, None, None, 0)
        current = self.library.current()
        if current is not None:
            yield self._of(current, CURRENT)
        else:
            yield Voice(CURRENT, name, BASE, None, 0)
        with self._lock:
            loaded = list(self._loaded)
        for own in loaded:
            yield Voice(own, name, BASE, None, 0)
        if current is not None:
            titles = [document.title for document in current.documents]
            yield from (
                self._of_document(current, title)
                for title in titles
                if title and not _VERSION.fullmatch(title)
            )
        for record in reversed(self.library.adapters()):
            if self._answers(record):
                yield self._of(record, f"v{record.version}")

    def _answers(self, record: AdapterRecord) -> bool:
        return record.status == "committed" and record.model_revision == self.library.model.revision

    def _of(self, record: AdapterRecord, name: str) -> Voice:
        parent = BASE if record.parent is None else f"v{record.parent}"
        created = int(record.created.timestamp())
        return Voice(name, self.library.model.name, parent, record.version, created)

    def _of_document(self, record: AdapterRecord, title: str) -> Voice:
        created = int(record.created.timestamp())
        parent = f"v{record.version}"
        return Voice(title, self.library.model.name, parent, record.version, created, title)

    # -- vLLM's protocol --

    def load(self, name: str, path: str) -> None:
        """Answer under a new name with a PEFT folder. Raises InputError, OutOfMemory."""
        if not self.folders:
            raise InputError("loading adapters is off: start with --adapter-folder FOLDER")
        if not _NAME.fullmatch(name):
            raise InputError("lora_name: letters, digits and . : / - _, at most 200")
        if _VERSION.fullmatch(name):
            raise InputError(f"lora_name: {name} is the name of a version, now or later")
        if name == self.library.model.name or any(voice.id == name for voice in self._voices()):
            raise InputError(f"there is a model {name!r} already; unload it first")
        try:
            folder = expanded(path).resolve()
            if not any(folder.is_relative_to(allowed) for allowed in self.folders):
                raise InputError("lora_path is outside of the folders that --adapter-folder allows")
            if not folder.is_dir():
                raise InputError("lora_path is no folder")
        except (OSError, RuntimeError, ValueError) as error:  # too long, a circle of links, a NUL
            raise InputError(f"lora_path cannot be used: {error}") from None
        try:
            adapters = in_passing_thread(lambda: _adapters_in(self.library.model, folder))
        except AdapterError as error:  # the client chose the folder
            raise InputError(str(error)) from error
        with self._lock:
            self._loads += 1  # the same folder may hold other weights the next time
            self._loaded[name] = (f"loaded-{self._loads}", adapters, folder)

    def unload(self, name: str) -> None:
        """Raises UnknownVoice for a name that was not loaded."""
        with self._lock:
            if name not in self._loaded:
                raise UnknownVoice(f"no adapter {name!r} was loaded")
            del self._loaded[name]


_LISTED = 20


def _adapters_in(model: Model, folder: Path) -> Adapters:
    """A bank of one: by the note of those that selfedit wrote, else by what PEFT says."""
    from selfedit.model.language_model import LanguageModel

    if not isinstance(model, LanguageModel) or (folder / NOTE).is_file():
        return model.load_adapter(folder)
    from selfedit.lora.peft_folder import load_peft

    return load_peft(model.hf, folder, num_layers=model.num_layers)
