"""Options of the command line as settings, over the defaults or over a preset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from selfedit.config import merged
from selfedit.errors import InputError

if TYPE_CHECKING:
    from pydantic import ValidationError

    from selfedit.config import OuterSettings, Settings

_LONGEST = 100  # characters of a value in a message
# Options by the ends of their settings' paths, where they are not called as the last part is.
_NAMED = {
    "algorithm.name": "algorithm",
    "policy.train.batch_size": "policy-batch-size",
    "policy.train.epochs": "policy-epochs",
    "policy.train.learning_rate": "policy-learning-rate",
    "train.anchor.weight": "anchor",
}
_NONE: Mapping[str, str] = MappingProxyType({})
Outer = TypeVar("Outer", bound="OuterSettings")
Preset = TypeVar("Preset")
Values = TypeVar("Values", bound="Settings")


def changed(base: Values, given: dict[str, Any], named: Mapping[str, str] = _NONE) -> Values:
    """The settings with what was given. Raises InputError for a value out of bounds.

    named: the command's own options whose settings are called otherwise (`wrong_value`).
    """
    values = base.model_dump(mode="json")
    return checked(type(base), merged(values, with_alpha(values, given_only(given))), named)


def checked(kind: type[Values], values: dict[str, Any], named: Mapping[str, str] = _NONE) -> Values:
    """Settings with these values. Raises InputError for one out of bounds."""
    from pydantic import ValidationError

    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise wrong_value(error, named) from None


def given_by(options: object) -> dict[str, Any]:
    """What was given to a group of options, or to all the groups that its class is made of."""
    found: dict[str, Any] = {}
    for group in reversed(type(options).__mro__):
        if "given" in vars(group):
            found = merged(found, vars(group)["given"](options))
    return found


def preset_settings(
    presets: Mapping[str, Callable[[], Outer]],
    name: str | None,
    given: dict[str, Any],
    named: Mapping[str, str] = _NONE,
) -> Outer:
    """A preset (None: the first) with what was given on the command line.

    given: settings of the outer and of its inner loop together; a seed is for both. named: as for
    `changed`. Raises InputError.
    """
    preset = named_preset(presets, next(iter(presets)) if name is None else name)()
    chosen = given_only(given)
    own, inner = (
        {name: value for name, value in chosen.items() if name in type(part).model_fields}
        for part in (preset, preset.inner)
    )
    assert chosen.keys() == own.keys() | inner.keys(), "settings of neither loop"
    values = preset.model_dump(mode="json")
    trained = with_alpha(values["inner"], inner)
    return checked(type(preset), merged(values, {**own, "inner": trained}), named)


def named_preset(presets: Mapping[str, Preset], name: str) -> Preset:
    """A preset by its name. Raises InputError."""
    if name not in presets:
        raise InputError(f"--preset {name}: use one of {', '.join(presets)}.")
    return presets[name]


def given_only(given: dict[str, Any]) -> dict[str, Any]:
    """Without the options that were not given."""
    kept: dict[str, Any] = {}
    for name, value in given.items():
        chosen = given_only(value) if isinstance(value, dict) else value
        if chosen is not None and chosen != {}:
            kept[name] = chosen
    return kept


def with_alpha(base: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """What was given; a rank without an alpha keeps the base's alpha / rank."""
    lora = given.get("lora")
    if not isinstance(lora, dict) or "alpha" in lora or not isinstance(lora.get("rank"), int):
        return given
    alpha = base["lora"]["alpha"] / base["lora"]["rank"] * lora["rank"]
    return {**given, "lora": {**lora, "alpha": alpha}}


def wrong_value(error: ValidationError, named: Mapping[str, str] = _NONE) -> InputError:
    """A setting out of bounds, as the option that gave it; settings that do not go together have none.

    named: options that are not called as the setting is, by the ends of their paths.
    """
    first = error.errors()[0]
    said = first["msg"].removeprefix("Value error, ")
    path = [place for place in first["loc"] if isinstance(place, str)]  # others: places in a list
    given = first["input"]
    if not path or (isinstance(given, dict) and first["type"] == "value_error"):
        return InputError(said)
    if first["type"] == "missing" and path[-1] != first["loc"][-1]:
        said = "another value is missing behind it, after a comma"
    text = ",".join(map(str, given)) if isinstance(given, list | tuple) else repr(given)
    shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return InputError(f"--{_option(path, {**_NAMED, **named})} {shown}: {said}")


def _option(path: list[str], named: Mapping[str, str]) -> str:
    """The option of a setting: by the longest end of its path that has a name, else the last part."""
    ends = (".".join(path[at:]) for at in range(len(path)))
    return next((named[end] for end in ends if end in named), path[-1].replace("_", "-"))
