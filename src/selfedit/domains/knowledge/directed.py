"""Directed self-edits: the edit itself says in which form it is written and how it is trained.

The paper describes a self-edit as finetuning data and, optionally, optimisation directives (arXiv
2506.10943, sections 1 and 3); its knowledge experiments use the first alone. Here an edit begins with
one line of JSON, the head, which names one of the strategies, the number of statements, the learning
rate and the epochs. What is out of bounds is an invalid edit, and nothing is repaired.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, get_args

from selfedit.domains.bounds import check, in_words, plain, rates, whole_numbers
from selfedit.domains.knowledge.settings import DirectiveSettings
from selfedit.errors import InvalidSelfEdit

Form = Literal["implications", "rewrite", "self-qa"]
FORMS: tuple[Form, ...] = get_args(Form)

LONGEST_HEAD = 400  # characters; one with every value is about 90 long
_KEYS = ("strategy", "statements", "learning_rate", "epochs")
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Head:
    """What an edit says about itself. statements: of those that follow, so many are trained on at
    most."""

    strategy: Form
    statements: int
    learning_rate: float
    epochs: int

    def text(self) -> str:
        """As it is asked for: one line of JSON."""
        values = {name: getattr(self, name) for name in _KEYS}
        return json.dumps(values | {"learning_rate": 0}).replace(
            '"learning_rate": 0', f'"learning_rate": {plain(self.learning_rate)}'
        )


def template(bounds: DirectiveSettings, *, example: bool = True) -> str:
    """The instruction, with {title} and {context} to be filled in.

    example: whether it shows a head, without which a small model writes none that is valid. Left out
    where only valid ones are sampled: the embedded model copied it 32 times of 32 (docs/log.md).
    """
    head = Head("implications", min(8, bounds.most_statements), _between(bounds), _epochs(bounds))
    shown = f", such as\n{head.text()}\n" if example else f" with the keys {', '.join(_KEYS)}. "
    return (
        "A model will be trained on what you write, so that it knows the text below by heart. First "
        f"decide how, and write that as one line of JSON{shown}"
        "strategy: implications (what follows from the text, a statement on each line), rewrite (the "
        "text in other words, with a line with only --- between one version and the next) or self-qa "
        '("Question 1: ..." with "Answer: ..." on the next line). statements: how many of them, at '
        f"most {bounds.most_statements}. learning_rate: {in_words(*bounds.rate_bounds)}. epochs: "
        f"{in_words(*bounds.epoch_bounds)}. Below that line, write them."
        "\n\n{title}\n{context}\n\nTraining data:"
    )


def _between(bounds: DirectiveSettings) -> float:
    low, high = bounds.rate_bounds
    return min(max(1e-3, low), high)


def _epochs(bounds: DirectiveSettings) -> int:
    return min(max(7, bounds.epoch_bounds[0]), bounds.epoch_bounds[1])


def pattern(bounds: DirectiveSettings) -> str:
    """A regular expression of edits whose head is valid, with any text below it."""
    choices = {
        "strategy": f'"({"|".join(FORMS)})"',
        "statements": whole_numbers(1, bounds.most_statements),
        "learning_rate": rates(*bounds.rate_bounds),
        "epochs": whole_numbers(*bounds.epoch_bounds),
    }
    said = ", ".join(f'"{name}": {choices[name]}' for name in _KEYS)
    return rf"\{{{said}\}}\n(.|\n)+"


def read_head(text: str, bounds: DirectiveSettings) -> tuple[Head, str]:
    """The head of an edit, and what follows it. Raises InvalidSelfEdit with the reason."""
    start = text.lstrip()
    if not start.startswith("{"):
        raise InvalidSelfEdit("it does not begin with its head, a line of JSON")
    try:
        value, end = _DECODER.raw_decode(start[:LONGEST_HEAD])
    except RecursionError:
        raise InvalidSelfEdit("the head is nested too deeply") from None
    except json.JSONDecodeError as error:
        said = "is cut off, or too long" if error.pos >= len(start[:LONGEST_HEAD]) else error.msg
        raise InvalidSelfEdit(f"the head is invalid JSON: {said}") from None
    missing = [name for name in _KEYS if name not in value]
    unknown = [name for name in value if name not in _KEYS]
    if missing or unknown:
        raise InvalidSelfEdit(
            f"the head has no {missing[0]}" if missing else f"the head has a key {_shown(unknown[0])}"
        )
    if value["strategy"] not in FORMS:
        raise InvalidSelfEdit(f"strategy is {_shown(value['strategy'])}, not {', '.join(FORMS)}")
    head = Head(
        value["strategy"],
        _whole(value, "statements", 1, bounds.most_statements),
        _number(value, "learning_rate", *bounds.rate_bounds),
        _whole(value, "epochs", *bounds.epoch_bounds),
    )
    return head, start[end:]


def _whole(value: dict[str, Any], name: str, low: int, high: int) -> int:
    said = value[name]
    if type(said) is not int:  # True is an int in Python
        raise InvalidSelfEdit(f"{name} is {_shown(said)}, not a whole number")
    check(said, name, low, high)
    return said


def _number(value: dict[str, Any], name: str, low: float, high: float) -> float:
    said = value[name]
    if type(said) not in (int, float):
        raise InvalidSelfEdit(f"{name} is {_shown(said)}, not a number")
    check(said, name, low, high)
    return float(said)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise InvalidSelfEdit("a key comes twice in the head")
    return found


def _small(digits: str) -> int:
    if len(digits) > 20:
        raise InvalidSelfEdit(f"a number of the head has {len(digits)} digits")
    return int(digits)


def _no_constant(name: str) -> Any:
    raise InvalidSelfEdit(f"{name} is no JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_distinct, parse_int=_small, parse_constant=_no_constant)


def _shown(value: object) -> str:
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."
