"""What /metrics tells Prometheus."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from selfedit.serve.service import Service

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics(Collector):
    """Counters of one server. No label holds a prompt, a document or a key."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.registry = CollectorRegistry()
        self.registry.register(self)
        own = self.registry
        self.requests = Counter(
            "selfedit_requests", "Requests by route and status.", ["route", "status"], registry=own
        )
        self.seconds = Histogram(
            "selfedit_request_seconds", "Time of a request.", ["route"], buckets=_SECONDS, registry=own
        )
        self.prompt_tokens = Counter("selfedit_prompt_tokens", "Tokens of prompts.", registry=own)
        self.new_tokens = Counter("selfedit_new_tokens", "Tokens that were written.", registry=own)
        self.first_token = Histogram(
            "selfedit_first_token_seconds",
            "Time to the first token of an answer.",
            buckets=_SECONDS,
            registry=own,
        )

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """What is so at this moment."""
        running, waiting = self._service.engine.load
        yield _gauge("rows_running", "Texts that are being written.", running)
        yield _gauge("rows_waiting", "Texts that wait for a place.", waiting)
        jobs = [job.status for job in self._service.jobs.list()]
        yield _gauge("jobs_queued", "Jobs that wait.", jobs.count("queued"))
        yield _gauge("jobs_running", "Jobs that run.", jobs.count("running"))
        current = self._service.library.current()
        version = current.version if current is not None else 0
        yield _gauge("current_version", "The version that answers; 0: the bare model.", version)

    def text(self) -> bytes:
        return generate_latest(self.registry)


def _gauge(name: str, help_: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"selfedit_{name}", help_, value=value)
