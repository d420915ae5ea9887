"""The base of a domain: what is asked of it beside `seams.Domain`, with defaults."""

from __future__ import annotations

from selfedit.domains.evaluable import Evaluable
from selfedit.seams import Domain


class BaseDomain(Evaluable, Domain):
    """Base of every domain."""
