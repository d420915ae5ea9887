"""Writes src/selfedit/bench/edits.json: self-edits of the embedded model for the example documents,
so that `selfedit bench inner` has real edits where no recorded run is at hand."""

from __future__ import annotations

import json
from pathlib import Path

from selfedit.config import SamplingSettings
from selfedit.domains.knowledge import Knowledge, read_document, split_passages
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.model.load import load_model
from selfedit.types import SelfEdit

ROOT = Path(__file__).parents[1]
SEEDS = 3


def main() -> None:
    model, settings = load_model(), LearnSettings()
    domain = Knowledge(settings.knowledge)
    edits = []
    for document in sorted((ROOT / "examples").glob("*.md")):
        for task in split_passages(read_document(document)):
            prompts = domain.prompts(task)
            for seed in range(SEEDS):
                sampling: SamplingSettings = settings.sampling
                seeds = [1000 * seed + i for i in range(len(prompts))]
                replies = model.generate(prompts, sampling, seeds)
                plan = domain.parse(task, SelfEdit(task.id, seed, prompts, tuple(replies)))
                statements = [s.text.removeprefix(f"{task.title}\n") for s in plan.sequences[:-1]]
                text = "\n".join(statements)
                edits.append({"title": task.title, "context": task.context, "text": text})
    target = ROOT / "src/selfedit/bench/edits.json"
    target.write_text(json.dumps(edits, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
