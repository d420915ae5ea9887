"""Which reward can be trusted? Each one's reliability, validity and cost, beside the true reward's.

    OMP_NUM_THREADS=1 SELFEDIT_WORKERS=1 python benchmarks/reward_validity.py FOLDER [--seeds 2]

Self-edits of the recorded round 1 ($SELFEDIT_DATA/recorded/round1_trials.json): of contexts with five
questions or more, each edit is trained with each seed (4 epochs at 2e-3, upper half, no anchor), and
each adapter is asked in every way of `loops.measures`, and questions that nobody wrote. FOLDER holds
the store: what is there is not done again, and `--report` only reads it. `--recorded` needs no model:
it tells what the recorded answers of the 7B model say about graders and F1, and where the differences
of rewards come from (`components`). Reported, within contexts, with a bootstrap over contexts:

reliability   of one training: the intraclass correlation over seeds (`grading.reliability`).
same          correlation with the accuracy of the same trainings on the same questions.
fresh seed    with the accuracy of another seed on the same questions.
fresh both    of the reward of one half of the questions with the accuracy of another seed on the other.
seconds       of asking one adapter, on this machine.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfedit.config import ANSWER_SAMPLING, MeasureSettings, TrainSettings, stable_hash
from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.settings import KnowledgeSettings, LearnSettings
from selfedit.errors import InvalidSelfEdit, SelfEditError
from selfedit.grading import GRADERS, grade_all
from selfedit.grading.reliability import reliability
from selfedit.loops.measures import Measure
from selfedit.model.load import load_model
from selfedit.seams import Model
from selfedit.store import Store
from selfedit.types import Prompt, Query, SelfEdit, Task, TrainingPlan

DATA = Path(os.environ.get("SELFEDIT_DATA", "../shared/data"))
SETTINGS = LearnSettings(
    train=TrainSettings(epochs=4, learning_rate=2e-3),
    knowledge=KnowledgeSettings(strategy="implications", topic=True, ends=True, form="mixed"),
)
DOMAIN = Knowledge(SETTINGS.knowledge, GRADERS["offline"])
PLACES = ("start", "short", "opening", "own")
# Blanks and the model's own questions are asked in place of the given ones.
OTHERS = {
    "blanks": ("cloze", MeasureSettings()),
    "blanks, likelihood": ("cloze", MeasureSettings(kind="likelihood", place="start")),
    "own questions": ("own", MeasureSettings()),
    "own, likelihood": ("own", MeasureSettings(kind="likelihood", place="short")),
}
MEASURES: dict[str, MeasureSettings] = {
    "accuracy": MeasureSettings(),
    "f1": MeasureSettings(kind="f1"),
    "samples": MeasureSettings(kind="samples", samples=2),
    **{
        f"{place}{'' if per_token else ', whole'}": MeasureSettings(
            kind="likelihood", place=place, per_token=per_token
        )
        for place in PLACES
        for per_token in (True, False)
    },
}
_FEWEST = 5  # questions of a context
_HALVES = 20  # random splits of the questions
_RESAMPLES = 200


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, nargs="?", default=Path())
    parser.add_argument("--contexts", type=int, default=9)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--dtype", default="auto", help="precision, as for `selfedit learn`")
    parser.add_argument("--report", action="store_true", help="only read what is there")
    parser.add_argument("--recorded", action="store_true", help="only what the record itself tells")
    given = parser.parse_args()
    if given.recorded:
        from_record()
        return
    store = Store(given.folder / "reward_validity.sqlite")
    chosen = recorded(given.contexts)
    model = None if given.report else load_model(dtype=given.dtype)
    if model is not None:
        same_model(store, model)
    run(store, chosen, given.seeds, model)


def same_model(store: Store, model: Model) -> None:
    """Exits if the folder holds what another model has said, or this one in another precision."""
    key, own = stable_hash(["reward validity", "model"]), {"model": repr(model.identity)}
    if store.cached([key]).get(key, own) != own:
        sys.exit("The folder holds trainings of another model or precision: use another one.")
    store.put_cached("reward validity", {key: own})


# -- trainings -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Recorded:
    """A context of the recorded round, with the texts of its edits."""

    task: Task
    edits: tuple[str, ...]


def recorded(count: int) -> list[Recorded]:
    """Contexts with five questions or more, those with the shortest edits first: they cost least."""
    said = json.loads((DATA / "recorded" / "round1_trials.json").read_text(encoding="utf-8"))
    found = []
    for article in said["articles"]:
        edits = article["completions"]
        asked = [q for q in edits[0]["questions"] if q["rep"] == 0]
        queries = tuple(Query(q["question"], (q["answer"],)) for q in asked)
        identity = stable_hash([article["title"], article["context"]])
        task = Task(identity, article["title"], article["context"], queries)
        found.append(Recorded(task, tuple(edit["text"] for edit in edits)))
    many = [one for one in found if len(one.task.queries) >= _FEWEST] or found
    return sorted(many, key=lambda one: sum(len(text.split()) for text in one.edits))[:count]


def run(store: Store, chosen: Sequence[Recorded], seeds: int, model: Model | None) -> None:
    """Two seeds of every context first, then one more at a time; a report after each."""
    for count in range(2, seeds + 1):
        for one in chosen:
            for pair in ([0, 1], *([seed] for seed in range(2, count))):
                rows_of(store, one, pair, model)
        report(store, chosen, count)


def rows_of(
    store: Store, one: Recorded, seeds: Sequence[int], model: Model | None
) -> list[dict[str, Any]] | None:
    """[edit][seed] flattened; None if it is not in the store and there is no model."""
    key = stable_hash(
        [one.task.title, one.task.context, one.edits, list(seeds), SETTINGS.digest(), DOMAIN.digest(),
         {name: own.identity() for name, own in MEASURES.items()},
         {name: [kind, own.identity()] for name, (kind, own) in OTHERS.items()}]
    )  # fmt: skip
    if not (known := store.cached([key])):
        if model is None:
            return None
        start = time.perf_counter()
        known = {key: {"rows": measured(model, one, seeds)}}
        store.put_cached("reward validity", known)
        print(f"{one.task.title}, seeds {list(seeds)}: {time.perf_counter() - start:.0f} s", flush=True)
    return list(known[key]["rows"])


def measured(model: Model, one: Recorded, seeds: Sequence[int]) -> list[dict[str, Any]]:
    plans = [plan_of(one.task, n, text) for n, text in enumerate(one.edits)]
    jobs = [(n, seed, plan) for n, plan in enumerate(plans) for seed in seeds if plan is not None]
    start = time.perf_counter()
    bank, records = model.train(
        [plan for *_, plan in jobs], SETTINGS.lora, SETTINGS.train, [s for _, s, _ in jobs], slots=4
    )
    each = (time.perf_counter() - start) / len(jobs)
    if failures := [record.failure for record in records if record.failure]:
        raise SelfEditError(f"{one.task.title}: {failures[0]}")
    rows = [
        {"edit": n, "seed": seed, "training": each, "worth": {}, "seconds": {}} for n, seed, _ in jobs
    ]
    once = Once(model)
    for name, own in (MEASURES | {name: own for name, (_, own) in OTHERS.items()}).items():
        kind = OTHERS[name][0] if name in OTHERS else "given"
        (task,), _ = DOMAIN.own_questions([one.task], kind, lambda prompts, _: greedy(model, prompts))
        measure, once.seconds = Measure(own), 0.0
        asked = measure.ask(once, DOMAIN, [task] * len(jobs), bank, range(len(jobs)))  # type: ignore[arg-type]
        for row, said in zip(rows, asked, strict=True):
            score = measure.score(DOMAIN, task, said)
            if score is None:
                raise SelfEditError(f"{one.task.title}: {name} is not a number")
            row["worth"][name] = [answer.worth for answer in score.answers]
            row["seconds"][name] = once.seconds / len(jobs)
    return rows


def greedy(model: Model, prompts: Sequence[Prompt]) -> list[str]:
    if not prompts:
        return []
    return [reply.text for reply in model.sample(prompts, ANSWER_SAMPLING, [0] * len(prompts))]


def plan_of(task: Task, index: int, text: str) -> TrainingPlan | None:
    try:
        return DOMAIN.parse(task, SelfEdit(task.id, index, (), (text,)))
    except InvalidSelfEdit:
        return None


class Once:
    """The model, asked the same only once; seconds: what the calls took, those before included."""

    def __init__(self, model: Model) -> None:
        self.model, self.seconds = model, 0.0
        self._known: dict[str, tuple[Any, float]] = {}

    def _once(self, key: object, work: Callable[[], Any]) -> Any:
        name = repr(key)
        if name not in self._known:
            start = time.perf_counter()
            found = work()
            self._known[name] = found, time.perf_counter() - start
        found, seconds = self._known[name]
        self.seconds += seconds
        return found

    def sample(self, prompts: Any, sampling: Any, seeds: Any, **more: Any) -> Any:
        key = ["sample", prompts, sampling.digest(), list(seeds), more.get("owners")]
        return self._once(key, lambda: self.model.sample(prompts, sampling, seeds, **more))

    def answer_scores(self, prompts: Any, replies: Any, **more: Any) -> Any:
        key = ["scores", prompts, replies, more.get("owners")]
        return self._once(key, lambda: self.model.answer_scores(prompts, replies, **more))


# -- what they say ---------------------------------------------------------------------------------

Worths = list[NDArray[np.float64]]  # of each context: [edit, seed, question]


def report(store: Store, chosen: Sequence[Recorded], seeds: int) -> dict[str, dict[str, float]]:
    """Prints a table, and returns its middle values."""
    data, seconds, training = _read(store, chosen, seeds)
    count = len(data["accuracy"])
    print(f"\n{count} of {len(chosen)} contexts, {seeds} seeds; {training:.1f} s a training")
    if count < 2:
        return {}
    truth = data["accuracy"]
    for place in PLACES:
        name = f"mixed, {place}"
        data[name] = _mean_of(truth, data[place])
        seconds[name] = seconds["accuracy"] + seconds[place]
    return table(data, truth, seconds)


def table(
    data: Mapping[str, Worths], truth: Worths, seconds: Mapping[str, float]
) -> dict[str, dict[str, float]]:
    """Each reward against the true one; printed, and returned without the intervals."""
    count = len(truth)
    print(f"{'reward':20s}{'reliability':22s}{'same':22s}{'fresh seed':22s}{'fresh both':22s}seconds")
    found: dict[str, dict[str, float]] = {}
    for name, worths in data.items():
        own = {
            "reliability": lambda at, w=worths: _reliability([w[i] for i in at]),
            "same": lambda at, w=worths: _agreement(w, truth, at, same=True),
            "fresh seed": lambda at, w=worths: _agreement(w, truth, at, same=False),
            # All questions that are not the given ones are fresh.
            "fresh both": lambda at, w=worths, n=name: (
                _agreement(w, truth, at, same=False) if n in OTHERS else _on_fresh_halves(w, truth, at)
            ),
        }
        cells = {label: _interval(value, count) for label, value in own.items()}
        said = "".join(f"{v:5.2f} [{a:5.2f}, {b:5.2f}]   " for v, a, b in cells.values())
        cost = seconds.get(name)
        print(f"{name:20s}{said}{'-' if cost is None else f'{cost:.2f}'}", flush=True)
        found[name] = {label: value for label, (value, _, _) in cells.items()}
    return found


def from_record() -> dict[str, dict[str, float]]:
    """What the recorded answers of the 7B model tell, graded by GPT-4.1 (the truth), by this project's
    graders, and by F1; without any model."""
    said = json.loads((DATA / "recorded" / "round1_trials.json").read_text(encoding="utf-8"))
    graders = {"offline": GRADERS["offline"], "contains": GRADERS["contains"]}
    data: dict[str, Worths] = {name: [] for name in ("GPT-4.1", *graders, "f1")}
    for article in said["articles"]:
        own: dict[str, list[list[list[float]]]] = {name: [] for name in data}
        for edit in article["completions"]:
            seeds = sorted({asked["rep"] for asked in edit["questions"]})
            by_seed = [[q for q in edit["questions"] if q["rep"] == seed] for seed in seeds]
            queries = [[Query(q["question"], (q["answer"],)) for q in asked] for asked in by_seed]
            answers = [[q["adapter_answer"] for q in asked] for asked in by_seed]
            own["GPT-4.1"].append([[float(q["adapter_correct"]) for q in asked] for asked in by_seed])
            for name, grader in graders.items():
                graded = [grade_all(q, a, grader) for q, a in zip(queries, answers, strict=True)]
                own[name].append([[float(one.correct) for one in seed] for seed in graded])
            own["f1"].append([[one.f1 for one in seed] for seed in graded])
        for name, worths in data.items():
            worths.append(np.array(own[name]))
    print(f"\nthe recorded round: {len(data['f1'])} contexts, graded by GPT-4.1")
    found = table(data, data["GPT-4.1"], {})
    say_components(data["GPT-4.1"])
    return found


def components(truth: Worths) -> tuple[float, float, float, float]:
    """Variances, within contexts, of a question's grade: between edits, whatever is asked; between
    edits in one question; between trainings, whatever is asked; the rest. By products of different
    questions and different seeds, so that none is biased."""
    parts = []
    for own_ESQ in truth:
        edits, seeds, questions = own_ESQ.shape
        if questions < 2 or seeds < 2:
            continue
        centred = (own_ESQ - own_ESQ.mean(axis=0)) * math.sqrt(edits / (edits - 1))
        products_STQR = np.einsum("esq,etr->stqr", centred, centred) / edits
        alike_ST = np.einsum("stqq->st", products_STQR) / questions
        apart_ST = (products_STQR.sum((2, 3)) / questions - alike_ST) / (questions - 1)
        other = ~np.eye(seeds, dtype=bool)
        parts.append(
            (apart_ST[other].mean(), alike_ST[other].mean(), apart_ST.diagonal().mean(),
             alike_ST.diagonal().mean())
        )  # fmt: skip
    edit, both, training, whole = map(float, np.mean(parts, axis=0))
    return edit, both - edit, training - edit, whole - both - training + edit


def say_components(truth: Worths) -> None:
    edit, covered, training, rest = components(truth)
    said = [f"{100 * math.sqrt(max(0.0, value)):.1f}" for value in (edit, covered, training, rest)]
    print(
        "\nstandard deviations of a question's grade, in points: edits as a whole {}, edits in one "
        "question {}, trainings as a whole {}, the rest {}".format(*said)
    )
    print("reliability as a measure of the edit with other questions, too (on the same questions):")
    for questions in (5, 10, 20, 40):
        cells = []
        for seeds in (1, 3, 7):
            noise = training / seeds + rest / (seeds * questions)
            whole = edit + covered / questions + noise
            cells.append(f"{seeds} seeds {edit / whole:.2f} ({(whole - noise) / whole:.2f})")
        print(f"  {questions:2d} questions: {', '.join(cells)}")


def _read(
    store: Store, chosen: Sequence[Recorded], seeds: int
) -> tuple[dict[str, Worths], dict[str, float], float]:
    """Contexts of which every seed is there; seconds of asking one adapter, and of training it."""
    names = [*MEASURES, *OTHERS]
    data: dict[str, Worths] = {name: [] for name in names}
    spent: dict[str, list[float]] = {name: [] for name in names}
    training = []
    for one in chosen:
        parts = [rows_of(store, one, own, None) for own in ([0, 1], *([s] for s in range(2, seeds)))]
        if any(part is None for part in parts):
            continue
        rows = [row for part in parts for row in part or ()]
        edits = sorted({row["edit"] for row in rows})
        if len(edits) < 2:
            continue
        for name in names:
            by = {(row["edit"], row["seed"]): row["worth"][name] for row in rows}
            data[name].append(np.array([[by[e, s] for s in range(seeds)] for e in edits]))
            spent[name] += [row["seconds"][name] for row in rows]
        training += [row["training"] for row in rows]
    means = {name: float(np.mean(own)) if own else math.nan for name, own in spent.items()}
    return data, means, float(np.mean(training)) if training else math.nan


def _mean_of(a: Worths, b: Worths) -> Worths:
    return [(x + y) / 2 for x, y in zip(a, b, strict=True)]


def _reliability(worths: Worths) -> float:
    return reliability([own.mean(axis=2) for own in worths], resamples=1).single


def _centred(values_ES: NDArray[np.float64]) -> NDArray[np.float64]:
    """Without what all edits of a context share, seed by seed."""
    return values_ES - values_ES.mean(axis=0, keepdims=True)


def _agreement(a: Worths, b: Worths, at: Sequence[int], *, same: bool) -> float:
    """Within contexts: with the same trainings, or with those of the other seeds."""
    pairs = [(_centred(a[i].mean(axis=2)), _centred(b[i].mean(axis=2))) for i in at]
    return _correlation(pairs, same)


def _on_fresh_halves(a: Worths, b: Worths, at: Sequence[int]) -> float:
    """a by one half of the questions, b by the other with another seed; over seeded splits."""
    found = []
    for split in range(_HALVES):
        pairs = []
        for i in at:
            count = a[i].shape[2]
            order = np.random.default_rng([split, i]).permutation(count)
            one, other = order[: count // 2], order[count // 2 :]
            pairs.append((_centred(a[i][:, :, one].mean(2)), _centred(b[i][:, :, other].mean(2))))
        found.append(_correlation(pairs, same=False))
    known = [value for value in found if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def _correlation(pairs: Sequence[tuple[Any, Any]], same: bool) -> float:
    """Pooled over contexts, and over pairs of seeds that are the same or that differ."""
    product = square_a = square_b = 0.0
    for x_ES, y_ES in pairs:
        seeds = range(x_ES.shape[1])
        for s in seeds:
            for t in seeds:
                if (s == t) is same:
                    x, y = x_ES[:, s], y_ES[:, t]
                    product, square_a, square_b = product + x @ y, square_a + x @ x, square_b + y @ y
    return float(product / math.sqrt(square_a * square_b)) if square_a and square_b else math.nan


def _interval(value: Callable[[Sequence[int]], float], count: int) -> tuple[float, float, float]:
    """The value, and its 95 % interval: contexts are drawn again."""
    draws = np.random.default_rng(0).integers(0, count, (_RESAMPLES, count))
    with np.errstate(all="ignore"):
        found = [value(list(map(int, own))) for own in draws]
    low, high = np.nanquantile(found, [0.025, 0.975]) if not np.isnan(found).all() else (math.nan,) * 2
    return value(range(count)), float(low), float(high)


if __name__ == "__main__":
    main()
