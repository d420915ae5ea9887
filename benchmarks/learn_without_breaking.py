"""What learning a document does to a model, by the settings of the inner loop.

    python benchmarks/learn_without_breaking.py FOLDER DOCUMENT 'CHANGE' ... [--seeds 0,1] [--routed]

CHANGE is JSON: {"train": {"epochs": 5, "anchor": {"weight": 3}}, "knowledge": {"ends": true}} changes
those settings of `learn`'s defaults; {} changes none. For each of them and each seed,
its first self-edit is trained (no selection; the seeds together), all questions of the document's quiz
are asked, and the adapter is probed (`selfedit probe`): with --routed through the router of a library,
with --quiz-only not at all. Self-edits and the bare model's answers are written once, into FOLDER;
results are lines of FOLDER/results.jsonl, and those that are there are not run again. The documents
that the README reports on are never searched on. docs/learning-damage.md has the results.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selfedit.config import ANSWER_SAMPLING, stable_hash
from selfedit.data import read_quiz
from selfedit.domains.knowledge import Knowledge, read_document, split_passages
from selfedit.domains.knowledge.assign import assign_queries
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.grading.graders import grade_all, offline
from selfedit.loops.sampler import Writer
from selfedit.memory.answering import Adapted, Answering
from selfedit.memory.loaded import Loaded
from selfedit.memory.neighbours import Subject
from selfedit.memory.probe import probe
from selfedit.memory.routed import Routed
from selfedit.model.load import load_model
from selfedit.store import LearnedDocument, LearnedPassage, Store
from selfedit.types import Task

SHOWN = ("quiz", "quiz_ended", "general_kept", "drift", "leakage", "tokens")


def changed(settings: LearnSettings, change: dict[str, Any]) -> LearnSettings:
    """Settings with the values of a nested dict in place of their own. Raises for an unknown name."""

    def merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        nested = {k: merge(old[k], v) for k, v in new.items() if isinstance(v, dict)}
        return {**old, **new, **nested}

    return LearnSettings.model_validate(merge(settings.model_dump(), change))


def measure(
    model: Any,
    writer: Writer,
    task: Task,
    settings: list[LearnSettings],
    options: argparse.Namespace,
) -> Iterator[dict[str, Any]]:
    """One adapter of each seed's first self-edit, trained together: what it knows, and what it broke.
    settings: one of each seed, equal otherwise."""
    first = settings[0]
    domain = Knowledge(first.knowledge)
    plans = [domain.parse(task, writer.propose(domain, [task], own)[0][0]) for own in settings]
    seeds = [own.seed for own in settings]
    adapters, records = model.train(plans, first.lora, first.train, seeds)
    prompts = domain.queries(task)
    for k, (plan, record) in enumerate(zip(plans, records, strict=True)):
        answering: Answering = Adapted(adapters, k)
        if options.routed:
            texts = tuple(sequence.text for sequence in plan.sequences)
            passage = LearnedPassage(task.title, task.context, texts, "only")
            model.save_adapter(adapters, k, options.folder / "only")
            document = LearnedDocument(task.title, task.title, "", (passage,))
            loaded = Loaded(model, lambda name: model.load_adapter(options.folder / name))
            answering = Routed([document], loaded)
        answers = answering.sample(model, prompts, ANSWER_SAMPLING)
        graded = grade_all(task.queries, [answer.text for answer in answers], offline)
        broken = {}
        if not options.quiz_only:
            damage = probe(model, answering, [Subject(task.title, task.context, task.queries)])
            lost = [[e.question, e.before, e.after] for e in damage.lost]
            broken = {**damage.measures(), "lost": lost}
        yield {
            "quiz": sum(answer.correct for answer in graded),
            "questions": len(graded),
            "quiz_ended": sum(bool(answer.ended) for answer in answers),
            "statements": len(plan.sequences),
            "tokens": record.tokens,
            "last_loss": sum(record.losses[-20:]) / len(record.losses[-20:]),
            "failure": record.failure,
            **broken,
            "answers": [answer.text for answer in answers],
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("document", type=Path)
    parser.add_argument("changes", nargs="+")
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--routed", action="store_true", help="as in a library that routes questions")
    parser.add_argument("--quiz-only", action="store_true", help="without the probe of what is broken")
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
        wanted = {}
        for seed in map(int, options.seeds.split(",")):
            settings = changed(LearnSettings(seed=seed), change)
            how = ["routed"] * options.routed + ["quiz only"] * options.quiz_only
            key = stable_hash([options.document.stem, seed, settings.digest(), *how])
            if key not in done:
                wanted[key] = settings
        if not wanted:
            continue
        found = measure(model, writer, task, list(wanted.values()), options)
        for (key, settings), measured in zip(wanted.items(), found, strict=True):
            line = {"key": key, "document": options.document.stem, "change": change}
            line |= {"seed": settings.seed, "routed": options.routed, **measured}
            with out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            shown = {k: line[k] for k in SHOWN if k in line}
            print(json.dumps(change), settings.seed, shown, flush=True)


if __name__ == "__main__":
    main()
