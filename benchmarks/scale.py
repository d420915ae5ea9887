"""How many workers a round and a corpus can use: a simulation of time, with the driver's real code.

    python benchmarks/scale.py [--workers 1,8,64,512] [--shape cpu|gpu] [--out found.json]
    python benchmarks/scale.py --corpus 100000 --contexts "" --out corpus.json
    python benchmarks/scale.py --draw found.json,corpus.json --svg docs/scale.svg

Once with REAL workers, everything of the driver is real: planning, handing out, grading and storing
(`runners.ray.Driver`, `runners.dispatch.Dispatch`, an SQLite store), and its processor time goes onto
the simulated clock, with COMMIT seconds of disk for each wave. Other numbers of workers, and other
seeds, are replayed with the same waves: the real dispatch, and the driver's measured time for each
wave. Simulated: the workers (`bench.simulated`), and Ray's own RPC as RPC seconds for each wave.

Self-edits are the 250 that the paper's authors recorded ($SELFEDIT_DATA), again and again under other
titles. A wave of the shape "cpu" takes its words x TOKENS_PER_WORD at the measured speed of one core
(docs/performance.md); one of the shape "gpu" the steps of its longest lane at STEP seconds, which is an
estimate. Each time is multiplied by a seeded draw (log-normal, NOISE), and one wave in STRAGGLERS takes
five times as long: both are assumptions.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from selfedit.bench.material import recorded_edits
from selfedit.bench.simulated import SimulatedPool
from selfedit.config import InnerSettings
from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.settings import KnowledgeSettings
from selfedit.loops.measures import Asked
from selfedit.loops.policies import ref_of
from selfedit.lora.train import lanes
from selfedit.model.fake import FakeModel
from selfedit.progress import Silent
from selfedit.runners.dispatch import Dispatch, Piece
from selfedit.runners.orders import Order, Outcome, Part
from selfedit.runners.ray import Driver
from selfedit.runners.stored import StoredTrials
from selfedit.store import Store
from selfedit.types import Proposal, SelfEdit, TrainingRecord

TOKENS_PER_SECOND = 306.0 * 0.9  # one thread; a tenth of a wave's time is answering
TOKENS_PER_WORD = 1.35
STEP = 0.06
NOISE = 0.1
STRAGGLERS = 500
COMMIT, RPC = 0.005, 0.002
WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
REAL = 64
SEEDS = range(6000, 6005)  # what was tuned (`runners.dispatch`) was tuned with those from 100 to 129
SHAPES = {"cpu": ("cpu", 1), "gpu": ("cuda", 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", default=",".join(map(str, WORKERS)))
    parser.add_argument("--shape", choices=SHAPES, default="cpu")
    parser.add_argument("--contexts", default="50,667", help="of a round with 5 edits and 3 seeds")
    parser.add_argument("--corpus", type=int, default=0, help="passages with one edit and one seed")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--draw", help="files of --out: nothing is simulated")
    parser.add_argument("--svg", type=Path)
    given = parser.parse_args()
    if given.draw:
        plot(
            [own for name in given.draw.split(",") for own in json.loads(Path(name).read_text())],
            given.svg,
        )
        return
    counts, found = [int(count) for count in given.workers.split(",")], []
    rounds = [(int(number), 5, 3) for number in given.contexts.split(",") if number]
    rounds += [(given.corpus, 1, 1)] if given.corpus else []
    for contexts, edits, seeds in rounds:
        name = f"{contexts * edits * seeds:,} trials of {contexts:,} contexts"
        real = driven(given.shape, contexts, edits, seeds)
        rows = [replayed(real, workers) for workers in counts]
        found.append({"name": name, "real": asdict(real), "rows": rows})
        table(found[-1])
        if given.out:
            given.out.write_text(json.dumps(found))


@dataclass(frozen=True)
class Driven:
    """The real driver with REAL simulated workers. lasts: usual seconds of each wave, as planned.
    seconds: of the simulated clock; work: of all waves, none of them twice; driver: that the driver was
    busy, RPC and commits included. memory: MB of this process after so many contexts. wall: real
    seconds that it took."""

    trials: int
    lasts: list[float]
    seconds: float
    work: float
    driver: float
    memory: list[tuple[int, float]]
    wall: float


class Shaped(FakeModel):
    """The fake model as one of another device, whose waves are as wide as that one's."""

    def __init__(self, shape: str) -> None:
        super().__init__(delay=0.0)
        self.device, self.num_workers = SHAPES[shape]  # type: ignore[misc]


def proposals(contexts: int, edits: int, domain: Knowledge) -> Iterator[Proposal]:
    """The recorded contexts with their edits, under another title each time."""
    recorded = recorded_edits()
    for n in range(contexts):
        task, texts = recorded[n % len(recorded)]
        again = replace(task, id=f"{task.id}-{n}", title=f"{task.title} {n}")
        prompts = domain.prompts(again)
        made = (SelfEdit(again.id, i, prompts, (text,)) for i, text in enumerate(texts[:edits]))
        yield Proposal(again, 0.0, tuple(made))


def driven(shape: str, contexts: int, edits: int, seeds: int) -> Driven:
    model, settings = Shaped(shape), InnerSettings(seeds=seeds)
    domain = Knowledge(KnowledgeSettings(strategy="implications", topic=True))
    began, drawn = time.perf_counter(), Drawn(SEEDS[0])

    def seconds(_worker: int, order: Order) -> float:
        return drawn(lasts(model.device, order))

    pool = SimulatedPool(REAL, seconds, outcome, begins=RPC, charged=True)
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "store.sqlite") as store:
        run, count = store.start_run("train", model.name, model.revision, {}, {}), 0

        def stored(trials: Any) -> None:
            nonlocal count
            pool.spend(COMMIT)
            count += len(trials)

        trials = StoredTrials(store, run, stored, Silent())
        driver = Listed(model, ref_of(model), domain, settings, trials, Silent())
        dispatch: Dispatch[Order, Outcome] = Dispatch(pool)
        process, memory = psutil.Process(), []
        for n, _ in enumerate(driver.run(dispatch, proposals(contexts, edits, domain)), 1):
            if n % max(1, contexts // 10) == 0:
                memory.append((n, process.memory_info().rss / 1e6))
                print(f"  {n:,} contexts: {memory[-1][1]:.0f} MB", flush=True)
    wall = time.perf_counter() - began
    return Driven(
        count,
        driver.lasts,
        pool.clock,
        drawn.work * len(driver.lasts) / drawn.count,
        pool.driver,
        memory,
        wall,
    )


@dataclass
class Listed(Driver):
    """A driver that notes how long each wave lasts, in the order in which they are planned."""

    lasts: list[float] = field(default_factory=list)

    def _pieces(self, proposals: Iterable[Proposal]) -> Iterator[Piece[Order]]:
        for piece in super()._pieces(proposals):
            self.lasts.append(lasts(self.model.device, piece.work))
            yield piece


class Drawn:
    """How long waves take, by a seed. work: seconds of all so far, without stragglers."""

    def __init__(self, seed: int) -> None:
        self._draws, self.work, self.count = random.Random(seed), 0.0, 0

    def __call__(self, usual: float) -> float:
        own = usual * math.exp(self._draws.gauss(0.0, NOISE))
        self.work, self.count = self.work + own, self.count + 1
        return own * (5 if self._draws.randrange(STRAGGLERS) == 0 else 1)


def replayed(real: Driven, workers: int) -> dict[str, Any]:
    """Efficiency by each of SEEDS, and means of the rest. driver: its share of the time."""
    waves = len(real.lasts)
    each = real.driver / waves - RPC
    efficiency, hours, twice = [], [], 0
    for seed in SEEDS:
        drawn = Drawn(seed)
        pool: SimulatedPool[float, None] = SimulatedPool(
            workers, lambda _, usual, drawn=drawn: drawn(usual), lambda _: None, begins=RPC
        )
        dispatch: Dispatch[float, None] = Dispatch(pool)
        for _ in dispatch.run(Piece(n, own, own, "") for n, own in enumerate(real.lasts)):
            pool.spend(each)
        work = drawn.work * waves / drawn.count
        efficiency.append(work / (workers * pool.clock))
        hours.append(pool.clock / 3600)
        twice += dispatch.twice
    mean = sum(hours) / len(hours)
    return {
        "workers": workers, "hours": mean, "efficiency": efficiency, "twice": twice / len(SEEDS),
        "driver": real.driver / 3600 / mean,
    }  # fmt: skip


def lasts(device: str, order: Order) -> float:
    """Seconds of a wave at the usual pace."""
    jobs = order.wave.jobs
    if device == "cuda":
        steps = [job.num_steps for job in jobs]
        return STEP * max(sum(steps[n] for n in lane) for lane in lanes(steps, order.wave.slots))
    words = sum(job.num_steps * job.together * job.mean_length for job in jobs)
    return words * TOKENS_PER_WORD / TOKENS_PER_SECOND


def outcome(order: Order) -> Outcome:
    """As a worker would send it: a loss for each step, an answer for each question."""
    records, asked = [], {}
    for k, job in enumerate(order.wave.jobs):
        records.append(TrainingRecord([1.0 / (1 + n) for n in range(job.num_steps)], tokens=job.tokens))
        asked[k] = Asked(((*("It is not known." for _ in job.task.queries),),))
    return Outcome((Part(len(records), records, asked, 1.0),))


def table(found: dict[str, Any]) -> None:
    real = found["real"]
    waves, trials = len(real["lasts"]), real["trials"]
    print(f"\n{found['name']}, {waves:,} waves")
    print("| workers | time | efficiency, mean | least | run twice | driver busy |")
    print("|---|---|---|---|---|---|")
    for row in found["rows"]:
        own = row["efficiency"]
        print(
            f"| {row['workers']} | {row['hours']:.2f} h | {sum(own) / len(own):.1%} | {min(own):.1%} "
            f"| {row['twice']:.1f} | {row['driver']:.1%} |"
        )
    said = {
        "real_driver_efficiency": round(real["work"] / REAL / real["seconds"], 3),
        "driver_ms_a_trial": round(1000 * real["driver"] / trials, 3),
        "trials_a_second_of_driver": round(trials / real["driver"]),
        "memory_mb": [(n, round(mb)) for n, mb in real["memory"]],
        "wall_seconds": round(real["wall"], 1),
    }
    print(json.dumps(said), flush=True)


def plot(curves: list[dict[str, Any]], path: Path) -> None:
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot()
    marks = itertools.cycle("os^D")
    for curve in curves:
        x = [row["workers"] for row in curve["rows"]]
        all_seeds = [row["efficiency"] for row in curve["rows"]]
        mean = [sum(own) / len(own) for own in all_seeds]
        below = [m - min(own) for m, own in zip(mean, all_seeds, strict=True)]
        above = [max(own) - m for m, own in zip(mean, all_seeds, strict=True)]
        axes.errorbar(x, mean, (below, above), marker=next(marks), capsize=2, label=curve["name"])
    axes.axhline(0.9, color="0.7", linewidth=0.8, zorder=0)
    axes.set_xscale("log", base=2)
    axes.set_xticks([row["workers"] for row in curves[0]["rows"]])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0f}")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set(xlabel="workers", ylabel="efficiency (simulated)", ylim=(0, 1.02))
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
