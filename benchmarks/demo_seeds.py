"""How much the demo's settings teach: held-out accuracy before and after, over seeds.

    python benchmarks/demo_seeds.py [SEED ...]        (default: 0 1 2 3 4)

Learns each of the two documents that the settings were not searched on, each seed in a library of its
own: the seed decides the split of the questions, the self-edits, the initial weights and the order.
One JSON line a run; the medians last.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from statistics import median

from selfedit import LearnSettings, Library
from selfedit.model.load import load_model

EXAMPLES = Path(__file__).parents[1] / "examples"
REPORTED = ("tidewell-observatory", "marrowtide-festival")


def main() -> None:
    seeds = [int(text) for text in sys.argv[1:]] or list(range(5))
    model = load_model()
    gains: dict[str, list[float]] = {name: [] for name in REPORTED}
    for seed in seeds:
        for name in REPORTED:
            with tempfile.TemporaryDirectory() as folder:
                library = Library(model, folder)
                document, quiz = EXAMPLES / f"{name}.md", EXAMPLES / f"{name}.quiz.jsonl"
                result = library.learn(document, quiz, LearnSettings(seed=seed))
                rewards = [c.reward for p in result.passages for c in p.candidates]
                library.close()
            gains[name].append(result.accuracy_after - result.accuracy_before)
            line = {"document": name, "seed": seed, "candidate_rewards": rewards, **result.summary()}
            print(json.dumps({k: v for k, v in line.items() if not k.endswith("_path")}), flush=True)
    for name, values in gains.items():
        print(f"{name}: median gain {100 * median(values):.0f} points over {len(values)} seeds")


if __name__ == "__main__":
    main()
