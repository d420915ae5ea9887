"""What selfedit remembers: runs, trials, cached verdicts, adapters and their lineage."""

from selfedit.store.records import (
    AdapterRecord,
    AdapterStatus,
    Beat,
    LearnedDocument,
    LearnedPassage,
    RunRecord,
    RunStatus,
    document_values,
)
from selfedit.store.store import Store

__all__ = [
    "AdapterRecord",
    "AdapterStatus",
    "Beat",
    "LearnedDocument",
    "LearnedPassage",
    "RunRecord",
    "RunStatus",
    "Store",
    "document_values",
]
