"""Device memory: how much there is, how to recognise that it ran out, how much some work takes."""

from __future__ import annotations

import ctypes
import gc
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil
import torch
from pydantic import ValidationError

from selfedit.config import EngineSettings
from selfedit.errors import InputError, OutOfMemory

T = TypeVar("T")

# Share of the whole memory that a model and its wave may take together. On a GPU the rest is for
# fragmentation and torch's workspaces, on a CPU for everything else that runs there.
_SHARE = {"cuda": 0.85, "cpu": 0.5, "mps": 0.5}
_CLEAR_REFS, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def engine_from_environment() -> EngineSettings:
    """Settings from SELFEDIT_MEMORY_GB, _CHECKPOINTING, _WORKERS, _CUDA_GRAPHS. Raises InputError."""
    names = {field: f"SELFEDIT_{field.upper()}" for field in EngineSettings.model_fields}
    given = {field: os.environ[name] for field, name in names.items() if os.environ.get(name)}
    try:
        return EngineSettings.model_validate(given)
    except ValidationError as error:
        wrong = ", ".join(f"{names[str(e['loc'][0])]}={e['input']}" for e in error.errors())
        raise InputError(
            f"{wrong} in the environment: SELFEDIT_MEMORY_GB is a number above 0, SELFEDIT_WORKERS a "
            "whole number, and SELFEDIT_CHECKPOINTING and SELFEDIT_CUDA_GRAPHS are 0 or 1."
        ) from error


def less_fragmentation() -> None:
    """Let PyTorch's allocator extend its segments on a GPU, where waves of any shape follow each other.

    Read when the first tensor is made there; what the user has set stays.
    """
    if "PYTORCH_CUDA_ALLOC_CONF" not in os.environ:  # the same setting's older name
        os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")


def memory_budget(device: torch.device, model_bytes: int, engine: EngineSettings) -> int:
    """Bytes that a wave may take in addition to the model.

    A constant of machine, model and setting: what happens to be free at the moment must not decide
    which self-edits train together, because a resumed run is to have the same waves
    (`loops/waves.py`).
    """
    if engine.memory_gb is not None:
        return int(engine.memory_gb * 1e9)
    share = _SHARE.get(device.type, 0.5)
    return max(0, int(share * _total(device)) - model_bytes)


def _total(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    total = int(psutil.virtual_memory().total)
    try:
        return min(total, int(_CGROUP_LIMIT.read_text(encoding="ascii")))  # a container's share
    except (OSError, ValueError):
        return total


def memory_free(device: torch.device) -> int:
    """Bytes that are free at this moment."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + cached
    return int(psutil.virtual_memory().available)


# oneDNN's "could not create a primitive"; one that it has not got is a "primitive descriptor".
_SIGNS = re.compile(
    "can't allocate memory|not enough memory|out of memory|CUBLAS_STATUS_ALLOC_FAILED"
    r"|could not create a (primitive|memory object)(?! descriptor)"
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error says that memory ran out; CPU, oneDNN, MPS and cuBLAS raise RuntimeErrors."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError | OutOfMemory):
        return True
    return isinstance(error, RuntimeError) and _SIGNS.search(str(error)) is not None


def within_memory(work: Callable[[], T], what: str) -> T:
    """Run `work`. Raises OutOfMemory, naming `what`, if torch runs out of memory."""
    try:
        return work()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    # Outside the handler: the traceback holds the tensors of the attempt.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    raise OutOfMemory(f"{what} does not fit into memory ({reason})")


def measured_peak(work: Callable[[], object], device: torch.device) -> int:
    """Peak bytes of tensors while `work` runs, above what stood at its start.

    CUDA: torch's own counter. CPU: every allocation of torch's allocator, operators' temporaries
    included, as the profiler records them. It keeps every record until the end, so measure an epoch,
    not a whole training. Only this thread's allocations are seen; `resident_peak` sees all. Raises
    NotImplementedError on other devices.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device)) - int(before)
    if device.type != "cpu":
        raise NotImplementedError(f"peak memory cannot be measured on {device.type}")
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        # Allocations only: the operators, five times as many, took gigabytes for one wave's epoch.
        profile.toggle_collection_dynamic(False, activities)
        work()
    assert profile.profiler is not None
    assert profile.profiler.kineto_results is not None
    events = profile.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    now = peak = 0
    for _, change in changes:
        now += change
        peak = max(peak, now)
    return peak


def resident_peak(work: Callable[[], object]) -> int | None:
    """Peak bytes of the whole process while `work` runs, above what was resident at its start.

    Freed memory that malloc keeps counts too, so this can exceed what the tensors took. None where
    Linux's counters are not available.
    """
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        _CLEAR_REFS.write_text("5", encoding="ascii")  # resets the peak: proc(5)
    except OSError:
        return None
    before = psutil.Process().memory_info().rss
    work()
    peak = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text(encoding="ascii"))
    return int(peak.group(1)) * 1024 - before if peak else None
