"""Which domain a stored run belongs to: the one place that knows how earlier versions recorded it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from selfedit.domains import BUILT_IN
from selfedit.domains.evaluable import WORDS, Evaluable
from selfedit.store import RunRecord

# Kinds of run that were once a domain's own.
_FORMER_KINDS = {"eval-arc": "eval"}


def kind_of(run: RunRecord) -> str:
    """The run's kind, by its present name."""
    return _FORMER_KINDS.get(run.kind, run.kind)


def about(domain: Evaluable) -> dict[str, Any]:
    """What a run's inputs keep of its domain; a built-in one has its words at hand."""
    known = domain.name in BUILT_IN
    return {"domain": domain.name} if known else {"domain": domain.name, "words": domain.words()}


def domain_of(run: RunRecord) -> Evaluable:
    """The run's domain, with the settings that it had.

    A domain of the user's own gets the words that were stored with the run: what is stored never makes
    the user's code run.
    """
    inner: Mapping[str, Any] = run.settings.get("inner", run.settings)
    name = run.inputs.get("domain") or next((own for own in ("arc", "knowledge") if own in inner), "")
    if name == "arc":
        from selfedit.domains.arc.domain import Arc

        return Arc.of_settings(inner)
    if name == "knowledge":
        from selfedit.domains.knowledge.domain import Knowledge

        return Knowledge.of_settings(inner)
    words = {name: str(said) for name, said in run.inputs.get("words", {}).items()}
    kept = {field: words[field] for field in WORDS if field in words}
    return cast(type[Evaluable], type("Told", (Evaluable,), {**kept, "name": str(name or "custom")}))()
