"""Options of the command line as settings, over the defaults or over a preset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from selfedit.config import merged
from selfedit.errors import InputError

if TYPE_CHECKING:
    from pydantic import ValidationError

    from selfedit.config import OuterSettings, Settings

_LONGEST = 100  # characters of a value in a message
Outer = TypeVar("Outer", bound="OuterSettings")
Preset = TypeVar("Preset")
Values = TypeVar("Values", bound="Settings")


def changed(base: Values, given: dict[str, Any]) -> Values:
    """The settings with what was given. Raises InputError for a value out of bounds."""
    values = base.model_dump(mode="json")
    return checked(type(base), merged(values, with_alpha(values, given_only(given))))


def checked(kind: type[Values], values: dict[str, Any]) -> Values:
    """Settings with these values. Raises InputError for one out of bounds."""
    from pydantic import ValidationError

    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise wrong_value(error) from None


def given_by(options: object) -> dict[str, Any]:
    """What was given to a group of options, or to all the groups that its class is made of."""
    found: dict[str, Any] = {}
    for group in reversed(type(options).__mro__):
        if "given" in vars(group):
            found = merged(found, vars(group)["given"](options))
    return found


def preset_settings(
    presets: Mapping[str, Callable[[], Outer]], name: str | None, given: dict[str, Any]
) -> Outer:
    """A preset (None: the first) with what was given on the command line.

    given: settings of the outer and of its inner loop together; a seed is for both. Raises InputError.
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
    return checked(type(preset), merged(values, {**own, "inner": trained}))


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


def wrong_value(error: ValidationError) -> InputError:
    """A setting out of bounds, as the option that gave it."""
    first = error.errors()[0]
    named = [place for place in first["loc"] if isinstance(place, str)]  # others: places in a list
    name = named[-1].replace("_", "-") if named else "settings"
    given = repr(first["input"])
    shown = given if len(given) <= _LONGEST else f"{given[:_LONGEST]}…"
    return InputError(f"--{name} {shown}: {first['msg']}")
