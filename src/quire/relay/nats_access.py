"""How a relay shows itself to NATS servers, and which servers it believes: files, so that no secret stands in an
address, an option, a log or an error.

Owns: what these files hold. Must not know: NATS's library, connections.
"""

import ssl
from pathlib import Path
from typing import NamedTuple

from quire.errors import UserError


class NatsAccess(NamedTuple):
    """`credentials`: the file of `user:password` or of a token; `authority`: the file (PEM) of who vouches for the
    servers' certificates, where the system does not know it. "" for none.
    """

    credentials: str = ""
    authority: str = ""


class Credentials(NamedTuple):
    """Either a user with a password, or a token; "" for what is not there."""

    user: str = ""
    password: str = ""
    token: str = ""


def read_credentials(access: NatsAccess) -> Credentials:
    """What the file holds now: its first line. Raises UserError where it cannot be had, or holds nothing."""
    if not access.credentials:
        return Credentials()
    try:
        text = Path(access.credentials).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise UserError(f"The NATS credentials in {access.credentials} cannot be read: {why}.") from None
    line = text.strip().partition("\n")[0].strip()
    user, colon, password = line.partition(":")
    if not user or (colon and not password):
        raise UserError(
            f"{access.credentials} holds no NATS credentials: its first line is `user:password` or a token."
        )
    return Credentials(user, password) if colon else Credentials(token=line)


def tls_context(access: NatsAccess) -> ssl.SSLContext:
    """What servers are held to over TLS. Raises UserError where the authority's file is none."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if access.authority:
        try:
            context.load_verify_locations(Path(access.authority).expanduser())
        except ssl.SSLError:
            raise UserError(f"{access.authority} holds no certificate in PEM.") from None
        except OSError as error:
            raise UserError(f"The certificate {access.authority} cannot be read: {error.strerror}.") from None
    return context
