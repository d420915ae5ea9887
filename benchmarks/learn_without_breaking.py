"""What learning a document does to a model, by the settings of the inner loop.

    python benchmarks/learn_without_breaking.py FOLDER DOCUMENT 'CHANGE' ... [--seeds 0,1]

CHANGE is JSON: {"train": {"epochs": 5, "anchor": {"weight": 3}}, "knowledge": {"ends": true}} changes
those settings of `learn`'s defaults; {} changes none. For each of them and each seed,
its first self-edit is trained (no selection), all questions of the document's quiz are asked,
and the adapter is probed (`selfedit probe`). Self-edits and the bare model's answers are written once,
into FOLDER; results are lines of FOLDER/results.jsonl, and those that are there are not run again. The
documents that the README reports on are never searched on. docs/learning-damage.md has the results.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from selfedit.config import ANSWER_SAMPLING, stable_hash
from selfedit.data import read_quiz
from selfedit.domains.knowledge import Knowledge, read_document, split_passages
from selfedit.domains.knowledge.assign import assign_queries
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.grading.graders import grade_all, offline
from selfedit.loops.sampler import Writer
from selfedit.memory.answering import Adapted
from selfedit.memory.neighbours import Subject
from selfedit.memory.probe import probe
from selfedit.model.load import load_model
from selfedit.store import Store
from selfedit.types import Task


def changed(settings: LearnSettings, change: dict[str, Any]) -> LearnSettings:
    """Settings with the values of a nested dict in place of their own. Raises for an unknown name."""

    def merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        nested = {k: merge(old[k], v) for k, v in new.items() if isinstance(v, dict)}
        return {**old, **new, **nested}

    return LearnSettings.model_validate(merge(settings.model_dump(), change))


def measure(model: Any, writer: Writer, task: Task, settings: LearnSettings) -> dict[str, Any]:
    """One adapter of the seed's first self-edit: what it knows, and what it broke."""
    domain = Knowledge(settings.knowledge)
    ((edit, *_),) = writer.propose(domain, [task], settings)
    plan = domain.parse(task, edit)
    adapters, (record,) = model.train([plan], settings.lora, settings.train, [settings.seed])
    prompts = domain.queries(task)
    zeros = [0] * len(prompts)
    answers = model.sample(prompts, ANSWER_SAMPLING, zeros, adapters=adapters, owners=zeros)
    graded = grade_all(task.queries, [answer.text for answer in answers], offline)
    damage = probe(model, Adapted(adapters), [Subject(task.title, task.context, task.queries)])
    return {
        "quiz": sum(answer.correct for answer in graded),
        "questions": len(graded),
        "quiz_ended": sum(bool(answer.ended) for answer in answers),
        "statements": len(plan.sequences),
        "tokens": record.tokens,
        "last_loss": sum(record.losses[-20:]) / len(record.losses[-20:]),
        "failure": record.failure,
        **damage.measures(),
        "lost": [[e.question, e.before, e.after] for e in damage.lost],
        "answers": [answer.text for answer in answers],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("document", type=Path)
    parser.add_argument("changes", nargs="+")
    parser.add_argument("--seeds", default="0,1")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    out = options.folder / "results.jsonl"
    lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    done = {json.loads(line)["key"] for line in lines}
    model = load_model()
    writer = Writer(model, Store(options.folder / "library"))
    quiz = read_quiz(options.document.with_suffix(".quiz.jsonl"))
    (task,) = assign_queries(split_passages(read_document(options.document)), quiz)
    for change in map(json.loads, options.changes):
        for seed in map(int, options.seeds.split(",")):
            settings = changed(LearnSettings(seed=seed), change)
            key = stable_hash([options.document.stem, seed, settings.digest()])
            if key in done:
                continue
            line = {"key": key, "document": options.document.stem, "change": change, "seed": seed}
            line |= measure(model, writer, task, settings)
            with out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            shown = {
                k: line[k] for k in ("quiz", "quiz_ended", "general_kept", "drift", "leakage", "tokens")
            }
            print(json.dumps(change), seed, shown, flush=True)


if __name__ == "__main__":
    main()
