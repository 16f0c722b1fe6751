"""What a relay writes for its operator: one JSON object to a line, without content, or names and addresses of
whoever uses it.

Owns: the form of a line. Must not know: what happens.
"""

import logging
from typing import Any

import msgspec

from quire.runtime.clock import wall_ms

#: Where the lines go: standard error, once `to_standard_error()` was called.
LOGGER = "quire.relay"
#: Events that somebody has to look after; all others are told for information.
_LEVELS = {
    **dict.fromkeys(
        ("store-unavailable", "prune-failed", "store-left", "certificate-unreadable"), logging.ERROR
    ),
    **dict.fromkeys(("setting-unknown", "setting-overridden", "store-new"), logging.WARNING),
}


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {"ts": wall_ms(), "level": record.levelname.lower()}
        told = getattr(record, "fields", None)
        fields |= told if told is not None else {"event": "library", "text": record.getMessage()}
        if record.exc_info and record.exc_info[1] is not None:
            fields["error"] = type(record.exc_info[1]).__name__
            fields["at"] = _place(record.exc_info[1])
        return msgspec.json.encode(fields).decode()


def log(event: str, **fields: Any) -> None:
    """Write a line: what happened, counts, a connection's number."""
    # Beside a node nobody has asked for such lines: what counts there goes to standard error as it is.
    text = f"relay: {fields['text']}" if "text" in fields else event
    logging.getLogger(LOGGER).log(
        _LEVELS.get(event, logging.INFO), "%s", text, extra={"fields": {"event": event, **fields}}
    )


def mistake(event: str, error: Exception, **fields: Any) -> None:
    """Write a line about an error that nobody foresaw: its kind and place; its text may hold what is secret."""
    told = {"event": event, **fields}
    logging.getLogger(LOGGER).error(event, exc_info=error, extra={"fields": told})


def to_standard_error() -> None:
    """Let lines go to standard error (for a process that is a relay and nothing else)."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines())
    logger = logging.getLogger(LOGGER)
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    library = logging.getLogger("asyncio")
    library.handlers, library.propagate = [handler], False


def _place(error: BaseException) -> str:
    """Where an error was raised: module and line, innermost."""
    place = error.__traceback__
    if place is None:
        return ""
    while place.tb_next is not None:
        place = place.tb_next
    return f"{place.tb_frame.f_globals.get('__name__', '')}:{place.tb_lineno}"
