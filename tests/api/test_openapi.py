from pathlib import Path
from typing import Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from quire.api.openapi import document
from quire.api.operations import OPERATIONS
from quire.api.server import make_app
from tests.api.hosts import FakeHost
from tests.api.test_server import TOKEN

CHECKS = [
    not_a_server_error,
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
]


def test_every_operation_has_its_path_schema_and_words() -> None:
    told = document(OPERATIONS, "1")
    assert told["openapi"] == "3.1.0"
    for name, found in OPERATIONS.items():
        post = told["paths"][f"/api/{name}"]["post"]
        assert post["summary"]
        schema = told["components"]["schemas"][
            post["requestBody"]["content"]["application/json"]["schema"]["$ref"].split("/")[-1]
        ]
        assert set(schema["properties"]) == {"as", "space", *(p.name for p in found.parameters)}
        assert schema["additionalProperties"] is False
    assert set(told["paths"]) == {"/api/events", *(f"/api/{name}" for name in OPERATIONS)}
    assert msgspec.json.encode(told)


@pytest.mark.slow
def test_the_document_is_what_the_node_does(tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    host.ask("createIdentity", name="alice")
    host.ask("createSpace", name="garden")
    schema = schemathesis.openapi.from_asgi(
        "/openapi.json", make_app(host, TOKEN), headers={"Host": "localhost"}
    )
    headers = {"Authorization": f"Bearer {TOKEN}", "Host": "localhost"}
    for result in schema.exclude(path="/api/events").get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()

        @settings(
            max_examples=12,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @_given(operation)  # type: ignore[untyped-decorator]
        def check(case: Any) -> None:
            case.call_and_validate(headers=headers, checks=CHECKS)

        check()
    host.home.close()


def _given(operation: Any) -> Any:
    from hypothesis import given

    return given(case=operation.as_strategy())
