"""Whether a version broke too much to be committed."""

from __future__ import annotations

from selfedit.types import ProbeResult

# With fewer questions that the bare model answers right a share says too little: of 20, a model that
# truly loses one in twenty loses more than two in 8 of 100 probes.
FEWEST_JUDGED = 20
FEWEST_RIGHT = 2 * FEWEST_JUDGED  # the surer half counts


def too_damaged(result: ProbeResult, max_damage: float) -> str:
    """Why a version must not be committed, or "" if nothing that was measured speaks against it.

    max_damage: the share, in [0, 1], of the judged questions that may be lost. The default of 0.2 lets
    through what anchored adapters of the embedded model lose of the surer half, 2 to 12 %, and stops
    what one without an anchor does, 56 % (docs/learning-damage.md, docs/log.md). Of 100 judged
    questions, a version that truly loses 10 % passes in 99.9 % of all probes, one that truly loses 30 %
    in 1.7 % and one that truly loses 50 % in none (binomial). For a larger model choose less. The
    measured share is compared, not a bound of its interval. With fewer than FEWEST_JUDGED questions
    nothing is judged, and `cannot_judge` says so.
    """
    if cannot_judge(result) or result.general_kept is None:
        return ""
    before, lost = result.general_before, result.general_before - result.general_after
    if lost <= max_damage * before + 1e-9:
        return ""
    return (
        f"it lost {lost} of the {before} general questions that the bare model is surest of, more "
        f"than the {100 * max_damage:.0f}% allowed (--max-damage)"
    )


def cannot_judge(result: ProbeResult) -> str:
    """Why the general questions cannot tell what was lost, or "" if they can."""
    if result.general_before >= FEWEST_JUDGED:
        return ""
    if result.num_right >= FEWEST_RIGHT:
        why = (
            f"only {result.general_before} general questions were asked, and {FEWEST_JUDGED} are "
            "needed (--probe-questions)"
        )
    else:
        why = (
            f"the bare model answers only {result.num_right} of {result.num_general} general questions "
            "right"
        )
    return f"What was lost of general knowledge cannot be judged: {why}. --max-damage was not applied."
