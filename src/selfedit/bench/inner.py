"""`selfedit bench inner`: seconds a self-edit for the bank, a plain PEFT loop, and the released way.

One process, one model, the same edits and settings; every way is warmed up, the quick ones are timed
several times in turn, and medians are compared. The released way takes minutes an edit, nearly all
of it on padding: a few of its steps are timed and scaled to the edit's own number of steps.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any

import psutil

from selfedit.bench.material import one_edit_each
from selfedit.bench.reference import PlainResult, plain_peft, released_way
from selfedit.config import InnerSettings, LoraSettings, TrainSettings
from selfedit.inner import Job, WaveBudget, plan_waves
from selfedit.lora.bank import AdapterBank
from selfedit.lora.train import BankTrainer, TokenSequence, num_steps
from selfedit.model.language_model import LanguageModel
from selfedit.types import SelfEdit, Task, TrainingPlan

Say = Callable[[str], None]


class Bench:
    """The edits as tokens and the settings that all ways share."""

    def __init__(
        self,
        model: LanguageModel,
        plans: Sequence[TrainingPlan],
        lora: LoraSettings,
        train: TrainSettings,
    ) -> None:
        self.model, self.plans, self.lora, self.train = model, plans, lora, train
        self.data = [
            [model.encode(sequence, train.max_tokens) for sequence in plan.sequences] for plan in plans
        ]
        self.tokens = sum(len(s.ids) for d in self.data for s in d) * train.epochs

    def plain(self) -> list[PlainResult]:
        count = len(self.data)
        return plain_peft(self.model, self.lora, self.data, [self.train] * count, range(count))

    def bank(self, *, trunk: bool, width: int | None = None) -> list[AdapterBank]:
        """The waves that `learn` would make of the edits; or exactly `width` to a wave."""
        banks = []
        for wave in self._waves(width):
            bank = AdapterBank(self.model.hf, self.lora, wave, num_layers=self.model.num_layers)
            data: list[list[TokenSequence]] = [self.data[k] for k in wave]
            BankTrainer(self.model.decoder, bank, data, [self.train] * len(wave), use_trunk=trunk).run()
            banks.append(bank)
        return banks

    def _waves(self, width: int | None) -> Iterator[list[int]]:
        if width is not None:
            for start in range(0, len(self.data), width):
                yield list(range(start, min(start + width, len(self.data))))
            return
        task = Task("", "", "")
        jobs = [
            Job.of(
                str(k),
                task,
                SelfEdit("", k, (), ()),
                k,
                plan,
                sum(len(s.ids) for s in self.data[k]),
                self.train,
            )
            for k, plan in enumerate(self.plans)
        ]
        settings = InnerSettings(lora=self.lora, train=self.train)
        for wave in plan_waves(jobs, WaveBudget.of(self.model, settings)):
            yield [job.seed for job in wave]

    def weight_difference(self, plain: list[PlainResult], banks: list[AdapterBank]) -> float:
        """Largest difference of any adapter weight; an adapter is known by its seed."""
        worst = 0.0
        for bank in banks:
            for k, seed in enumerate(bank.seeds):
                for name, factors in plain[seed].factors.items():
                    for ours, theirs in zip(bank.factors[name], factors, strict=True):
                        worst = max(worst, (ours[k] - theirs).abs().max().item())
        return worst


def run_inner(
    model: LanguageModel,
    *,
    edits: int = 6,
    repeats: int = 3,
    epochs: int = 2,
    layers: str = "upper-half",
    released_edits: int = 2,
    released_steps: int = 2,
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Timings, ratios and the largest weight difference, under stable keys.

    `ratio_to_plain_loop` (without the frozen trunk), `ratio_to_plain_loop_with_trunk`,
    `ratio_to_released` (None if released_edits is 0), `max_weight_difference`; `ways` has seconds an
    edit, tokens a second and peak resident memory (bytes above the loaded model) of each way.
    """
    plans, source = one_edit_each(edits)
    bench = Bench(model, plans, LoraSettings(layers=layers), TrainSettings(epochs=epochs))
    ways: dict[str, Callable[[], Any]] = {
        "plain PEFT loop": bench.plain,
        "bank": lambda: bench.bank(trunk=False),
        "bank, frozen trunk": lambda: bench.bank(trunk=True),
        "bank, one at a time": lambda: bench.bank(trunk=False, width=1),
    }
    results = {name: way() for name, way in ways.items()}  # warms up, and gives the weights
    difference = max(
        bench.weight_difference(results["plain PEFT loop"], results[name])
        for name in ways
        if name != "plain PEFT loop"
    )
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    memory: dict[str, int] = {}
    for repeat in range(repeats):
        for name, way in ways.items():
            with peak_memory() as peak:
                start = time.perf_counter()
                way()
                seconds[name].append(time.perf_counter() - start)
            memory[name] = max(memory.get(name, 0), peak[0])
            say(f"repeat {repeat + 1}: {name} {seconds[name][-1] / len(plans):.2f} s an edit")
    middle = {name: median(values) for name, values in seconds.items()}
    table = {
        name: {
            "seconds_per_edit": middle[name] / len(plans),
            "tokens_per_second": bench.tokens / middle[name],
            "peak_memory": memory[name],
        }
        for name in ways
    }
    ratio_to_released = None
    if released_edits:
        per_edit, share = _released(bench, released_edits, released_steps, say)
        table["released way"] = per_edit
        ratio_to_released = per_edit["seconds_per_edit"] / share(
            table["bank, frozen trunk"]["seconds_per_edit"]
        )
    plain = middle["plain PEFT loop"]
    return {
        "model": model.name,
        "device": model.device,
        "layers": layers,
        "edits": len(plans),
        "edits_from": source,
        "epochs": epochs,
        "repeats": repeats,
        "tokens": bench.tokens,
        "ratio_to_plain_loop": plain / middle["bank"],
        "ratio_to_plain_loop_with_trunk": plain / middle["bank, frozen trunk"],
        "ratio_to_released": ratio_to_released,
        "max_weight_difference": difference,
        "ways": table,
    }


def _released(
    bench: Bench, edits: int, steps: int, say: Say
) -> tuple[dict[str, float], Callable[[float], float]]:
    """Seconds an edit of the released way, and how our mean over all edits scales to the same edits."""
    scaled, tokens, peaks = [], 0, []
    for data in bench.data[:edits]:
        with peak_memory() as peak:
            spent, taken = released_way(bench.model, bench.lora, data, bench.train, max_steps=steps)
        scaled.append(spent / taken * num_steps(len(data), bench.train))
        tokens += sum(len(s.ids) for s in data) * bench.train.epochs
        peaks.append(peak[0])
        say(f"released way: {spent / taken:.1f} s a step, {scaled[-1]:.0f} s an edit")
    table = {
        "seconds_per_edit": sum(scaled) / len(scaled),
        "tokens_per_second": tokens / sum(scaled),
        "peak_memory": max(peaks),
    }
    share = tokens / len(scaled) / (bench.tokens / len(bench.data))
    return table, lambda seconds: seconds * share


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Peak memory above what is taken at the start, in bytes, sampled every 5 ms; [0] afterwards.

    On CUDA torch's own counter would be exact; on a CPU only the resident size can be watched.
    """
    process = psutil.Process()
    before = process.memory_info().rss
    peak = [0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            peak[0] = max(peak[0], process.memory_info().rss - before)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
