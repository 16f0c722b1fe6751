"""The bounds of the local API, in one place.

Owns: sizes (bytes), counts and times. Must not know: anything else.
"""

#: Bytes of one request's body.
MAX_REQUEST_BYTES = 4 * 1024 * 1024
#: Open streams of `/api/events` at once.
MAX_SUBSCRIBERS = 64
#: Arrivals read at once for one subscriber.
SUBSCRIBER_PAGE = 200
#: Seconds of silence on an event stream after which a comment is sent, so that a dead one is noticed.
STREAM_HEARTBEAT_S = 15.0
#: Seconds that one `quire sql` statement may take.
MAX_SQL_S = 20.0
#: Forks that one status answer names.
MAX_FORKS_SHOWN = 100
#: Bytes of text and blobs in one SQL answer, and in one value of it.
MAX_SQL_BYTES = 32 * 1024 * 1024
MAX_SQL_VALUE_BYTES = 8 * 1024 * 1024
