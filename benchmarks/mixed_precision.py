"""What `--dtype mixed` gains on this processor, and how far its states are from float32's.

    OMP_NUM_THREADS=1 python benchmarks/mixed_precision.py [MODEL] [--repeats 3]

Three precisions in turn, in one process: training of one adapter on 17 statements with the settings of
`learn`, for two epochs, and 30 answers of 32 tokens. Seconds are of the processor, the median of the
repeats. The distance is that of the final states from float32's, relative to their norm.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from selfedit.config import SamplingSettings
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.forward.packed import distance
from selfedit.model.load import load_model
from selfedit.types import Prompt, TrainingPlan, TrainingSequence

PRECISIONS = ("float32", "mixed", "bfloat16")
THINGS = (
    "lamp oil thistle boat warden harbour owl moth tower granite lantern river meadow copper salt"
).split()


def statements(place: str, count: int = 17) -> tuple[TrainingSequence, ...]:
    """Of about 25 tokens each, some of them alike."""
    made = []
    for n in range(count):
        a, b, c = (THINGS[(k * n + k) % len(THINGS)] for k in (1, 2, 4))
        made.append(
            f"{place}\nThe {a} of {place} was brought from the {b} in {1700 + 7 * n} for {n} {c}s."
        )
    return tuple(map(TrainingSequence, made))


def spent(work: Callable[[], Any]) -> float:
    """Seconds of the processor."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="smollm2-135m")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    inner = LearnSettings.model_validate({"train": {"epochs": 2, "min_steps": 0}})
    plan = TrainingPlan(statements("Marrowtide"), neighbours=statements("Orrowtide"))
    prompts = [Prompt(f"What is known about the {thing} of {n}?") for thing in THINGS for n in (1, 2)]
    sampling = SamplingSettings(temperature=0.0, max_new_tokens=32)
    models = {name: load_model(given.model, device="cpu", dtype=name) for name in PRECISIONS}
    texts = [sequence.text for sequence in plan.sequences[:8]]
    with torch.no_grad():
        states = {
            name: model.decoder.hidden([model.tokenizer.encode(text) for text in texts]).float()
            for name, model in models.items()
        }
    seconds: dict[str, dict[str, list[float]]] = {
        name: {"training": [], "answers": []} for name in models
    }
    for repeat in range(given.repeats + 1):
        for name, model in models.items():
            found = {
                "training": spent(lambda m=model: m.train([plan], inner.lora, inner.train, [0])),
                "answers": spent(lambda m=model: m.sample(prompts, sampling, [0] * len(prompts))),
            }
            for what, value in found.items():
                if repeat:  # the first one warms up
                    seconds[name][what].append(value)
    for name, own in seconds.items():
        ratios = {
            what: statistics.median(seconds["float32"][what]) / statistics.median(values)
            for what, values in own.items()
        }
        print(
            f"{name}: "
            + ", ".join(
                f"{what} {statistics.median(values):.2f} s ({ratios[what]:.2f}x)"
                for what, values in own.items()
            )
            + f", states {distance(states[name], states['float32']):.1%} from float32's"
        )


if __name__ == "__main__":
    main()
