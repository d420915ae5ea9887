"""Figures out of `selfedit bench inner --json`: python benchmarks/plot_inner.py FOLDER

Reads every JSON file of the folder that such a run wrote; writes widths.svg (seconds a self-edit
against K, a panel a file) and sizes.svg (against the model's size, of the files with equal settings).
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from selfedit.bench.plots import save_by_size, save_by_width


def main(folder: Path) -> None:
    results = []
    for path in sorted(folder.glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        if "weights" in result:
            results.append(result)
    if not results:
        sys.exit(f"{folder} holds no result of `selfedit bench inner --json`.")
    save_by_width(results, folder / "widths.svg")
    alike: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for result in results:
        alike[json.dumps([result[key] for key in ("lora", "epochs", "device", "dtype")])].append(result)
    save_by_size(max(alike.values(), key=len), folder / "sizes.svg")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
