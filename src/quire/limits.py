"""Every bound in one place. Each has a test that hits it.

Owns: sizes (bytes), counts and times (ms). Must not know: anything else.
"""

# Events (bytes of canonical JSON, nesting levels, integers as in RFC 8785 / I-JSON).
MAX_EVENT_BYTES = 65_536
MAX_EVENT_DEPTH = 16
MAX_INTEGER = 2**53 - 1
MAX_NAME_CHARS = 80
MAX_BODY_CHARS = 16_000

# Blobs: 24 bytes of nonce and 16 of tag around the event.
BLOB_OVERHEAD = 24 + 16
MAX_BLOB_BYTES = MAX_EVENT_BYTES + BLOB_OVERHEAD

# Ingest.
INGEST_BATCH = 2_000
#: How far ahead of our own clock a timestamp may be before the event is held (ms).
MAX_CLOCK_AHEAD_MS = 5 * 60_000
#: How far the wall clock may be set back before our own timestamps follow it, out of order (ms).
MAX_CLOCK_SET_BACK_MS = 60 * 60_000
#: Events one identity keeps waiting (per space) beyond which unsigned ones are dropped: they come again by sync.
MAX_BLOCKED = 100_000
#: Unsigned events kept open in memory until they are vouched for (more are opened again from the store).
MAX_DOUBTFUL_OPEN = 4_000
#: Rejections remembered for `quire status` (the newest ones; the counts never stop).
MAX_REJECTIONS_KEPT = 200
#: Damaged things that `quire verify` lists one by one (it counts them all).
MAX_DAMAGE_LISTED = 1_000

# Reads.
DEFAULT_PAGE = 50
MAX_PAGE = 1_000
MAX_SQL_ROWS = 10_000

# Search: documents indexed in one step off the hot path.
INDEX_STEP = 500

# Datagrams (bytes).
MAX_DATAGRAM = 1_200

# Invite links (characters).
MAX_LINK_CHARS = 4_096
MAX_ADDRESSES = 8

# Sync strategies (ids, messages and ranges; one strategy serves one peer).
#: One strategy message: what a datagram leaves after link (80), packet (25) and frame (3) headers.
MAX_SYNC_BYTES = 1_080
#: Ids that one Bloom filter describes, and its size and probes per id (0.06 % false positives).
FILTER_IDS = 480
FILTER_BITS_PER_ID = 16
FILTER_PROBES = 8
#: Ids read from the store at once while looking for what a peer lacks, and such reads per step.
SYNC_PAGE = 512
SYNC_PAGES_PER_STEP = 4
#: Such reads per second for one peer (131,072 ids), and the wait before looking on after a step found nothing.
SYNC_PAGES_PER_SECOND = 256
LOOK_AGAIN_MS = 1
#: Ranges waiting to be pushed to, or asked of, one peer; more are found again in a later round.
MAX_PUSH_JOBS = 256
#: How long what a peer said about a range is not replaced by what it says later (our pushes are under way),
#: and how long a filter may wait for its turn (ms).
FRESH_MS = 2_000
STALE_MS = 15_000
MAX_ASKS = 4_096
#: Questions to one peer per second, fewer while one side is pushing (the answers would be stale).
ASKS_PER_SECOND = 256
ASKS_WHILE_PUSHING = 16
#: Strategy messages of one peer that are looked at per second.
SYNC_RECEIVED_PER_SECOND = 1_024

# Sessions (one per space, local device and remote device).
MAX_SESSIONS = 256
#: First contacts tried per second (each costs a key agreement, 60 µs).
STRANGERS_PER_SECOND = 100
SESSION_IDLE_MS = 120_000
#: Counters remembered against replay, and how many of them an acknowledgement repeats.
REPLAY_WINDOW = 1_024
ACK_BITS = 256
ACK_DELAY_MS = 5
ACK_EVERY = 32
#: Greetings that datagrams of an unknown run may provoke: at most one in this time.
GREETING_GAP_MS = 50
#: Congestion window, in datagrams, and the datagrams built by one call.
FIRST_WINDOW = 16
MIN_WINDOW = 4
MAX_WINDOW = 1_024
SEND_BATCH = 64
#: Later acknowledged datagrams after which one is lost; retransmission timeouts (RFC 6298), and the
#: probes that ask for a lost acknowledgement before everything under way is taken for lost (RFC 9002 §6.2).
LOST_AFTER = 3
MAX_PROBES = 2
FIRST_RTT_MS = 200
MIN_TIMEOUT_MS = 200
MAX_TIMEOUT_MS = 3_000
PEER_BYTES_PER_SECOND = 32 * 1024 * 1024
#: Live event ids waiting for one peer, and ids not pushed again for a while (reconciliation repairs the rest).
MAX_EAGER = 10_000
MAX_RECENT = 65_536
MIN_RECENT_MS = 1_000
#: Ids taken from the queues at once.
PUSH_BATCH = 64
#: Strategy messages and other control frames waiting for one peer.
MAX_CONTROL = 512
#: Blobs received and not yet collected by the node (bytes); beyond it datagrams go unacknowledged.
MAX_UNCOLLECTED_BYTES = 8 * 1024 * 1024
#: Blobs too large for a datagram: bytes of one fragment, blobs under way, buffers, bytes and age of buffers.
FRAGMENT_BYTES = 1_036
MAX_FRAGMENTED = 8
MAX_REASSEMBLIES = 32
MAX_REASSEMBLY_BYTES = 2 * 1024 * 1024
REASSEMBLY_IDLE_MS = 60_000
#: Addresses in one frame, and characters of one `host:port`.
ADDRESSES_PER_FRAME = 11
MAX_ADDRESS_CHARS = 64
#: Heartbeats: soonest, out of sync or active, in sync, unreachable; and silence that means unreachable.
NUDGE_MS = 50
HEARTBEAT_GAP_MS = 200
HEARTBEAT_MS = 1_000
IDLE_HEARTBEAT_MS = 5_000
UNREACHABLE_HEARTBEAT_MS = 15_000
ACTIVE_MS = 5_000
SILENCE_MS = 20_000
#: Malformed frames of one peer per minute before it is ignored, and for how long.
MALFORMED_PER_MINUTE = 20
IGNORE_MS = 60_000

# Node (ms and counts).
#: How often handlers' jobs run.
TICK_MS = 1_000
#: How often peers that are not connected are dialled again at every address known.
REDIAL_MS = 10_000
#: Addresses remembered in a space by each identity, the latest reached first.
MAX_ADDRESSES_KEPT = 256
#: Event ids handed to a session at once.
ARRIVALS_PAGE = 1_000

# Local API.

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
#: Messages that one `sendMessages` writes.
MAX_BATCH = 10_000
