"""What selfedit remembers: runs, trials, cached verdicts, adapters and their lineage."""

from selfedit.store.records import AdapterRecord, AdapterStatus, RunRecord, RunStatus
from selfedit.store.store import Store

__all__ = ["AdapterRecord", "AdapterStatus", "RunRecord", "RunStatus", "Store"]
