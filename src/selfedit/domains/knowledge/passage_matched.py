"""The condition `passage-matched`: the passage alone, for as many tokens as the context's own edit.

An edit is longer than its passage, so part of what self-edits gain may be the longer training. Here the
passage is trained for more epochs instead, until it has cost what the edit of the condition `own` did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from selfedit.config import stable_hash
from selfedit.domains.conditions import Bench, Outcome, with_note
from selfedit.domains.knowledge.regimes import (
    PassageOnly,
    learn_and_answer,
    one_by_one,
    passage_sequence,
    passage_settings,
    settings_of,
)
from selfedit.errors import InputError
from selfedit.show.wording import percent, plural
from selfedit.types import SelfEdit, Task, TrainingPlan, Trial

_LONGEST = 1000  # epochs, as `TrainSettings` has it


class PassageMatched(PassageOnly):
    """The passage alone, for as many epochs as its edit says: a number, and nothing else."""

    def parse(self, task: Task, edit: SelfEdit) -> TrainingPlan:
        return replace(super().parse(task, edit), epochs=int(edit.text))

    def digest(self) -> str:
        return stable_hash(["passage-matched", super().digest()])


def check(bench: Bench) -> None:
    """Raises InputError where there are no tokens of own edits, one by one, to be matched."""
    one_by_one(bench, "passage-matched")
    if "own" not in bench.settings.conditions:
        raise InputError(
            "the condition `passage-matched` trains for as many tokens as `own`: name that, too."
        )


def passage_matched(bench: Bench) -> Outcome:
    """What `own` trained is read from the store, or is trained first.

    Where the own edit trained nothing, the passage has the epochs of the condition `passage`. An edit's
    tokens are a multiple of the passage's by chance alone, so the row says how near they came.
    """
    plain = passage_settings(settings_of(bench).inner)
    domain = PassageMatched(plain.knowledge)
    wanted = [trained_tokens(own) for own in bench.outcome("own").trials]
    epochs = [
        _epochs(tokens, bench.model.sequence_tokens(passage_sequence(domain, task)))
        or plain.train.passes(1)
        for task, tokens in zip(bench.tasks, wanted, strict=True)
    ]
    edits = [
        [SelfEdit(task.id, 0, (), (str(count),))]
        for task, count in zip(bench.tasks, epochs, strict=True)
    ]
    outcome = learn_and_answer(bench, bench.model, domain, edits, plain)
    return with_note(outcome, _nearness(wanted, list(map(trained_tokens, outcome.trials)), epochs))


def trained_tokens(trials: Sequence[Trial]) -> float:
    """Of one training: the mean over the seeds that trained; 0 if none did."""
    trained = [trial.tokens for trial in trials if trial.tokens]
    return sum(trained) / len(trained) if trained else 0.0


def _epochs(wanted: float, passage: int) -> int:
    """Passes over a passage of so many tokens that come nearest to what is wanted, one at least; 0 if
    nothing is."""
    if not wanted:
        return 0
    return min(max(1, round(wanted / passage)), _LONGEST)


def _nearness(wanted: Sequence[float], got: Sequence[float], epochs: Sequence[int]) -> str:
    pairs = [(own, tokens) for own, tokens in zip(wanted, got, strict=True) if own and tokens]
    said = []
    if pairs:
        whole = sum(tokens for _, tokens in pairs) / sum(own for own, _ in pairs)
        shares = sorted(tokens / own for own, tokens in pairs)
        said.append(
            f"{percent(whole)} of the tokens of own ({percent(shares[0])} to {percent(shares[-1])} in "
            f"a context), {min(epochs)} to {max(epochs)} epochs"
        )
    if without := sum(not own for own in wanted):
        said.append(f"{plural(without, 'context')} as in passage, for own trained nothing there")
    return "; ".join(said)
