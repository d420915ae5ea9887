"""Optimizer steps of a recorded round, by K and by how often a slot is filled.

    python benchmarks/refill_steps.py

Counted, not timed: on a GPU, where a step of few tokens takes as long as one of more, steps are time.
Self-edits are the recorded ones ($SELFEDIT_DATA, 10 epochs, batch 1), with 1 and with 3 seeds each, in
waves of `lane` x K in the order of `plan_waves`.
"""

from __future__ import annotations

from selfedit.bench.material import articles
from selfedit.lora.train import lanes

EPOCHS = 10
SEEDS = (1, 3)
SLOTS = (8, 24, 64)
LANES = (1, 2, 4)


def wave_steps(steps: list[int], slots: int) -> int:
    """Steps of a wave: those of its longest lane."""
    return max(sum(steps[n] for n in lane) for lane in lanes(steps, slots))


def main() -> None:
    found, source = articles()
    counts = [EPOCHS * len(a.plan(i).sequences) for a in found for i in range(len(a.edits))]
    print(f"{len(counts)} self-edits from {source}\n")
    print("| trainings | K | " + " | ".join(f"lane {lane}" for lane in LANES) + " | no idle slot |")
    print("|---|---|" + "---|" * (len(LANES) + 1))
    for seeds in SEEDS:
        steps = sorted(counts * seeds, reverse=True)
        for slots in SLOTS:
            totals = [
                sum(
                    wave_steps(steps[start : start + lane * slots], slots)
                    for start in range(0, len(steps), lane * slots)
                )
                for lane in LANES
            ]
            cells = " | ".join(f"{total:,}" for total in totals)
            print(f"| {len(steps)} | {slots} | {cells} | {-(-sum(steps) // slots):,} |")


if __name__ == "__main__":
    main()
