"""Seconds of one paper round's inner loops: 50 contexts x 5 recorded edits x 3 seeds, with answers.

    python benchmarks/paper_round.py [--device cuda] [--dtype bfloat16] [--shape smollm2-135m]
        [--contexts 50] [--edits 5] [--seeds 3] [--epochs 10]

The edits are those that the paper's authors recorded ($SELFEDIT_DATA), not written anew: what is timed
is training and evaluation (the baselines too), as `run_trials` does it, with the default inner loop.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from selfedit.bench.floor import synchronise
from selfedit.bench.material import recorded_edits
from selfedit.bench.shapes import shaped_model
from selfedit.config import ANSWER_SAMPLING, InnerSettings, TrainSettings
from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.settings import KnowledgeSettings
from selfedit.loops.inner import run_trials
from selfedit.model.load import load_model
from selfedit.types import SelfEdit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--shape", default="", help="random weights of a shape instead of the model")
    epochs = TrainSettings().epochs
    for name, default in (("contexts", 50), ("edits", 5), ("seeds", 3), ("epochs", epochs)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    where = {"device": given.device, "dtype": given.dtype}
    model = shaped_model(given.shape, **where) if given.shape else load_model(**where)
    domain = Knowledge(KnowledgeSettings(strategy="implications", topic=True))
    recorded = recorded_edits()[: given.contexts]
    pairs = [
        (task, SelfEdit(task.id, index, domain.prompts(task), (text,)))
        for task, texts in recorded
        for index, text in enumerate(texts[: given.edits])
    ]
    start = time.perf_counter()
    prompts = [prompt for task, _ in recorded for prompt in domain.queries(task)]
    model.sample(prompts, ANSWER_SAMPLING, [0] * len(prompts))
    baselines = time.perf_counter() - start
    trials = run_trials(
        model,
        domain,
        pairs,
        InnerSettings(seeds=given.seeds, train=TrainSettings(epochs=given.epochs)),
        sink=lambda wave: print(
            f"{time.perf_counter() - start:.0f} s: a wave of {len(wave)}", file=sys.stderr
        ),
    )
    synchronise(model.decoder.device)
    print(
        json.dumps(
            {
                "model": model.name,
                "device": model.device,
                "dtype": str(model.hf.dtype),
                "contexts": len(recorded),
                "seeds": given.seeds,
                "epochs": given.epochs,
                "trials": len(trials),
                "scored": sum(trial.status == "scored" for trial in trials),
                "seconds_of_baselines": baselines,
                "seconds": time.perf_counter() - start,
            }
        )
    )


if __name__ == "__main__":
    main()
