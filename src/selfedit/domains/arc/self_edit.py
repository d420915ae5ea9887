"""The self-edit of a few-shot task: a JSON object that configures its own training.

arXiv 2506.10943, section 4.2. A model may write prose around the object and put it in a code fence.
Nothing else is repaired: the object is trained as it stands, or is invalid with a reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Literal, NoReturn, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from selfedit.domains.arc.settings import MAX_LEARNING_RATE, ArcBounds, ArcGroup
from selfedit.domains.arc.tasks import Example
from selfedit.domains.arc.text import GridFormat, demonstrations
from selfedit.domains.bounds import check, in_words
from selfedit.errors import InvalidSelfEdit

Strategy = Literal["train_using_all_tokens", "train_using_output_tokens"]

# An object with generous white space is about 400 characters long.
LONGEST_OBJECT = 4000
MAX_EPOCHS = 1000  # as in TrainSettings; the run says how many steps are too many

_ANY_RATE = f"above 0, at most {MAX_LEARNING_RATE}"
_ANY_EPOCHS = f"from 1 to {MAX_EPOCHS}"
_UNBOUNDED = ArcBounds()

# A brace that begins an object, as opposed to one in prose.
_OBJECT = re.compile(r'\{[ \t\r\n]*+["}]')
_BEGUN = re.compile(r"[a-zA-Z0-9.+-]*\s*")  # the end of a text, perhaps with a half word or number
_TOO_LONG = f"the JSON object is longer than {LONGEST_OBJECT:,} characters"
_LONGEST_NUMBER = 20
_SHOWN = 40  # characters of the model's text in a reason


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class DataGeneration(_Part):
    """Groups of augmentations for the training set."""

    use_basic_augmentations: bool = Field(
        description="turned, mirrored, transposed and shifted grids, and grids joined with their "
        "mirror images"
    )
    use_size_augmentations: bool = Field(
        description="grids whose cells are doubled in height, in width, or in both"
    )
    use_chain_augmentations: bool = Field(
        description="grids that are first turned, mirrored or transposed and then doubled in size"
    )
    use_repeat_augmentations: bool = Field(
        description="grids repeated side by side, one below the other, or both"
    )


class Training(_Part):
    """How the adapter is trained on that set."""

    strategy: Strategy = Field(
        description="train_using_all_tokens (the loss counts every token) or "
        "train_using_output_tokens (it counts the output grids alone)"
    )
    learning_rate: float = Field(
        gt=0,
        le=MAX_LEARNING_RATE,
        allow_inf_nan=False,
        description=f"a number {_ANY_RATE}; small ones learn slowly, large ones break the model",
    )
    num_train_epochs: int = Field(
        ge=1,
        le=MAX_EPOCHS,
        description=f"a whole number {_ANY_EPOCHS}: how often the whole set is seen; too many "
        "steps in all are not trained and count as a failure",
    )


class ArcSelfEdit(_Part):
    """A valid self-edit. Numbers are JSON numbers (no strings, no booleans) and epochs are whole."""

    data_generation: DataGeneration
    training: Training

    @property
    def groups(self) -> tuple[ArcGroup, ...]:
        """The groups that are switched on, perhaps none."""
        chosen: dict[ArcGroup, bool] = {
            "basic": self.data_generation.use_basic_augmentations,
            "size": self.data_generation.use_size_augmentations,
            "chain": self.data_generation.use_chain_augmentations,
            "repeat": self.data_generation.use_repeat_augmentations,
        }
        return tuple(group for group, on in chosen.items() if on)

    @property
    def supervise(self) -> Literal["replies", "all"]:
        """As `TrainingSequence.supervise` takes it.

        On output tokens: those of every demonstration in the sequence, not of the last one alone. The
        outputs of a prompt's demonstrations are as right as the target's, and each is predicted from
        what stands before it, so one pass gives several lessons for the price of one.
        """
        return "all" if self.training.strategy == "train_using_all_tokens" else "replies"

    @property
    def learning_rate(self) -> float:
        return self.training.learning_rate

    @property
    def num_train_epochs(self) -> int:
        return self.training.num_train_epochs

    def text(self) -> str:
        """The object as JSON on one line; equal edits give equal texts."""
        return json.dumps(self.model_dump())


_NAMES = frozenset().union(*(part.model_fields for part in (ArcSelfEdit, DataGeneration, Training)))

_WITHOUT_VALUE = {
    "missing": "is missing",
    "extra_forbidden": "is not a key of a self-edit",
    "model_type": "is not an object",
}
_WRONG_VALUE = {
    "bool_type": ", not true or false",
    "literal_error": f", not {' or '.join(get_args(Strategy))}",
    "int_type": ", not a whole number",
    "float_type": ", not a number",
    "finite_number": ", too large for a number",
}

# The fixed configuration that the paper found best (arXiv 2506.10943, section 4.2).
ORACLE = ArcSelfEdit(
    data_generation=DataGeneration(
        use_basic_augmentations=True,
        use_size_augmentations=True,
        use_chain_augmentations=True,
        use_repeat_augmentations=True,
    ),
    training=Training(strategy="train_using_output_tokens", learning_rate=1e-4, num_train_epochs=2),
)


_FORM = """{
  "data_generation": {
    "use_basic_augmentations": true or false,
    "use_size_augmentations": true or false,
    "use_chain_augmentations": true or false,
    "use_repeat_augmentations": true or false
  },
  "training": {
    "strategy": "train_using_all_tokens" or "train_using_output_tokens",
    "learning_rate": number,
    "num_train_epochs": whole number
  }
}"""
_BEGIN = (
    "You are about to be finetuned on one puzzle, so that you can solve it. In the puzzle, an unknown "
    "rule turns each input grid into its output grid. These are its demonstrations:"
)
_CHOICES = "\n".join(
    [
        "The training set is made of these demonstrations: each is held out once and predicted from "
        "the others. Choose how it is made larger and how you are trained on it. Choose what fits the "
        "rule that you see: an augmentation helps where the rule still holds for the changed grids.",
        *(
            f"- {name}: {field.description}"
            for part in (DataGeneration, Training)
            for name, field in part.model_fields.items()
        ),
    ]
)
_ANSWER = f"Answer with one JSON object of this form and nothing else:\n{_FORM}"
_SHORT = "Choose the settings with which a model learns this puzzle."


def parse_self_edit(text: str, bounds: ArcBounds = _UNBOUNDED) -> ArcSelfEdit:
    """The self-edit in a model's reply. Time is linear in the text's length.

    Raises InvalidSelfEdit with a short reason: no object, several, one that is cut off, too long, no
    JSON, has a key twice, too few or too many keys, or a value of another type or out of bounds.
    """
    try:
        edit = ArcSelfEdit.model_validate(_only_object(text))
    except ValidationError as error:
        raise InvalidSelfEdit(_reason(error)) from None
    if bounds.rate_bounds is not None:
        check(edit.learning_rate, "training.learning_rate", *bounds.rate_bounds)
    if bounds.epoch_bounds is not None:
        check(edit.num_train_epochs, "training.num_train_epochs", *bounds.epoch_bounds)
    return edit


def instruction(
    examples: Sequence[Example],
    form: GridFormat = "rows",
    short: bool = False,
    example: bool = True,
    bounds: ArcBounds = _UNBOUNDED,
) -> str:
    """The prompt for a self-edit: the task's demonstrations, the choices, the form of the answer.

    short: without the meaning of the choices, for models so small that more words confuse them.
    example: whether a short one shows one. Left out where only valid edits are sampled, so that there
    is nothing to copy (docs/log.md, 2026-11-27).
    """
    shown = demonstrations(examples, form)
    if short and example:
        return f"{shown}\n\n{_SHORT} {_like(bounds)}"
    answer = _within(_ANSWER, bounds)
    if short:
        return f"{shown}\n\n{_SHORT} {answer}"
    return f"{_BEGIN}\n\n{shown}\n\n{_within(_CHOICES, bounds)}\n\n{answer}"


def _within(text: str, bounds: ArcBounds) -> str:
    """The choices, or the form of the answer, with the bounds that are set."""
    if bounds.rate_bounds is not None:
        said = in_words(*bounds.rate_bounds)
        text = text.replace(_ANY_RATE, said).replace(": number", f": number {said}")
    if bounds.epoch_bounds is not None:
        said = in_words(*bounds.epoch_bounds)
        text = text.replace(_ANY_EPOCHS, said).replace(": whole number", f": whole number {said}")
    return text


def _like(bounds: ArcBounds) -> str:
    """By one example, which is within the bounds."""
    training: dict[str, Any] = {}
    said = []
    if bounds.rate_bounds is not None:
        low, high = bounds.rate_bounds
        training["learning_rate"] = min(max(ORACLE.learning_rate, low), high)
        said.append(f"learning_rate {in_words(low, high)}")
    if bounds.epoch_bounds is not None:
        fewest, most = bounds.epoch_bounds
        training["num_train_epochs"] = min(max(ORACLE.num_train_epochs, fewest), most)
        said.append(f"num_train_epochs {in_words(fewest, most)}")
    shown = ORACLE.model_copy(update={"training": ORACLE.training.model_copy(update=training)})
    within = f" ({', '.join(said)})" if said else ""
    return (
        f"Answer with one JSON object like this one, with your own values{within}, and nothing else:\n"
        f"{shown.text()}"
    )


def _only_object(text: str) -> Any:
    first = _OBJECT.search(text)
    if first is None:
        braces = " with its names in double quotes" if "{" in text else ""
        raise InvalidSelfEdit(f"no JSON object{braces}")
    start = first.start()
    # No more than this is read, so neither the length nor the depth of what follows can do harm.
    window = text[start : start + LONGEST_OBJECT + 1]
    value, length = _decode(window, whole=start + len(window) == len(text))
    end = start + length
    if text[:start].rstrip().endswith(("[", "{")) or text[end:].lstrip().startswith(("]", "}")):
        raise InvalidSelfEdit("the JSON object stands inside another value")
    if _OBJECT.search(text, end):
        raise InvalidSelfEdit("more than one JSON object")
    return value


def _decode(window: str, whole: bool) -> tuple[Any, int]:
    """The value at the beginning of the text, and its length. whole: nothing follows the window."""
    try:
        value, length = _DECODER.raw_decode(window)
    except json.JSONDecodeError as error:
        ended = _BEGUN.fullmatch(window, error.pos) or error.msg.startswith("Unterminated")
        if not ended:
            reason = f"invalid JSON: {error.msg} at character {error.pos + 1} of the object"
            raise InvalidSelfEdit(reason) from None
        raise InvalidSelfEdit("the JSON object is cut off" if whole else _TOO_LONG) from None
    except RecursionError:
        raise InvalidSelfEdit("the JSON object is nested too deeply") from None
    if length > LONGEST_OBJECT:
        raise InvalidSelfEdit(_TOO_LONG)
    return value, length


def _distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise InvalidSelfEdit(f"the key {_shown(key)} comes twice")
        found[key] = value
    return found


def _whole_number(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise InvalidSelfEdit(f"a number has {len(digits)} digits")
    return int(digits)


def _no_constant(name: str) -> NoReturn:
    raise InvalidSelfEdit(f"{name} is no JSON number")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_distinct_keys, parse_int=_whole_number, parse_constant=_no_constant
)


def _reason(error: ValidationError) -> str:
    """The first thing that is wrong, in one line, quoting little of what the model wrote."""
    first = error.errors(include_url=False)[0]
    place = ".".join(part if part in _NAMES else _shown(part) for part in first["loc"])
    place = place or "the self-edit"
    if first["type"] in _WITHOUT_VALUE:
        return f"{place} {_WITHOUT_VALUE[first['type']]}"
    wrong = _WRONG_VALUE.get(first["type"]) or f"; {_lower(first['msg'])}"  # the bounds
    return f"{place} is {_shown(first['input'])}{wrong}"


def _shown(value: object) -> str:
    """A value as JSON in ASCII, cut where it is long."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
