"""Who may speak to the local API: this machine's own programs that know the home's token.

Owns: the checks made before any route: Host (against DNS rebinding), Origin (against other sites' pages),
the bearer token, and the headers that keep the page to itself. Must not know: operations.
"""

import hmac
import ipaddress
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: The page runs its own scripts and styles and speaks to its own node: nothing else, from nowhere else.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_BAD_HOST = (
    "This address is not one that this node answers to. Use its loopback address, as `quire up` prints it."
)
_BAD_ORIGIN = "Another site's page asked for this. Only this node's own page may."
_NO_TOKEN = "The bearer token is missing or wrong. Open the address that `quire up` prints."


class Guard:
    """ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp, token: str, allowed_hosts: Collection[str] = ()) -> None:
        """`allowed_hosts` are names or addresses, without port, beside the loopback ones."""
        self._app = app
        self._token = token.encode()
        self._allowed = frozenset(host.lower() for host in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            return failure(403, "bad-host", _BAD_HOST)
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in {
            f"{s}://{hosts[0].lower()}" for s in ("http", "https")
        }:
            return failure(403, "bad-origin", _BAD_ORIGIN)
        if scope["path"].startswith("/api/") and not self._knows_token(headers.get("authorization", "")):
            refusal = failure(401, "no-token", _NO_TOKEN)
            refusal.headers["WWW-Authenticate"] = "Bearer"
            return refusal
        return None

    def _is_ours(self, host: str) -> bool:
        name = host_name(host)
        return name in self._allowed or is_loopback(name)

    def _knows_token(self, authorization: str) -> bool:
        scheme, _, given = authorization.partition(" ")
        same = hmac.compare_digest(given.strip().encode(), self._token)
        return scheme.lower() == "bearer" and same


def failure(status: int, code: str, message: str) -> JSONResponse:
    """An error as the API gives it."""
    return JSONResponse({"error": code, "message": message}, status)


def host_name(host: str) -> str:
    """The name or address in `host[:port]`, lower case, without brackets."""
    host = host.lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def is_loopback(name: str) -> bool:
    """Whether a host name or address can only mean this machine."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
