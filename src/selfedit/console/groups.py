"""Options as groups: a dataclass whose fields are options, passed to a command as one argument.

    @dataclass
    class Loading:
        model: Annotated[str, typer.Option("--model", "-m", help="...")] = "smollm2-135m"
        device: Annotated[str, typer.Option("--device", help="...")] = "auto"

    @app.command()
    @grouped
    def ask(question: str, loading: Loading) -> None: ...

The command gets every field as its own option, with help and default, in the order of the
parameters; the function gets the filled-in dataclass.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints


def grouped(function: Callable[..., None]) -> Callable[..., None]:
    """A command in which parameters that are dataclasses are replaced by their fields.

    Raises TypeError if two groups, or a group and a parameter, share a name.
    """
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name in groups:
            parameters += _options(groups[name])
        else:
            kind = inspect.Parameter.KEYWORD_ONLY
            parameters.append(parameter.replace(annotation=hints[name], kind=kind))
    names = [parameter.name for parameter in parameters]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TypeError(f"{function.__name__}: more than one option is called {', '.join(twice)}")

    @functools.wraps(function)
    def command(**given: Any) -> None:
        filled = {
            name: group(**{field.name: given.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        function(**given, **filled)

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del command.__wrapped__  # typer would look through it
    return command


def _options(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    # A class's own options first, then those of the groups that it is made of, in their order.
    order = [name for part in group.__mro__ for name in vars(part).get("__annotations__", {})]
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in sorted(fields(group), key=lambda field: order.index(field.name))
    ]
