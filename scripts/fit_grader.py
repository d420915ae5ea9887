"""Fit the offline grader on the recorded verdicts, measure it by cross-validation, write its weights.

python scripts/fit_grader.py [--check]

Needs scikit-learn (pip install scikit-learn; nothing else of the project does) and the recorded
verdicts recorded/round1_trials.json in $SELFEDIT_DATA, or in ../shared/data where that exists. Takes
less than a minute, and is deterministic. --check measures and writes nothing.

The model is a logistic regression over the standardised features of `selfedit.grading.features`. Its
regularisation is chosen by log loss and its threshold so that it says yes as often as the judge, both
on predictions for articles that the fit has not seen. What is printed comes from an outer
cross-validation around all of this: articles of a test fold take no part in scaling, fitting or
choosing. The features themselves were written with the errors on these same articles in view.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from selfedit.grading import GRADERS
from selfedit.grading.agreement import agreement, kappa_interval, yes_gap_interval
from selfedit.grading.features import features
from selfedit.grading.fitted import known

WEIGHTS = Path(__file__).parents[1] / "src" / "selfedit" / "grading" / "weights.json"
DATA = "recorded/round1_trials.json"
STRENGTHS = (0.0003, 0.001, 0.003, 0.01, 0.03)  # scikit-learn's C: smaller is stronger regularisation
CLIP = 4.0
OUTER, INNER, PARTITIONS = 10, 5, 5

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Recorded answers with the judge's verdicts. article: what cross-validation keeps together.

    known: the probability where no model is needed, else NaN (`selfedit.grading.fitted.known`).
    times: how often the answer is recorded.
    """

    texts: list[tuple[str, str, str]]
    names: list[str]
    x_NF: Array
    correct_N: Mask
    article_N: NDArray[np.int64]
    adapter_N: Mask
    times_N: NDArray[np.int64]
    known_N: Array


@dataclass(frozen=True, slots=True)
class Fit:
    mean_F: Array
    scale_F: Array
    weight_F: Array
    intercept: float
    threshold: float = 0.5
    strength: float = 0.0

    def probabilities(self, data: Verdicts, rows: Mask) -> Array:
        z = np.clip((data.x_NF[rows] - self.mean_F) / self.scale_F, -CLIP, CLIP)
        probabilities = 1 / (1 + np.exp(-(z @ self.weight_F + self.intercept)))
        return np.where(np.isnan(data.known_N[rows]), probabilities, data.known_N[rows])


def read(path: Path) -> Verdicts:
    """Adapter answers as recorded; baseline answers, which are repeated for each trial, once each."""
    adapter: list[tuple[int, str, str, str, bool]] = []
    baseline: Counter[tuple[int, str, str, str, bool]] = Counter()
    for number, article in enumerate(json.loads(path.read_text(encoding="utf-8"))["articles"]):
        for completion in article["completions"]:
            for q in completion["questions"]:
                asked = (number, q["question"], q["answer"])
                adapter.append((*asked, q["adapter_answer"], bool(q["adapter_correct"])))
                baseline[*asked, q["baseline_answer"], bool(q["baseline_correct"])] += 1
    rows = [*adapter, *baseline]
    named = [features(question, gold, answer) for _, question, gold, answer, _ in rows]
    names = list(named[0])
    return Verdicts(
        [(question, gold, answer) for _, question, gold, answer, _ in rows],
        names,
        np.array([[values[name] for name in names] for values in named]),
        np.array([row[4] for row in rows]),
        np.array([row[0] for row in rows]),
        np.array([number < len(adapter) for number in range(len(rows))]),
        np.array([1] * len(adapter) + list(baseline.values())),
        np.array([known(*row[1:4]) for row in rows], dtype=np.float64),  # None: NaN
    )


def folds(articles: NDArray[np.int64], number: int, seed: int) -> Iterator[NDArray[np.int64]]:
    order = np.random.default_rng(seed).permutation(np.unique(articles))
    yield from (order[place::number] for place in range(number))


def fit(data: Verdicts, rows: Mask, strength: float) -> Fit:
    rows = rows & (data.known_N != 0)  # no answer, no lesson
    x = data.x_NF[rows]
    mean, scale = x.mean(0), x.std(0)
    scale[scale < 1e-9] = 1.0
    z = np.clip((x - mean) / scale, -CLIP, CLIP)
    model = LogisticRegression(C=strength, max_iter=2000).fit(z, data.correct_N[rows])
    return Fit(mean, scale, model.coef_[0], float(model.intercept_[0]), strength=strength)


def chosen(data: Verdicts, rows: Mask, seed: int) -> Fit:
    """Strength and threshold chosen on held-out articles among `rows`, then a fit on all of `rows`."""
    held_out = {strength: np.zeros(len(rows)) for strength in STRENGTHS}
    for articles in folds(data.article_N[rows], INNER, seed):
        test = rows & np.isin(data.article_N, articles)
        for strength, predicted in held_out.items():
            predicted[test] = fit(data, rows & ~test, strength).probabilities(data, test)
    losses = {s: log_loss(p[rows], data.correct_N[rows]) for s, p in held_out.items()}
    best = min(losses, key=lambda strength: losses[strength])
    threshold = float(np.quantile(held_out[best][rows], 1 - data.correct_N[rows].mean()))
    final = fit(data, rows, best)
    return Fit(final.mean_F, final.scale_F, final.weight_F, final.intercept, threshold, best)


def log_loss(predicted: Array, correct: Mask) -> float:
    right = np.where(correct, predicted, 1 - predicted)
    return float(-np.log(np.clip(right, 1e-6, 1)).mean())


def cross_validated(data: Verdicts) -> list[Mask]:
    """Decisions on every answer by fits that have not seen its article, for each partition."""
    decisions = []
    for seed in range(PARTITIONS):
        decided = np.zeros(len(data.texts), dtype=bool)
        for articles in folds(data.article_N, OUTER, seed):
            test = np.isin(data.article_N, articles)
            model = chosen(data, ~test, seed)
            decided[test] = model.probabilities(data, test) >= model.threshold
        decisions.append(decided)
    return decisions


def measure(decisions: list[Mask], data: Verdicts, rows: NDArray[np.int64]) -> dict[str, Any]:
    """Agreement on these rows; means over the partitions."""
    verdicts = data.correct_N[rows].tolist()
    decided = [mask[rows].tolist() for mask in decisions]
    each = [agreement(correct, verdicts) for correct in decided]
    articles = data.article_N[rows].tolist()
    low, high = kappa_interval(decided, verdicts, articles)
    gap_low, gap_high = yes_gap_interval(decided, verdicts, articles)
    return {
        "num": len(verdicts),
        "kappa": round(float(np.mean([a.kappa for a in each])), 3),
        "interval": [round(low, 3), round(high, 3)],
        "agreement": round(float(np.mean([a.agreement for a in each])), 3),
        "yes_rate": round(float(np.mean([a.yes_rate for a in each])), 3),
        "verdict_yes_rate": round(each[0].verdict_yes_rate, 3),
        "yes_gap_interval": [round(gap_low, 3), round(gap_high, 3)],
    }


def report(name: str, decisions: list[Mask], data: Verdicts) -> dict[str, object]:
    """A row of the tables of docs/graders.md on adapters' verdicts, and one on all verdicts."""
    found: dict[str, object] = {}
    every = np.repeat(np.arange(len(data.texts)), data.times_N)
    for kind, rows in (("adapter", np.flatnonzero(data.adapter_N)), ("all", every)):
        row = found[kind] = measure(decisions, data, rows)
        interval = "{:.3f}, {:.3f}".format(*row["interval"])
        gap_low, gap_high = row["yes_gap_interval"]
        print(
            f"{kind:8}| {name} | {row['kappa']:.3f} | {interval} | {row['agreement']:.1%} "
            f"| {row['yes_rate']:.1%} | {100 * gap_low:+.1f} to {100 * gap_high:+.1f} "
            f"| judge {row['verdict_yes_rate']:.1%} of {row['num']}"
        )
    return found


def write(model: Fit, data: Verdicts, measured: dict[str, object]) -> None:
    terms = zip(data.names, model.mean_F, model.scale_F, model.weight_F, strict=True)
    value = {
        "about": "Logistic regression over standardised features; written by scripts/fit_grader.py.",
        "data": f"{DATA}: {len(data.texts)} answers of {len(np.unique(data.article_N))} articles",
        "cross_validated": measured,
        "strength": model.strength,
        "clip": CLIP,
        "threshold": round(model.threshold, 4),
        "intercept": round(model.intercept, 5),
        "features": {
            name: {"mean": round(m, 5), "scale": round(s, 5), "weight": round(w, 5)}
            for name, m, s, w in ((n, float(m), float(s), float(w)) for n, m, s, w in terms)
        },
    }
    WEIGHTS.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="measure, write nothing")
    check = parser.parse_args().check
    path = Path(os.environ.get("SELFEDIT_DATA") or "../shared/data") / DATA
    if not path.is_file():
        sys.exit(f"no {path}: SELFEDIT_DATA names the folder of recorded data")
    data = read(path)
    print("        | grader | kappa | 95 % interval | agreement | yes rate | difference |")
    for name in ("exact", "f1", "contains"):
        grader = GRADERS[name]
        decided = [bool(answer.strip()) and grader(q, [gold], answer) for q, gold, answer in data.texts]
        report(name, [np.array(decided)], data)
    recall = (data.known_N != 0) * data.x_NF[:, data.names.index("recall_new_close")]
    report("recall of word forms >= 0.6", [recall >= 0.6], data)
    measured = report("offline (cross-validated)", cross_validated(data), data)
    if not check:
        model = chosen(data, np.ones(len(data.texts), dtype=bool), 0)
        write(model, data, measured)
        print(f"wrote {WEIGHTS.name}: strength {model.strength}, threshold {model.threshold:.3f}")


if __name__ == "__main__":
    main()
