"""--grader: who grades the answers of a run; the endpoints of a judge and of a writer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from selfedit.console.settings import given_only
from selfedit.errors import InputError

if TYPE_CHECKING:
    from selfedit.config import EndpointSettings, JudgeSettings
    from selfedit.grading import Grader
    from selfedit.store import Store

Endpoint = TypeVar("Endpoint", bound="EndpointSettings")


def named_grader(name: str, judge: Callable[[], JudgeSettings], store: Store) -> Grader:
    """A grader by its name. A judge is checked (package, key) before any work, and its verdicts are
    kept in the store. Raises InputError for an unknown name."""
    from selfedit.grading import GRADERS

    if name == "judge":
        from selfedit.endpoints.judge import Judge

        chosen = Judge(judge(), store)
        chosen.check()
        return chosen
    if name not in GRADERS:
        raise InputError(f"--grader {name}: use one of {', '.join(GRADERS)} or judge.")
    return GRADERS[name]


def endpoint_settings(kind: type[Endpoint], role: str, model: str | None, url: str | None) -> Endpoint:
    """Settings of the judge or the writer. Raises InputError for an unusable name or address,
    without repeating it: it may be a misplaced key."""
    from pydantic import ValidationError

    try:
        return kind.model_validate(given_only({"model": model, "base_url": url}))
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        option = "model" if first["loc"] == ("model",) else "url"
        said = first["msg"].removeprefix("Value error, ")
        raise InputError(f"--{role}-{option}: {said}") from None
