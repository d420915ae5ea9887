"""The search behind the defaults: one document, several settings, closed-book accuracy after each.

    python benchmarks/search_settings.py examples/pellworth-seed-dryer.md '{"epochs": 6}' '{"lr": 2e-3}'

Each argument after the document changes some of the settings below. For each of them SEEDS self-edits
are written and trained (no selection among them), and all questions of the document's quiz are asked.
Results go into docs/log.md. The documents that the README reports on are never searched on.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from statistics import mean

from selfedit.config import LoraSettings, SamplingSettings
from selfedit.config import TrainSettings as Train
from selfedit.data import read_quiz
from selfedit.domains.knowledge import Knowledge, read_document, split_passages
from selfedit.domains.knowledge.assign import assign_queries
from selfedit.domains.knowledge.settings import KnowledgeSettings, LearnSettings
from selfedit.loops.inner import run_trials
from selfedit.model.load import load_model
from selfedit.types import SelfEdit

SEEDS = int(os.environ.get("SEEDS", "4"))
BASE = {
    "strategy": "sentences", "restatements": 3, "faithful": True, "temperature": 0.6,
    "layers": "upper-half", "rank": 32, "lr": 1e-3, "epochs": 10, "batch": 1, "modules": None,
    "max_new": 80, "title_line": True,
}  # fmt: skip


def settings_of(change: dict[str, object]) -> LearnSettings:
    """Learn settings of the base point with some values changed."""
    v = {**BASE, **change}
    lora = {"rank": v["rank"], "alpha": 2.0 * float(v["rank"]), "layers": v["layers"]}
    if v["modules"]:
        lora["target_modules"] = tuple(v["modules"])
    return LearnSettings(
        knowledge=KnowledgeSettings(
            strategy=v["strategy"],
            restatements=v["restatements"],
            faithful=v["faithful"],
            title_line=v["title_line"],
        ),
        lora=LoraSettings(**lora),
        train=Train(learning_rate=v["lr"], epochs=v["epochs"], batch_size=v["batch"]),
        sampling=SamplingSettings(temperature=v["temperature"], max_new_tokens=v["max_new"]),
    )


def main() -> None:
    document = Path(sys.argv[1])
    model = load_model()
    quiz = read_quiz(document.with_name(document.stem + ".quiz.jsonl"))
    (task,) = assign_queries(split_passages(read_document(document)), quiz)
    for text in sys.argv[2:] or ["{}"]:
        settings = settings_of(json.loads(text))
        domain = Knowledge(settings.knowledge)
        pairs = []
        for index in range(SEEDS):
            prompts = domain.prompts(task)
            seeds = [1000 * index + i for i in range(len(prompts))]
            replies = model.generate(prompts, settings.sampling, seeds)
            pairs.append((task, SelfEdit(task.id, index, prompts, tuple(replies))))
        start = time.perf_counter()
        trials = run_trials(model, domain, pairs, settings)
        seconds = time.perf_counter() - start
        rewards = [0.0 if trial.reward is None else trial.reward for trial in trials]
        tokens = sum(trial.tokens for trial in trials)
        shown = " ".join(f"{reward:.2f}" for reward in rewards)
        print(
            f"{text:60s} mean {mean(rewards):.3f}  [{shown}]  {seconds / SEEDS:5.1f} s/edit  "
            f"{tokens / seconds:4.0f} tokens/s  {trials[0].reason}",
            flush=True,
        )
        if os.environ.get("SHOW"):
            for answer in trials[0].score.answers if trials[0].score else ():
                print("   ", answer.correct, answer.question, "|", answer.gold, "|", answer.answer)


if __name__ == "__main__":
    main()
