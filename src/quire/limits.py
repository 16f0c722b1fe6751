"""Every bound in one place. Each has a test that hits it.

Owns: sizes (bytes), counts and times (ms). Must not know: anything else.
"""

# Events (bytes of canonical JSON, nesting levels, integers as in RFC 8785 / I-JSON).
MAX_EVENT_BYTES = 65_536
MAX_EVENT_DEPTH = 16
MAX_INTEGER = 2**53 - 1
#: Places in each part of a log: who may have lost the end of its own goes on in the next part.
LOG_PART = 2**32
MAX_NAME_CHARS = 80
MAX_BODY_CHARS = 16_000
#: Audiences that one body is sealed to, and the bytes that a shorter one is padded to.
MAX_BODY_KEYS = 8
MIN_SEALED_BODY = 256
#: Messages of a channel that are looked at, from the newest, to count those not read.
MAX_UNREAD = 200

# Blobs: 24 bytes of nonce and 16 of tag around the event.
BLOB_OVERHEAD = 24 + 16
MAX_BLOB_BYTES = MAX_EVENT_BYTES + BLOB_OVERHEAD

# Ingest.
INGEST_BATCH = 2_000
#: Events that came one by one and are kept at hand with their bytes, for every peer is sent them: a short burst.
EVENTS_AT_HAND = 16
#: How far ahead of our own clock a timestamp may be before the event is held (ms).
MAX_CLOCK_AHEAD_MS = 5 * 60_000
#: Own events that get one timestamp: more would make milliseconds that are dear to read page by page.
MAX_AT_ONE_TIME = 2_000
#: How far the wall clock may be set back before our own timestamps follow it, out of order (ms).
MAX_CLOCK_SET_BACK_MS = 60 * 60_000
#: Unsigned events one identity keeps waiting (per space), and genuine ones: the rest comes again by sync.
MAX_BLOCKED = 100_000
#: Blobs one identity keeps (per space) that are sealed under a key it does not hold yet.
MAX_LOCKED = 20_000
#: Events of the membership graph that a new one says it builds on.
MAX_PARENTS = 32
#: Devices that one event wraps a key to (113 bytes each); more take several events.
KEY_BOXES = 400
#: Keys that a new one names as those before it, and those that it hands on (150 bytes each): the next ones the others.
KEYS_NAMED = 32
KEYS_HANDED_ON = 100
#: Devices of one member that a change says how far their logs count (111 bytes each), the longest known ones.
MAX_MARKS = 400
#: Keys of removed people that are handed on all the same, since others may have written under them.
MAX_VOID_KEYS = 8
#: How long the most senior member waits before handing on a key that another one made (ms).
HEAL_MS = 5_000
#: How long a device waits for a new key that it was not given, before it makes one itself (ms).
KEY_WAIT_MS = 60_000
#: Unsigned events kept open in memory until they are vouched for (more are opened again from the store).
MAX_DOUBTFUL_OPEN = 4_000
#: Rejections remembered for `quire status` (the newest ones; the counts never stop).
MAX_REJECTIONS_KEPT = 200
#: Damaged things that `quire verify` lists one by one (it counts them all).
MAX_DAMAGE_LISTED = 1_000

# Membership: verdicts kept for when removals make look at nodes again (each of as many bits as the graph has nodes).
MAX_VERDICTS_REMEMBERED = 20_000
#: Events of rewritten logs that are kept in mind as leading to an end that a removal named (16 bytes each).
MAX_PATH_EVENTS = 1_000_000
#: How often removals are weighed anew because somebody found no seat; after that seats go by date alone.
MAX_SEAT_ROUNDS = 4

#: Events whose ids are not sorted into their index yet, before that is done within the batch that brings more.
IDS_BEHIND = 65_536

# Reads.
DEFAULT_PAGE = 50
MAX_PAGE = 1_000
MAX_SQL_ROWS = 10_000

# Search: documents indexed in one step off the hot path.
INDEX_STEP = 500

# Datagrams (bytes).
MAX_DATAGRAM = 1_200

# Invite links (characters), and the longest that still makes a QR code which scans well.
MAX_LINK_CHARS = 4_096
MAX_ADDRESSES = 8
MAX_QR_CHARS = 1_400
#: Other members' devices in a link, beside the inviter's.
MAX_TICKET_OTHERS = 3
#: Relays in a link.
MAX_TICKET_RELAYS = 2

#: People one invite lets in, and days that it holds.
MAX_INVITE_USES = 10_000
MAX_INVITE_DAYS = 366
#: Requests by one invite that members pass on for confirmation.
MAX_REQUESTS = 100

# Keys.
#: Characters of a recovery phrase as typed: 24 words of at most 8 letters, with numbers, line breaks and spaces.
MAX_PHRASE_CHARS = 2_000
#: Links of a chain of certificates from an identity's root to a device (each costs two key operations, 100 µs).
MAX_CHAIN = 8
#: Public keys that one call wraps a secret to, and bytes of a message sealed to one.
MAX_RECIPIENTS = 4_096
MAX_SEALED_BYTES = 65_536

# Devices of one identity.
#: How long a link for a further device holds, and how often its two sides speak while they wait (ms).
PAIRING_MS = 10 * 60_000
PAIRING_GAP_MS = 2_000
#: How often devices of one identity that are connected tell each other which spaces they have, unasked (ms), how
#: many spaces one letter tells (8 bytes each), and how many one answer hands on.
SIBLINGS_GAP_MS = 15_000
SPACES_TOLD = 120
SPACES_HANDED = 8
#: Addresses handed on with one space.
ADDRESSES_HANDED = 4
#: Events that a device which is being recovered is told to build on.
RECOVERY_PARENTS = 12

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
#: Ids of milliseconds with more than one page, kept in memory (32 bytes each); more still are read for each page.
MAX_CROWD_IDS = 500_000
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
#: Own buckets that one message of a peer is compared with: all fine ones of a coarse one.
BUCKETS_COMPARED = 256
#: Sketches to one peer per second, and those of one peer that are read: two of its seconds may end within one of ours.
#: Rounds of them in which two stores are to become equal, before none are tried for so long (ms).
SKETCHES_PER_SECOND = 64
SKETCHES_READ_PER_SECOND = 2 * SKETCHES_PER_SECOND
SKETCH_ROUNDS = 8
FAR_MS = 5_000
#: While events go over a path questions take one part in so many of what it carries, but so many a second in any case;
#: and the longest that a round of them is thought to be on its way (ms). Who gives nothing is asked so many, and later
#: one a second.
ASKS_PART, ASKS_WHILE_MOVING = 4, 2
ASKS_IN_VAIN, ASKS_IN_VAIN_PER_SECOND = 64, 1
MAX_ROUND_MS = 3_000
#: Strategy messages of one peer that are looked at per second.
SYNC_RECEIVED_PER_SECOND = 1_024

# Sessions (one per space, local device and remote device).
MAX_SESSIONS = 256
#: Of these for devices that are not known to be members, and how long one keeps its place while others knock.
MAX_UNKNOWN_SESSIONS = 32
UNKNOWN_TERM_MS = 60_000
#: How long one that we dial in vain keeps its place while there are more to dial.
DIALLED_TERM_MS = 5 * 60_000
#: Bytes of events taken from one of them; its strategy messages looked at per second, and bytes sent to it per
#: second (questions and acknowledgements).
MAX_UNKNOWN_BYTES = 8 * 1024 * 1024
UNKNOWN_SYNC_PER_SECOND = 64
UNKNOWN_BYTES_PER_SECOND = 64 * 1024
#: Changes of mind about us that a peer is listened to in a minute (each costs the node a round of addresses).
MIND_CHANGES_PER_MINUTE = 10
#: Answers to a removed device: at most one in this time (ms), so many per second to all of them together, and devices
#: remembered for it.
REFUSED_GAP_MS = 5_000
REFUSALS_PER_SECOND = 16
MAX_REFUSALS_KEPT = 1_024
#: First contacts tried per second (each costs a key agreement, 60 µs), of members, removed and unknown devices each,
#: and streams that members open. Links kept of members, and of removed devices (1 KiB each): they need no other one.
STRANGERS_PER_SECOND = 100
MAX_LINKS_KEPT = 2_048
SESSION_IDLE_MS = 120_000
#: How long a session rests in which something failed.
SESSION_REST_MS = 1_000
#: Counters remembered against replay, and how many of them an acknowledgement repeats. It is sent this soon (ms), or
#: after so many datagrams; after fewer where some of the latest did not come, as acknowledgements may be lost there.
REPLAY_WINDOW = 1_024
ACK_BITS = 256
ACK_DELAY_MS = 5
ACK_EVERY = 32
ACK_EVERY_OF_HOLES = 8
#: Greetings to a host that has not answered yet, in so long (ms), and hosts remembered for it.
HAILS_PER_HOST = 32
HAILS_PERIOD_MS = 10_000
MAX_HOSTS = 2_048
#: Greetings that datagrams of an unknown run may provoke: at most one in this time.
GREETING_GAP_MS = 50
#: How far a counter leaps that nobody is to guess (bytes of a random number), and up to where: it has 8 bytes itself,
#: and whoever would use them up has to send 2**30 packets first.
LEAP_BYTES = 4
LEAPS_UNTIL = 2**62
#: Congestion window, in datagrams, and the datagrams built by one call.
FIRST_WINDOW = 16
MIN_WINDOW = 4
MAX_WINDOW = 1_024
SEND_BATCH = 64
#: A round trip that takes longer than so much of the shortest, and so many ms, waited in a queue. How much later than
#: others one may be that is not lost (ms), or a round trip where that takes longer.
QUEUE_PERCENT = 125
QUEUE_SLACK_MS = 10
MAX_REORDERING_MS = 100
#: Retransmission timeouts (RFC 6298), and the probes that ask for a lost acknowledgement before everything under way is
#: taken for lost (RFC 9002 §6.2).
MAX_PROBES = 4
FIRST_RTT_MS = 200
MIN_TIMEOUT_MS = 200
MAX_TIMEOUT_MS = 3_000
PEER_BYTES_PER_SECOND = 32 * 1024 * 1024
#: Live event ids waiting for one peer, and ids not pushed again for a while (reconciliation repairs the rest).
MAX_EAGER = 10_000
MAX_RECENT = 65_536
MIN_RECENT_MS = 1_000
#: Each time that an id is pushed in vain (the peer cannot open it, say) it rests for twice as long, up to this (ms);
#: it is forgotten how often that was after so many times as long.
MAX_RECENT_MS = 120_000
RECENT_KEPT = 3
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
#: Letters: bytes of one (left at a relay, sealed, it is within MAX_LEFT_BYTES; beyond FRAGMENT_BYTES it goes in parts),
#: and letters of one peer whose parts are put together at once.
MAX_LETTER_BYTES = 3_072
MAX_LETTERS_IN_PARTS = 4
#: Those waiting for one peer, and those taken from it per minute, parts counting as letters. We send half as many, so
#: that minutes that begin at different times agree.
MAX_LETTERS_WAITING = 32
LETTERS_PER_MINUTE = 120
#: Malformed frames of one peer per minute before it is ignored, and for how long.
MALFORMED_PER_MINUTE = 20
IGNORE_MS = 60_000

# Streams (TCP; sizes in bytes, times in ms).
#: Streams at once, and those of them that have not yet proven who they are.
MAX_STREAMS = 64
MAX_GREETING_STREAMS = 16
#: How long a stream may take to prove itself, and how long one may say nothing.
STREAM_GREETING_MS = 10_000
STREAM_IDLE_MS = 10_000
#: The slowest that answers may go out, and for how much of them a reader that says nothing is waited for at most.
STREAM_SLOW_BYTES_PER_MS = 16
STREAM_SLOW_MS = 60_000
#: The largest frame, and what is written at once while the other side keeps up.
MAX_STREAM_FRAME = 1024 * 1024
STREAM_WRITE = 256 * 1024
#: Parts of logs whose heights one side tells, and those in one frame.
MAX_HEIGHTS = 20_000
#: Parts of one log that are told of; what is in more comes in other ways.
MAX_LOG_PARTS = 64
HEIGHTS_PER_FRAME = 1_000
#: Events that one question asks for, questions to one peer that are under way, and events that they ask for.
RUN_EVENTS = 2_000
MAX_WANTS = 64
WANTED_EVENTS = 8_000
#: Answers in a row that were none, or brought nothing new, after which a stream is given up.
MAX_POOR_ANSWERS = 8
#: Bytes of blobs in one frame of a run.
RUN_BYTES = 896 * 1024
#: Events that a peer must hold more than we do for a stream to be worth it, how long whoever holds more waits for
#: the other to open one, and how long none is opened after one that failed or brought nothing: twice as long each
#: time, up to the second figure.
FAR_EVENTS = 2_000
#: Logs that are told of in as many bytes as two sketches take: with no more of them, whatever differs when a session
#: begins is left to a stream.
FEW_LOGS = 40
STREAM_TURN_MS = 2_000
STREAM_RETRY_MS = 1_000
MAX_STREAM_RETRY_MS = 60_000
#: Up to how long a peer is not asked over a stream whose answers brought nothing new: who lacks a key would take the
#: same in again each time.
MAX_STREAM_REST_MS = 30 * 60_000

# Relays (bytes, counts, ms).
#: One message, the records in it, and one record: a bundle of sealed events, or one event of the largest size.
MAX_RELAY_MESSAGE = 2 * 1024 * 1024
RECORDS_PER_MESSAGE = 4_096
#: What a relay takes of a connection that has proven no key yet: one message, and the request before it. Devices put
#: no more into a Hello.
MAX_RELAY_HELLO = 64 * 1024
MAX_RELAY_REQUEST = 16 * 1024
MAX_RELAY_RECORD = 128 * 1024
#: What goes into one page of a log, and what is sent to one reader that it has not acknowledged.
RELAY_PAGE_BYTES = 512 * 1024
RELAY_WINDOW_BYTES = 1024 * 1024
#: Mailboxes open on one connection, and how often a device looks at those of old keys that find no room there (ms).
MAX_MAILBOXES = 512
OLD_MAILBOX_MS = 5 * 60_000
#: What one record bundles: events, and their bytes unless one is larger; records that a frugal reader asks for.
BUNDLE_ITEMS = 512
BUNDLE_BYTES = 64 * 1024
RECORDS_PER_READ = 256
#: How often such a reader reads, at most (ms).
FRUGAL_MS = 30_000
#: Relays that one space uses, and characters of an address.
MAX_RELAYS = 4
MAX_RELAY_URL_CHARS = 120
#: How long what others wrote is left to themselves before it is handed to a relay for them (and up to as long again,
#: so that not all do so at once), and how long a relay that cannot be reached is left alone: twice as long each time,
#: up to the second figure.
FORWARD_MS = 15_000
RELAY_RETRY_MS = 1_000
MAX_RELAY_RETRY_MS = 5 * 60_000
#: It is tried again so soon after it failed last (and up to as long again) where there is reason: somebody wrote, or
#: looks at how things stand, something else was reached, the machine slept (the clock went on for so long without it).
RELAY_EAGER_MS = 10_000
RELAY_SLEPT_MS = 30_000
#: How long until what a relay gave is read again that found no room among what waits (ms).
RELAY_REREAD_MS = 10 * 60_000
#: How long a relay is left alone that broke its word a second time: four times as long each time after, up to the
#: second figure; and after how long without a fault the first one is forgotten.
RELAY_REST_MS = 60_000
MAX_RELAY_REST_MS = 60 * 60_000
RELAY_FORGIVEN_MS = 24 * 60 * 60_000
#: Letters and welcomes of one door at a relay that are kept in mind, the newest ones, and bytes of one.
MAX_LEFT = 4_096
#: Invites for which a welcome waits there.
MAX_WELCOMES = 256
MAX_LEFT_BYTES = 4_096
#: How long what a newcomer asks is left to each device that comes before one's own, so that not all let it in at
#: once (ms), and how many such devices count.
ANSWER_MS = 1_500
ANSWER_RANKS = 8
#: Events looked at, and bytes of them posted, before the relay has answered.
POST_EVENTS = 2_000
#: The same with a greeting, before a key is proven: events, about, and at most the records that they become.
HELLO_EVENT_BYTES = 32 * 1024
HELLO_RECORD_BYTES = 56 * 1024
POST_BYTES = 512 * 1024
#: Messages of one connection that are malformed or forbidden before it is closed.
MAX_RELAY_MISTAKES = 32
#: What a relay has on its way to all clients together before it sends small pages, and how small.
RELAY_OUTGOING_BYTES = 64 * 1024 * 1024
RELAY_SMALL_PAGE = 32 * 1024
#: Seconds' worth of a pace that may come at once, and devices whose pace is remembered.
RELAY_BURST_S = 4
MAX_RELAY_RATES = 10_000
#: Of one network address: seconds' worth of mailboxes that it may open at once, and addresses remembered beside those
#: that have connections. With so many times the connections that are allowed it is told nothing any more.
RELAY_HELLO_BURST_S = 10
MAX_RELAY_ORIGINS = 10_000
RELAY_CROWDED_TIMES = 2
#: How long a connection that goes too fast is not listened to, at most.
RELAY_PAUSE_MS = 1_000
#: Records read at once for a range, and characters of one of its ends.
RELAY_RANGE_STEP = 16
MAX_SORT_KEY_CHARS = 128
#: When to try again: where the store cannot do it at present, where a share is used up, after the relay stopped.
RELAY_UNAVAILABLE_MS = 5_000
RELAY_FULL_MS = 60 * 60_000
RELAY_AWAY_MS = 2_000
#: How long a connection may be without a mailbox, and how often that is looked at.
RELAY_SILENT_MS = 30_000
RELAY_LOOK_MS = 5_000
#: How long what is held is believed, for health and metrics.
RELAY_USAGE_MS = 60_000
#: Bytes of one mailbox that are kept whatever their age, where they are not content.
RELAY_LASTING_BYTES = 32 * 1024 * 1024
#: How often a relay looks whether its store can be used, and how long it waits for the answer (s).
RELAY_CHECK_MS = 5_000
RELAY_CHECK_S = 3.0
#: Free space on the disk of a store in a file below which no record is kept, until there is twice as much: twice the
#: largest message, which goes into the write-ahead log and from there into the database.
RELAY_LEAST_DISK = 2 * MAX_RELAY_MESSAGE
#: When to try again at a store that is damaged.
RELAY_DAMAGED_MS = 60_000
#: Records that one mailbox can ever have: as many places as 32 bits count.
MAX_RELAY_LOG_RECORDS = 2**32 - 1
#: A relay's store in a file: bytes that wait to be written, above which no more are taken, and records that one
#: transaction takes of them.
MAX_RELAY_WAITING_BYTES = 64 * 1024 * 1024
RELAY_GROUP_RECORDS = 4_096
#: Acknowledgements that wait to be written (in JetStream too), and how long they wait for others (seconds).
MAX_WAITING_ACKS = 16_384
ACK_DELAY_S = 0.2
#: Its upkeep, step by step: records removed, mailboxes looked at, pages (4 KiB) given back or copied at once.
RELAY_STEP_RECORDS = 500
RELAY_STEP_MAILBOXES = 4_096
RELAY_STEP_PAGES = 256

# JetStream (bytes, counts, seconds).
#: Appends to one mailbox that wait in one process, and those that share a page.
MAX_WAITING_APPENDS = 1_024
APPENDS_PER_PAGE = 256
#: Devices that a mailbox remembers: what is known of them goes into one message with a page.
MAX_MAILBOX_DEVICES = 4_096
#: A snapshot of what is known of a mailbox goes with a page after so many pages, or bytes of them.
SNAPSHOT_PAGES = 64
SNAPSHOT_BYTES = 4 * 1024 * 1024
#: Runs of pages that a mailbox is known by, and those at its end that are one page each.
MAX_SPANS = 128
SINGLE_SPANS = 16
#: Mailboxes, bytes of pages, and places of pages in each mailbox that one process remembers.
MAX_REMEMBERED_MAILBOXES = 4_096
REMEMBERED_PAGE_BYTES = 32 * 1024 * 1024
MAX_PAGE_MARKS = 1_024
#: Pages asked for at once.
PAGES_PER_QUESTION = 64
#: How long one question to the servers may take, and how long an operation tries: electing a leader takes seconds.
NATS_REQUEST_S = 2.0
NATS_PATIENCE_S = 15.0
#: After how long without any answer another server is asked.
NATS_SWITCH_S = 4.0
#: How often a silent server says that it is there, so that a lost one is noticed.
NATS_HEARTBEAT_S = 2.0
#: A server that its leader has not heard of for so long counts as down; they hear of each other every second.
NATS_SILENT_S = 5.0

# Node (ms and counts).
#: How often handlers' jobs run.
TICK_MS = 1_000
#: A job that failed rests twice as long each time, and so long at most; so does asking when nothing can be kept.
MAX_JOB_REST_MS, MAX_HOLD_MS = 64_000, 32_000
#: What goes wrong again and again is told less and less often, and once in so long at last; how many such are kept in
#: mind.
TELL_AGAIN_MS = 60 * 60_000
MAX_TROUBLES_NOTED = 256
#: They begin so long after a start: whoever is known is greeted before, and has what is new by then if it is near.
BEGIN_MS = 100
#: How often peers that are not connected are dialled again at every address known.
REDIAL_MS = 10_000
#: How long at least, and half of how long at most, the others are told later where somebody was reached.
INTRODUCE_MS = 250
#: Addresses of others that one peer is listened to in a minute: all that it has, and as many again.
HEARSAY_PER_MINUTE = 512
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

# Passphrases: characters, and what Argon2id takes for each guess (passes over memory in KiB, one lane).
MIN_PASSPHRASE_CHARS = 8
MAX_PASSPHRASE_CHARS = 1_024
#: Twice the memory of RFC 9106's second recommended option; 0.2 s on a common machine.
PASSPHRASE_PASSES = 3
PASSPHRASE_KIB = 128 * 1024
#: What is accepted of a file: nobody can have made guessing cheaper, or opening it take all memory.
MIN_PASSPHRASE_PASSES = 3
MIN_PASSPHRASE_KIB = 64 * 1024
MAX_PASSPHRASE_PASSES = 16
MAX_PASSPHRASE_KIB = 1024 * 1024
#: Bytes that a passphrase seals.
MAX_PASSPHRASE_SECRET_BYTES = 1024 * 1024

# The system's keyring (seconds): how long it is tried at creation, and waited for when it holds our key.
KEYRING_TRIAL_S = 5.0
KEYRING_WAIT_S = 60.0
#: Bytes of a home's key file that are read.
MAX_KEY_FILE_BYTES = 16_384
