"""Which domain a stored run is of: the one place that knows how earlier versions told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from selfedit.domains.evaluable import Evaluable
from selfedit.store import RunRecord

# Kinds of run that were a domain's own, and are not any more.
_FORMER_KINDS = {"eval-arc": "eval"}


def kind_of(run: RunRecord) -> str:
    """The run's kind, as it is called now."""
    return _FORMER_KINDS.get(run.kind, run.kind)


def domain_of(run: RunRecord) -> Evaluable:
    """The run's domain, with the settings that it had.

    A domain of the user's own is told in the words that any domain has: what was stored is never a
    reason to run the user's code.
    """
    inner: Mapping[str, Any] = run.settings.get("inner", run.settings)
    name = run.inputs.get("domain") or next((own for own in ("arc", "knowledge") if own in inner), "")
    if name == "arc":
        from selfedit.domains.arc.domain import Arc

        return Arc.of_settings(inner)
    if name == "knowledge":
        from selfedit.domains.knowledge.domain import Knowledge

        return Knowledge.of_settings(inner)
    return Evaluable()
