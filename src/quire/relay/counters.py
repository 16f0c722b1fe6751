"""What a relay counts, for Prometheus: never who or what.

Owns: names of metrics and their registry. Must not know: connections, stores, HTTP.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from quire.relay.log_store import Usage

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Counters:
    """The metrics of one relay process, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"quire_relay_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"quire_relay_{name}", text, registry=registry)

        self.connections = gauge("connections", "Connections open now.")
        self.mailboxes = gauge("open_mailboxes", "Mailboxes that somebody has open now.")
        self.connected = counter("connections_made", "Connections since the start.")
        self.dropped = counter("connections_dropped", "Connections that the relay ended, by why.", "why")
        self.received = counter("received", "Messages of clients, by kind.", "kind")
        self.received_bytes = counter("received_bytes", "Bytes of messages of clients.")
        self.kept = counter("records_kept", "Records that were kept.")
        self.kept_bytes = counter("records_kept_bytes", "Bytes of records that were kept.")
        self.given = counter("records_given", "Entries that were sent.")
        self.sent_bytes = counter("sent_bytes", "Bytes of messages to clients.")
        self.refused = counter("refusals", "Messages that were not acted on, by why.", "reason")
        self.pruned = counter("records_pruned", "Records removed by retention.")
        self.unavailable = counter("store_unavailable", "Times that the store could not do it.")
        self.available = gauge("store_available", "Whether the store can be read and written: 1 or 0.")
        self.available.set(1)
        self.append_seconds = Histogram(
            "quire_relay_append_seconds", "Time of an append.", buckets=_SECONDS, registry=registry
        )
        self._held = {
            "mailboxes": gauge("held_mailboxes", "Mailboxes that the store holds."),
            "records": gauge("held_records", "Records that the store holds."),
            "size": gauge("held_bytes", "Bytes of records that the store holds."),
            "disk": gauge("disk_bytes", "Bytes on disk."),
        }

    def held(self, usage: Usage) -> None:
        """What the store holds."""
        for name, value in usage._asdict().items():
            self._held[name].set(value)

    def text(self) -> bytes:
        """All of them in Prometheus's text format."""
        return generate_latest(self.registry)
