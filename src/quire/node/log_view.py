"""A store's logs as peers are shown them: device keys and ids as bytes."""

from quire.core.encoding import from_text, to_text
from quire.limits import RUN_BYTES
from quire.store.logs import StoreLogs
from quire.sync.frontier import MARK_BYTES, NO_MARK, Blobs, Height, Want


class LogView:
    """See `quire.sync.frontier.Logs`."""

    def __init__(self, logs: StoreLogs) -> None:
        self._logs = logs

    def heights(self) -> list[Height]:
        """Of all members' logs held from their beginning, but for those with two histories."""
        return [
            Height(from_text(log.device), log.seq, _mark(log.event_id), log.born)
            for log in self._logs.heights()
        ]

    def run(self, want: Want) -> Blobs:
        """What is held of it, as much as goes into one answer; nothing where the history is another one."""
        device = to_text(want.device)
        if want.mark != NO_MARK and want.mark != _mark(self._logs.id_at(device, want.after)):
            return Blobs([], want.after, True)
        groups, reached = self._logs.part(device, want.after, want.until, RUN_BYTES)
        return Blobs(groups, reached, reached in (want.after, want.until))


def _mark(event_id: str) -> bytes:
    return from_text(event_id)[:MARK_BYTES] if event_id else NO_MARK
