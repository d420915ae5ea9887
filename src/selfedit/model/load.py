"""Finding and loading a model: the embedded one, a local folder, a hub id, or the fake."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfedit.config import EngineSettings
from selfedit.errors import ModelError, OutOfMemory, SelfEditError
from selfedit.forward.linear import has_mixed
from selfedit.forward.memory import (
    engine_from_environment,
    is_out_of_memory,
    less_fragmentation,
)
from selfedit.home import DEFAULT_MODEL, expanded
from selfedit.lora.files import load_adapter
from selfedit.model import embedded
from selfedit.model.generate import ending_tokens
from selfedit.model.language_model import LanguageModel
from selfedit.model.prompts import PromptFormat, resolve_format, try_template
from selfedit.model.published import READER, Origin
from selfedit.model.quiet import quiet_transformers

DTYPES = ("auto", "float32", "mixed", "bfloat16", "float16", "float64")


@dataclass(frozen=True, slots=True)
class KnownModel:
    """An available model. place: folder, or the hub's cache; size in bytes, 0 if not fetched."""

    name: str
    place: str
    size: int
    note: str = ""


def pick_device(device: str = "auto") -> str:
    """`auto`: cuda, else mps, else cpu. Raises ModelError for a device that is not available."""
    import torch

    there = {"cpu": True, "cuda": torch.cuda.is_available()}
    there["mps"] = torch.backends.mps.is_available()
    if there["cuda"]:
        less_fragmentation()
    if device == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if there[name])
    kind, _, number = device.partition(":")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    known = not number or (number.isdecimal() and int(number) < count)
    if not there.get(kind, False) or not known or device.endswith(":"):
        have = ", ".join(name for name, is_there in there.items() if is_there)
        raise ModelError(f"device {device!r} is not available here; available: {have}.")
    return device


def pick_dtype(dtype: str, device: str) -> str:
    """`auto`: bfloat16 on GPUs that have it (CUDA from compute capability 8.0 on), else float32.

    `mixed`: float32, but products of frozen weights are of bfloat16 numbers, on CPUs that have
    instructions for them. Raises ModelError for an unknown name, or `mixed` elsewhere.
    """
    import torch

    if dtype not in DTYPES:
        raise ModelError(f"dtype {dtype!r}: use one of {', '.join(DTYPES)}.")
    if dtype == "mixed" and not (device == "cpu" and has_mixed()):
        where = "this processor has no instructions for it" if device == "cpu" else f"not for {device}"
        raise ModelError(
            f"dtype mixed is for CPUs with AMX or AVX-512 BF16 ({where}): use float32 or bfloat16."
        )
    if dtype != "auto":
        return dtype
    has = device.startswith("cuda") and torch.cuda.get_device_capability(torch.device(device))[0] >= 8
    return "bfloat16" if has else "float32"


def stored_as(dtype: str) -> str:
    """torch's name of the weights' precision, for a chosen one."""
    return "float32" if dtype == "mixed" else dtype


def load_model(
    name: str = DEFAULT_MODEL,
    *,
    device: str = "auto",
    dtype: str = "auto",
    prompt_format: PromptFormat = "auto",
    trust_remote_code: bool = False,
    engine: EngineSettings | None = None,
    status: Callable[[str], None] = lambda text: None,
) -> LanguageModel:
    """Load a model, frozen and in eval mode. Raises ModelError with what to do.

    dtype: see `pick_dtype`. Weights come as safetensors only, since other
    formats are unpickled. engine: by default from the environment (`forward.memory`).
    """
    engine = engine or engine_from_environment()
    place = pick_device(device)
    chosen = pick_dtype(dtype, place)
    source = source_of(name, status)
    status(f"loading {name}")
    try:
        with quiet_transformers():
            return _load(name, source, place, chosen, prompt_format, trust_remote_code, engine, status)
    except SelfEditError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise OutOfMemory(
                f"the model {name!r} in {chosen} does not fit into the memory of {place}: use a "
                "smaller model, --dtype bfloat16, or --device cpu."
            ) from error
        # Damaged files make transformers, tokenizers and jinja raise all kinds of errors, and a driver
        # that does not fit to torch AssertionError and RuntimeError.
        raise ModelError(load_advice(name, error)) from error


def _load(
    name: str,
    source: str,
    device: str,
    dtype: str,
    prompt_format: PromptFormat,
    trust_remote_code: bool,
    engine: EngineSettings,
    status: Callable[[str], None],
) -> LanguageModel:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    trusted = {"trust_remote_code": trust_remote_code}
    tokenizer = AutoTokenizer.from_pretrained(source, **trusted)
    stored = getattr(AutoConfig.from_pretrained(source, **trusted), "dtype", None)
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        source,
        dtype=getattr(torch, stored_as(dtype)),
        use_safetensors=True,
        output_loading_info=True,
        **trusted,
    )
    hf, found = loaded
    if found["missing_keys"]:
        # transformers would initialise them at random.
        missing = sorted(found["missing_keys"])
        raise ModelError(
            f"the model {name!r} is damaged: its files lack {len(missing)} of its weights, such as "
            f"{missing[0]}. Fetch or save it again."
        )
    folder = source if Path(source).is_dir() else None
    hub_id = embedded.HUB_ID if name == embedded.NAME else None if folder else source
    model = LanguageModel(
        hf.to(device),
        tokenizer,
        name=name,
        revision=revision_of(source, hf.config),
        form=resolve_format(tokenizer, prompt_format),
        origin=Origin(
            hub_id, None if hub_id else folder, stored if isinstance(stored, torch.dtype) else None
        ),
        engine=engine,
        status=status,
        mixed=dtype == "mixed",
    )
    if not all(isinstance(token, int) for token in ending_tokens(hf, tokenizer)):
        raise ValueError("its eos_token_id is not the id of a token")
    try_template(model.render)
    if folder is not None and (own := Path(folder) / READER).is_dir():
        model.reader = load_adapter(model.hf, own, num_layers=model.num_layers, base_revision=None)
    return model


def source_of(name: str, status: Callable[[str], None]) -> str:
    """The folder or hub id that a model is loaded from; the embedded one is made if needed. Raises
    ModelError."""
    if name == embedded.NAME:
        return str(embedded.fetch_embedded(status))
    folder = expanded(name)
    if folder.is_dir():
        if not (folder / "config.json").exists():
            raise ModelError(f"{folder} is not a model folder: it has no config.json.")
        return str(folder)
    if name.startswith(("/", ".", "~")):
        raise ModelError(f"there is no model folder {folder}.")
    return name


def check_model(name: str) -> None:
    """Raises ModelError where there is no model of that name: only its config.json is looked at."""
    from transformers import AutoConfig

    source = source_of(name, lambda text: None)
    if Path(source).is_dir():
        return
    try:
        with quiet_transformers():
            AutoConfig.from_pretrained(source)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(load_advice(name, error)) from error


def load_advice(name: str, error: Exception) -> str:
    """What to say where transformers cannot load a model."""
    first = str(error).strip().splitlines()[0][:300] if str(error).strip() else repr(error)
    return (
        f"the model {name!r} cannot be loaded: {first}\n"
        "Name a Hugging Face id (owner/model, which needs a network the first time), a folder with "
        f"config.json and safetensors weights, or {embedded.NAME}. `selfedit models` lists what is "
        "at hand."
    )


def revision_of(source: str, config: Any) -> str:
    """Identity of the weights: the hub's commit, or a fingerprint of a folder's files."""
    commit = getattr(config, "_commit_hash", None)
    if commit and not Path(source).is_dir():
        return f"{source}@{commit}"
    if Path(source) == embedded.embedded_folder():
        return embedded.REVISION
    return f"{Path(source).resolve().name}-{fingerprint(Path(source))}"


def fingerprint(folder: Path, blocks: int = 256) -> str:
    """Hash of config.json and, of each weights file, size and evenly spaced 4-KiB blocks.

    Reading whole multi-gigabyte files at each start would take minutes; training changes weights
    everywhere, so that two models that differ practically always differ in these blocks. A reader
    among the files is one of them.
    """
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for path in sorted([*folder.glob("*.safetensors"), *folder.glob(f"{READER}/*.safetensors")]):
        size = path.stat().st_size
        digest.update(f"{path.name}:{size}".encode())
        with path.open("rb") as file:
            for i in range(blocks):
                file.seek(size * i // blocks)
                digest.update(file.read(4096))
    return digest.hexdigest()[:16]


def known_models() -> list[KnownModel]:
    """The embedded model and the causal LMs in the Hugging Face cache."""
    folder = embedded.embedded_folder()
    size = sum(f.stat().st_size for f in folder.glob("*") if f.is_file()) if folder.exists() else 0
    note = "default, Apache-2.0" if size else "default; fetched on first use (93 MB download)"
    return [KnownModel(embedded.NAME, str(folder), size, note), *_cached_models()]


def _cached_models() -> list[KnownModel]:
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        return []
    return sorted(
        (
            KnownModel(repo.repo_id, str(repo.repo_path), repo.size_on_disk, "Hugging Face cache")
            for repo in repos
            if repo.repo_type == "model"
        ),
        key=lambda model: model.name,
    )


def pull_from_hub(name: str) -> Path:
    """Fetch a model from the Hugging Face hub into its cache: safetensors only, never pickles."""
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.model", "*.jinja"])
        )
    except Exception as error:
        # The hub client raises errors of its own, of httpx and of the system: all mean "not fetched".
        raise ModelError(load_advice(name, error)) from error
