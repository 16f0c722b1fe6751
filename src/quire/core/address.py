"""Network addresses as text (`host:port`, IPv6 in brackets) and as `(host, port)`."""

from ipaddress import ip_address

from quire.errors import UserError

HostPort = tuple[str, int]


def parse_address(text: str) -> HostPort:
    """`host:port` with a numeric host (or `localhost`). Raises UserError in plain words."""
    # `ip_address` takes anything after a `%`, and a socket raises what is no OSError for some of it.
    host, _, port = text.rpartition(":") if text.isascii() and text.isprintable() else ("", "", "")
    bracketed = host.startswith("[") and host.endswith("]")
    host = "127.0.0.1" if host == "localhost" else host[1:-1] if bracketed else host
    try:
        if bracketed != (ip_address(host).version == 6):
            raise ValueError("an IPv6 host stands in brackets, and no other")
        number = int(port) if port.isdigit() else -1
    except ValueError:
        number = -1
    if not 0 <= number <= 65_535:
        raise UserError(f"{text!r} is no address: one is an IP address and a port, like 127.0.0.1:7700.")
    return host, number


def format_address(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 host."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
