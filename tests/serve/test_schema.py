"""No request, of the schema's form or not, makes the server fail inside."""

from __future__ import annotations

import os
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable

from selfedit.model.fake import FakeModel
from selfedit.serve.app import create_app
from selfedit.serve.service import Service
from selfedit.serve.settings import ServeSettings

schemathesis = pytest.importorskip("schemathesis", reason="its requests are the test")
HOST = {"host": "127.0.0.1"}
# Of each operation and kind; more with SELFEDIT_SCHEMA_EXAMPLES.
EXAMPLES = int(os.environ.get("SELFEDIT_SCHEMA_EXAMPLES", "4"))


@pytest.fixture
def app(tmp_path):
    service = Service(FakeModel(), tmp_path / "lib", ServeSettings(max_tokens=64))
    for kind in service.jobs.kinds:  # what a job does is not the question here
        service.jobs.kinds[kind] = lambda job, events: {}
    service.start()
    yield create_app(service)
    service.close()


def test_no_request_is_answered_with_an_internal_error(app):
    from schemathesis import GenerationMode
    from schemathesis.checks import not_a_server_error

    schema = schemathesis.openapi.from_asgi("/openapi.json", app, headers=HOST)
    seen = set()
    for found in schema.get_all_operations():
        operation = found.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
                derandomize=True,
                database=None,
            )
            def ask(case):
                reply = case.call_and_validate(checks=[not_a_server_error], headers=HOST)
                seen.add((case.path, reply.status_code))

            with suppress(Unsatisfiable):  # an operation without parameters has no wrong ones
                ask()
    assert len({path for path, _ in seen}) > 20
    assert {200, 404, 422} <= {status for _, status in seen}
