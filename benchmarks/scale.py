"""How many workers a round and a corpus can use: a simulation of time, with the driver's real code.

    python benchmarks/scale.py [--workers 1,8,64,512] [--shape cpu|gpu] [--svg docs/scale.svg]

Real: planning, handing out, grading and storing (`runners.ray.Driver`, `runners.dispatch.Dispatch`, an
SQLite store), whose processor time goes onto the simulated clock, with COMMIT seconds of disk for each
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
from collections.abc import Iterator
from dataclasses import dataclass, replace
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
from selfedit.runners.dispatch import Dispatch
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
SHAPES = {"cpu": ("cpu", 1), "gpu": ("cuda", 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", default=",".join(map(str, WORKERS)))
    parser.add_argument("--shape", choices=SHAPES, default="cpu")
    parser.add_argument("--contexts", default="50,667", help="of a round with 5 edits and 3 seeds")
    parser.add_argument("--corpus", type=int, default=0, help="passages with one edit and one seed")
    parser.add_argument("--svg", type=Path)
    given = parser.parse_args()
    counts = [int(count) for count in given.workers.split(",")]
    curves = {}
    for contexts in [int(number) for number in given.contexts.split(",")]:
        name = f"{contexts * 15:,} trials ({contexts} contexts)"
        curves[name] = [simulated(given.shape, n, contexts, 5, 3) for n in counts]
        table(name, curves[name])
    if given.corpus:
        name = f"{given.corpus:,} passages"
        curves[name] = [simulated(given.shape, n, given.corpus, 1, 1) for n in counts]
        table(name, curves[name])
    if given.svg:
        plot(curves, given.svg)


@dataclass(frozen=True)
class Found:
    """seconds: of the simulated clock. work: seconds of all waves, none of them twice. driver: seconds
    that the driver was busy. memory: MB by which this process grew after the first tenth of the groups.
    twice: waves that were begun a second time. wall: real seconds that the simulation took."""

    workers: int
    trials: int
    waves: int
    seconds: float
    work: float
    driver: float
    memory: float
    twice: int
    wall: float

    @property
    def efficiency(self) -> float:
        return self.work / (self.workers * self.seconds)


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


def simulated(shape: str, workers: int, contexts: int, edits: int, seeds: int) -> Found:
    model, settings = Shaped(shape), InnerSettings(seeds=seeds)
    domain = Knowledge(KnowledgeSettings(strategy="implications", topic=True))
    draws, began = random.Random(0), time.perf_counter()
    done = {"work": 0.0, "waves": 0, "trials": 0}

    def seconds(_worker: int, order: Order) -> float:
        usual = lasts(shape, order) * math.exp(draws.gauss(0.0, NOISE))
        done["work"] += usual
        done["waves"] += 1
        return usual * (5 if draws.randrange(STRAGGLERS) == 0 else 1)

    pool = SimulatedPool(workers, seconds, outcome, begins=RPC, charged=True)
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "store.sqlite") as store:
        run = store.start_run("train", model.name, model.revision, {}, {})

        def stored(trials: Any) -> None:
            pool.spend(COMMIT)
            done["trials"] += len(trials)

        trials = StoredTrials(store, run, stored, Silent())
        driver = Driver(model, ref_of(model), domain, settings, trials, Silent())
        dispatch: Dispatch[Order, Outcome] = Dispatch(pool)
        process, early = psutil.Process(), 0
        for n, _ in enumerate(driver.run(dispatch, proposals(contexts, edits, domain))):
            if n == contexts // 10:
                early = process.memory_info().rss
        grown = (process.memory_info().rss - early) / 1e6
    twice = dispatch.twice
    work = done["work"] * (done["waves"] - twice) / done["waves"]
    return Found(
        workers, int(done["trials"]), int(done["waves"]), pool.clock, work, pool.driver, grown, twice,
        time.perf_counter() - began,
    )  # fmt: skip


def lasts(shape: str, order: Order) -> float:
    """Seconds of a wave at the usual pace."""
    jobs = order.wave.jobs
    if shape == "gpu":
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


def table(name: str, found: list[Found]) -> None:
    print(f"\n{name}, {found[0].waves - found[0].twice:,} waves")
    print("| workers | time | efficiency | driver busy | run twice | memory grown |")
    print("|---|---|---|---|---|---|")
    for own in found:
        print(
            f"| {own.workers} | {own.seconds / 3600:.2f} h | {own.efficiency:.1%} "
            f"| {own.driver / own.seconds:.1%} | {own.twice} | {own.memory:+.0f} MB |"
        )
    last = found[-1]
    print(
        json.dumps(
            {
                "driver_ms_a_trial": round(1000 * last.driver / last.trials, 3),
                "trials_a_second_of_driver": round(last.trials / last.driver),
                "wall_seconds": round(sum(own.wall for own in found), 1),
            }
        ),
        flush=True,
    )


def plot(curves: dict[str, list[Found]], path: Path) -> None:
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot()
    marks = itertools.cycle("os^D")
    for name, found in curves.items():
        x, y = [own.workers for own in found], [own.efficiency for own in found]
        axes.plot(x, y, marker=next(marks), label=name)
    axes.axhline(0.9, color="0.7", linewidth=0.8, zorder=0)
    axes.set_xscale("log", base=2)
    axes.set_xticks([own.workers for own in next(iter(curves.values()))])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0f}")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set(xlabel="workers", ylabel="efficiency (simulated)", ylim=(0, 1.02))
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
