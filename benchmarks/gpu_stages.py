"""The measurements of gpu.sh, stage by stage: python benchmarks/gpu_stages.py FOLDER [--smoke]

Each stage is a process of its own and writes FOLDER/NAME.json; its messages are in NAME.log. After
each, FOLDER/gpu.json holds what there is: results, seconds taken and expected, and why a stage has no
result. A stage that fails, or outlasts three times its expectation, does not stop the others, and a
second run does those that have no result yet. `--estimate` reckons what an H100 should take, and runs
nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import peft
import torch
import transformers

from benchmarks.gpu_time import START, answers_seconds, inner_seconds, rates, round_seconds
from selfedit.bench.material import articles, one_edit_each
from selfedit.bench.plan import InnerBench
from selfedit.config import ALL_LINEAR
from selfedit.model import embedded

ROOT = Path(__file__).parents[1]
QV = ("q_proj", "v_proj")
# Seconds of all stages together, and what a stage may take at least before it is stopped.
LIMIT, PATIENCE = 480, 120
# Seconds of each on an H100 as --estimate reckons them: not there, where reckoning takes time, too.
EXPECTED = {
    "check": 44,
    "7b-qv": 86,
    "round": 114,
    "7b-linear-upper-half": 30,
    "7b-answers": 30,
    "7b-linear": 27,
    "135m-linear-upper-half": 62,
    "1b-linear-upper-half": 23,
    "1b-answers": 24,
    "135m-answers": 30,
}


@dataclass(frozen=True)
class Stage:
    """One process. command: writes JSON to stdout. reckon: seconds that it should take on an H100."""

    name: str
    command: tuple[str, ...]
    reckon: Callable[[], float]


@dataclass(frozen=True)
class Target:
    """Where it runs: an H100, or `smoke`, a CPU with a tiny shape, where only the flow matters.

    weights: whether the embedded model is here; else a model of its shape is drawn.
    """

    smoke: bool
    weights: bool

    @property
    def place(self) -> tuple[str, ...]:
        if self.smoke:
            return ("--device", "cpu", "--dtype", "float32")
        return ("--device", "cuda", "--dtype", "bfloat16")

    def shape(self, name: str) -> tuple[str, ...]:
        return ("--shape", "tiny" if self.smoke else name)

    @property
    def small(self) -> tuple[str, ...]:
        """The embedded model."""
        return () if self.weights and not self.smoke else self.shape("smollm2-135m")


def stages(target: Target) -> list[Stage]:
    """In their order: correctness first, since what is wrong need not be fast; then what matters."""
    check = ("--edits", "1", "--epochs", "1", "--adapters", "2") if target.smoke else ()
    small = ("--small", target.small[1]) if target.small else ()
    large = target.shape("qwen2.5-7b")
    few = InnerBench(
        edits=16,
        widths=(16,),
        kinds=("plain", "packed", "trunk"),
        repeats=1,
        peer_edits=1,
        released_edits=0,
        questions=0,
    )
    main = InnerBench(
        edits=32,
        widths=(1, 32),
        kinds=("plain", "trainer", "padded", "packed", "checkpointed"),
        repeats=1,
        peer_edits=1,
        released_edits=1,
        released_steps=3,
        questions=5,
    )
    whole = InnerBench(
        edits=32,
        widths=(8, 32),
        kinds=("plain", "trainer", "mixed", "padded", "packed", "trunk", "refilled"),
        repeats=1,
        peer_edits=2,
        released_edits=1,
        released_steps=3,
        questions=0,
    )
    return [
        Stage(
            "check",
            _script("gpu_check", *target.place[:2], *small, *large, *check),
            lambda: START + 20 + 8 * 9 * 2 * rates("smollm2-135m").plain,
        ),
        _inner(target, "7b-qv", "qwen2.5-7b", main, QV, "all", epochs=5),
        _round(target),
        _inner(target, "7b-linear-upper-half", "qwen2.5-7b", few, epochs=3),
        _answers(target, "7b-answers", "qwen2.5-7b"),
        _inner(target, "7b-linear", "qwen2.5-7b", few, layers="all", epochs=2),
        _inner(target, "135m-linear-upper-half", "smollm2-135m", whole, epochs=3),
        _inner(target, "1b-linear-upper-half", "llama-3.2-1b", few, epochs=4),
        _answers(target, "1b-answers", "llama-3.2-1b"),
        _answers(target, "135m-answers", "smollm2-135m"),
    ]


def _script(name: str, *options: str) -> tuple[str, ...]:
    return (sys.executable, f"benchmarks/{name}.py", *options)


def _selfedit(*options: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "selfedit", *options)


def _inner(
    target: Target,
    name: str,
    shape: str,
    what: InnerBench,
    modules: tuple[str, ...] = ALL_LINEAR,
    layers: str = "upper-half",
    *,
    epochs: int,
) -> Stage:
    seconds = partial(_inner_seconds, what, shape, modules, layers, epochs)
    if target.smoke:
        what, epochs = _less(what), 1
    return Stage(
        name,
        _selfedit(
            *("bench", "inner", *target.place, *target.shape(shape)),
            *("--modules", ",".join(modules), "--layers", layers, "--epochs", str(epochs)),
            *("--edits", str(what.edits), "--peer-edits", str(what.peer_edits)),
            *("--widths", ",".join(map(str, what.widths)), "--ways", ",".join(what.kinds)),
            *("--repeats", str(what.repeats), "--questions", str(what.questions)),
            *("--released-edits", str(what.released_edits)),
            *("--released-steps", str(what.released_steps), "--json"),
        ),
        seconds,
    )


def _inner_seconds(
    what: InnerBench, shape: str, modules: tuple[str, ...], layers: str, epochs: int
) -> float:
    sizes = [len(work.plan.sequences) for work in one_edit_each(what.edits)[0]]
    return inner_seconds(what, sizes, epochs, rates(shape, modules, layers), layers != "all")


def _less(what: InnerBench) -> InnerBench:
    """The same ways on as few edits as show that they work."""
    widths = tuple(sorted({min(width, 2) for width in what.widths}))
    edits = 3 if "refilled" in what.kinds else 2
    return InnerBench(
        edits=edits,
        widths=widths,
        kinds=what.kinds,
        repeats=1,
        peer_edits=min(what.peer_edits, edits),
        released_edits=what.released_edits,
        released_steps=1,
        questions=min(what.questions, 1),
    )


def _answers(target: Target, name: str, shape: str) -> Stage:
    place = (*target.place, *target.shape(shape))
    much = ("--articles", "1", "--edits", "1" if target.smoke else "4", "--repeats", "1")
    command = _selfedit("bench", "answers", *place, *much, "--json")
    return Stage(name, command, lambda: answers_seconds(4, 1, rates(shape)))


def _round(target: Target) -> Stage:
    """A paper round's inner loops (50 contexts x 5 edits x 3 seeds) with their evaluation."""
    less = ("--contexts", "1", "--edits", "1", "--seeds", "1", "--epochs", "1") if target.smoke else ()

    def seconds() -> float:
        sizes = [len(a.plan(i).sequences) for a in articles()[0] for i in range(len(a.edits[:5]))]
        return round_seconds(sizes, 3, 10, rates("smollm2-135m"))

    return Stage("round", _script("paper_round", *target.place, *target.small, *less), seconds)


# -- running them ---------------------------------------------------------------------------------


def run_all(
    todo: Sequence[Stage], out: Path, machine: dict[str, Any], limit: float, *, smoke: bool = False
) -> list[str]:
    """Run the stages that have no result in the folder; returns which still have none.

    limit: seconds, after which no further stage begins. Raises SystemExit where the folder's results
    are of another commit or machine.
    """
    out.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    known = _known(out, machine)
    taken, failed = dict(known.get("seconds", {})), dict(known.get("failed", {}))
    for stage in todo:
        if (out / f"{stage.name}.json").exists():
            print(f"== {stage.name}: is there", file=sys.stderr)
            continue
        expected = EXPECTED.get(stage.name, 0)
        failed.pop(stage.name, None)
        if time.monotonic() - begun > limit:
            failed[stage.name] = f"not begun: the {limit:.0f} seconds were over"
        else:
            print(
                f"== {stage.name} ({expected} s on an H100): {' '.join(stage.command)}", file=sys.stderr
            )
            start = time.monotonic()
            patience = max(PATIENCE, 3 * expected) if not smoke else 10 * PATIENCE
            reason = _run(stage, out, patience)
            taken[stage.name] = {"taken": time.monotonic() - start, "expected": expected}
            if reason:
                failed[stage.name] = reason
                print(f"   FAILED: {reason}", file=sys.stderr)
        _write(out, machine, todo, taken, failed)
    _write(out, machine, todo, taken, failed)
    return list(failed)


def _run(stage: Stage, out: Path, patience: float) -> str:
    """Run a stage; "" or why it has no result."""
    part, log = out / f"{stage.name}.part", out / f"{stage.name}.log"
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with part.open("w") as stdout, log.open("w") as stderr:
        try:
            done = subprocess.run(
                stage.command,
                stdout=stdout,
                stderr=stderr,
                timeout=patience,
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": path},
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"stopped after {patience:.0f} seconds"
    if done.returncode:
        last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        return f"exit status {done.returncode}: {last[0]}"
    try:
        json.loads(part.read_text())
    except ValueError as error:
        return f"its output is not JSON: {error}"
    part.rename(out / f"{stage.name}.json")
    return ""


def _known(out: Path, machine: dict[str, Any]) -> dict[str, Any]:
    path = out / "gpu.json"
    known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    before = known.get("machine", machine)
    for key in ("commit", "gpu", "smoke"):
        if before.get(key) != machine.get(key):
            sys.exit(
                f"{out} holds results of {key} {before.get(key)!r}, here it is {machine.get(key)!r}: "
                "name another folder."
            )
    return known


def _write(
    out: Path, machine: dict[str, Any], todo: Sequence[Stage], taken: Any, failed: dict[str, str]
) -> None:
    there = [stage.name for stage in todo if (out / f"{stage.name}.json").exists()]
    whole = {
        "machine": machine,
        "seconds": taken,
        "failed": failed,
        "steps": {name: json.loads((out / f"{name}.json").read_text()) for name in there},
    }
    (out / "gpu.json").write_text(json.dumps(whole, indent=1) + "\n")


def describe_machine(smoke: bool) -> dict[str, Any]:
    has = torch.cuda.is_available() and not smoke
    return {
        "commit": _said("git", "rev-parse", "HEAD"),
        "changed": bool(_said("git", "status", "--porcelain", "--untracked-files=no")),
        "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "gpu": torch.cuda.get_device_name() if has else None,
        "driver": _said("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
        "smoke": smoke,
    }


def _said(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


def print_estimate(todo: Sequence[Stage]) -> float:
    spent = {stage.name: stage.reckon() for stage in todo}
    print("| stage | seconds on an H100, reckoned |\n|---|---|")
    for name, seconds in spent.items():
        print(f"| {name} | {seconds:.0f} |")
    print(f"| all of {LIMIT} | {sum(spent.values()):.0f} |")
    return sum(spent.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "benchmarks/gpu")
    parser.add_argument("--smoke", action="store_true", help="on a CPU with a tiny shape")
    parser.add_argument("--estimate", action="store_true", help="say what an H100 should take")
    parser.add_argument("--seconds", type=float, default=LIMIT, help="after which no stage begins")
    given = parser.parse_args()
    todo = stages(Target(given.smoke, embedded.is_fetched()))
    if given.estimate:
        print_estimate(todo)
        return
    limit = float("inf") if given.smoke else given.seconds
    machine = describe_machine(given.smoke)
    if machine["gpu"] is None and not given.smoke:
        sys.exit("there is no CUDA device here; --smoke (SMOKE=1 gpu.sh) tries the commands on a CPU.")
    out = given.folder.resolve()
    missing = run_all(todo, out, machine, limit, smoke=given.smoke)
    print(f"To read them: python benchmarks/results_table.py {out}/gpu.json", file=sys.stderr)
    subprocess.run([sys.executable, "benchmarks/plot_inner.py", str(out)], cwd=ROOT, check=False)
    if missing:
        sys.exit(f"without a result (see {out}/NAME.log): {', '.join(missing)}")


if __name__ == "__main__":
    main()
