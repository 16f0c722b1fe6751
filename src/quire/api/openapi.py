"""The API document (OpenAPI 3.1), made from the table of operations.

Owns: how an operation becomes a path. Must not know: how requests are answered.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from quire.api.operations import Entry

_TEMPLATE = "#/components/schemas/{name}"

#: Status → the error codes that come with it.
ERRORS = {
    "400": "The request cannot be done as asked; the message says what to change.",
    "401": "The bearer token is missing or wrong.",
    "403": "A rule forbids it, or the request comes from another site.",
    "404": "The named thing does not exist.",
    "413": "The request is too large.",
    "415": "The request is not application/json.",
    "503": "The home cannot be used now: disk full, locked, or damaged.",
}


class Failure(msgspec.Struct):
    """Why a request failed: `error` is a stable code for programs, `message` the text for people."""

    error: str
    message: str


_AS = {"type": ["string", "null"], "description": "Identity to act for (name or public key)."}
_SPACE = {"type": ["string", "null"], "description": "Space to act in (name or id)."}


def document(entries: Mapping[str, Entry], version: str) -> dict[str, Any]:
    """The OpenAPI document of all operations and of the event stream."""
    kinds = [kind for e in entries.values() for kind in (e.params, e.result)]
    schemas, components = msgspec.json.schema_components([*kinds, Failure], ref_template=_TEMPLATE)
    paths: dict[str, Any] = {}
    for place, found in enumerate(entries.values()):
        params = components[found.params.__name__]
        params["properties"] = {"as": _AS, "space": _SPACE, **params["properties"]}
        paths[f"/api/{found.name}"] = {"post": _operation(found, schemas[2 * place], schemas[2 * place + 1])}
    paths["/api/events"] = {"get": _stream()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Quire", "version": version, "description": "The local API of a Quire node."},
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": _failure_responses(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _operation(found: Entry, params: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    summary, _, rest = found.doc.partition("\n")
    answer = {"type": "object", "properties": {"result": result}, "required": ["result"]}
    return {
        "operationId": found.name,
        "summary": summary,
        "description": rest.strip(),
        "requestBody": {"required": True, "content": {"application/json": {"schema": params}}},
        "responses": {
            "200": {"description": "Done.", "content": {"application/json": {"schema": answer}}},
            **_failures(ERRORS),
        },
    }


def _failures(which: Iterable[str]) -> dict[str, Any]:
    return {status: {"$ref": f"#/components/responses/{status}"} for status in which}


def _failure_responses() -> dict[str, Any]:
    schema = {"$ref": _TEMPLATE.format(name=Failure.__name__)}
    return {
        status: {"description": text, "content": {"application/json": {"schema": schema}}}
        for status, text in ERRORS.items()
    }


def _stream() -> dict[str, Any]:
    names = {"as": _AS, "space": _SPACE}
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "query", "schema": {"type": "string"}, "description": about["description"]}
        for name, about in names.items()
    ]
    parameters.append(
        {
            "name": "cursor",
            "in": "query",
            "schema": {"type": "integer", "minimum": 0, "maximum": 2**53 - 1},
            "description": "Go on after this cursor; without it, with whatever arrives from now on. "
            "The header Last-Event-ID does the same.",
        }
    )
    return {
        "operationId": "events",
        "summary": "Events of one identity and space as they become valid (server-sent events).",
        "description": "Each `id:` is a cursor, and each `data:` a JSON object with `cursor`, `type`, "
        "`event_id`, `sender`, `ts` and, for messages, the fields of a message.",
        "parameters": parameters,
        "responses": {
            "200": {"description": "The stream.", "content": {"text/event-stream": {}}},
            **_failures(status for status in ERRORS if status not in ("413", "415")),
        },
    }
