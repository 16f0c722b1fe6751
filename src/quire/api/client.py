"""Calls a running node's API from this machine, with nothing but the standard library.

Owns: one request and its errors. Must not know: operations, terminals.
"""

import http.client
import json
from collections.abc import Mapping
from typing import Any

from quire.errors import HomeError, NotFound, QuireError, Refused, UserError

_KINDS: dict[int, type[QuireError]] = {
    400: UserError,
    403: Refused,
    404: NotFound,
    413: UserError,
    503: HomeError,
}


class NotRunning(QuireError):
    """No node answers at that address."""

    code = "not-running"


def call_node(
    api: str,
    token: str,
    name: str,
    params: Mapping[str, Any],
    identity: str | None = None,
    space: str | None = None,
) -> Any:
    """The result of operation `name` on the node at `api` (`host:port`).

    Raises NotRunning when nobody answers, and the error that the node gave otherwise. There is no limit on
    how long the node may take: a rebuild of a large home takes minutes.
    """
    body = json.dumps({**params, "as": identity, "space": space})
    host, _, port = api.rpartition(":")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port))
    try:
        connection.connect()
    except OSError as error:
        raise NotRunning(f"No node answers at {api} ({error}).") from None
    try:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request("POST", f"/api/{name}", body, headers)
        answer = connection.getresponse()
        return _result(answer.status, answer.read())
    except (OSError, http.client.HTTPException) as error:
        raise HomeError(f"The node at {api} went away before it answered ({error}).") from None
    finally:
        connection.close()


def _result(status: int, body: bytes) -> Any:
    try:
        answer = json.loads(body)
        if status == 200:
            return answer["result"]
        raise _KINDS.get(status, QuireError)(answer["message"])
    except (ValueError, KeyError, TypeError):
        raise QuireError(f"The node gave an answer that makes no sense (status {status}).") from None
