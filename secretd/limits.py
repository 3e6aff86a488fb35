"""Every bound in one place: its value, its unit, where it comes from, and what a peer sees when it is reached.

A Limit is an int, so it stands in a comparison as it is.  docs/limits.md is generated from this file.
"""

from __future__ import annotations

from typing import Self


class Limit(int):
    """A bound that knows its unit, its source and what reaching it looks like."""

    unit: str
    source: str
    seen: str

    def __new__(cls, value: int, unit: str, *, source: str, seen: str) -> Self:
        """Make a bound of ``value`` units."""
        limit = super().__new__(cls, value)
        limit.unit = unit
        limit.source = source
        limit.seen = seen
        return limit


# Values and attributes.

VALUE_BYTES = Limit(
    65_536, "bytes", source="libvirt: REMOTE_SECRET_VALUE_MAX (src/remote/remote_protocol.x)", seen="invalid-value"
)
USAGE_ID_BYTES = Limit(
    4_096, "bytes of UTF-8", source="Linux: PATH_MAX, as a volume's usage id is its path", seen="invalid-document"
)
DESCRIPTION_BYTES = Limit(
    6_144,
    "bytes of UTF-8",
    source="with USAGE_ID_BYTES, and each character escaped at its longest, a document stays under DOCUMENT_BYTES",
    seen="invalid-document",
)
ALPHABET_CHARACTERS = Limit(95, "characters", source="the printable characters of ASCII", seen="invalid-request")

QUOTA_SECRETS = Limit(
    10_000, "secrets", source="ours; of one uid but root, unless quota.secrets is configured", seen="quota"
)
QUOTA_BYTES = Limit(
    67_108_864,
    "bytes",
    source="ours; of the sealed records of one uid but root, unless quota.bytes is configured",
    seen="quota",
)

# Keys, and what befalls keys and secrets alike.

KEYS = Limit(4_096, "keys", source="ours; what is said of all of them is in memory", seen="quota")
KEY_DESCRIPTION_BYTES = Limit(
    1_024, "bytes of UTF-8", source="with all tags at their longest a record stays small", seen="invalid-document"
)
KEY_PATTERN_CHARACTERS = Limit(64, "characters", source="ours; the longest id has 36", seen="invalid-document")
KEY_TAGS = Limit(50, "tags", source="AWS KMS has as many", seen="invalid-document")
TAG_NAME_CHARACTERS = Limit(128, "characters", source="AWS KMS has as many", seen="invalid-document")
TAG_TEXT_CHARACTERS = Limit(256, "characters", source="AWS KMS has as many", seen="invalid-document")
KEY_DOCUMENT_BYTES = Limit(
    131_072,
    "bytes",
    source="ours; with description and tags at their longest, and each character escaped so, a document stays under it",
    seen="invalid-xml",
)
ROTATION_DAYS = Limit(3_650, "days", source="ours; ten years", seen="invalid-document")
KEY_VERSIONS = Limit(
    512, "versions", source="ours; of one key: of a year and a half, if one is made a day", seen="quota"
)
KEY_BYTES = Limit(32, "bytes", source="AES-256, and Proxmox Backup Server's keys", seen="invalid-value")
VERSION_USES = Limit(
    4_227_858_432,
    "uses",
    source="below 2^32: NIST SP 800-38D, section 8.3, with random nonces",
    seen="the key gets a new version",
)
VERSION_USES_BLOCK = Limit(
    65_536, "uses", source="ours; counted at a time, so that one write serves so many", seen="never"
)
CACHE_KEY_VERSIONS = Limit(
    8_192,
    "versions of keys",
    source="ours; sealed bytes that were used; twice KEYS; about 300 bytes each",
    seen="never",
)
CONTEXT_PAIRS = Limit(64, "pairs", source="ours", seen="invalid-request")
CONTEXT_NAME_BYTES = Limit(128, "bytes of UTF-8", source="ours", seen="invalid-request")
CONTEXT_TEXT_BYTES = Limit(1_024, "bytes of UTF-8", source="ours", seen="invalid-request")
CONTEXT_BYTES = Limit(8_192, "bytes of UTF-8", source="ours; of all names and texts together", seen="invalid-request")
BLOB_BYTES = Limit(
    65_609,
    "bytes",
    source="VALUE_BYTES, and what docs/storage-format.md puts around it for the longest id",
    seen="invalid-request",
)
KDF_MEMORY_BYTES = Limit(
    268_435_456,
    "bytes",
    source="ours; four times what Proxmox Backup Server's own files take, unless keys.kdf-memory is configured",
    seen="invalid-key-file",
)
KDF_ITERATIONS = Limit(
    10_000_000,
    "iterations",
    source="ours; 150 times what Proxmox Backup Server's own files take, unless keys.kdf-iterations is configured",
    seen="invalid-key-file",
)
KDF_MEMORY_CONFIGURED = Limit(
    1_073_741_824,
    "bytes",
    source="Proxmox Backup itself opens no file that takes more; keys.kdf-memory may say as much",
    seen="the daemon does not start",
)
KDF_ITERATIONS_CONFIGURED = Limit(
    2_147_483_647,
    "iterations",
    source="Python: hashlib makes no more; keys.kdf-iterations may say as much",
    seen="the daemon does not start",
)
KDF_PASSES = Limit(
    8,
    "times the memory",
    source="ours; 128 * n * r * p of scrypt: it then takes at most about six seconds, as PBKDF2 does at most",
    seen="invalid-key-file",
)
DERIVATIONS_WAITING = Limit(
    8, "derivations", source="ours; one is made at a time, so the last waits for a minute at most", seen="busy"
)
PASSWORD_BYTES_LEAST = Limit(
    5, "bytes", source="Proxmox Backup takes no shorter password of a key file", seen="wrong-password, invalid-request"
)
HINT_CHARACTERS = Limit(64, "characters", source="Proxmox Backup has as many", seen="invalid-request; read, it is cut")
REFERENCES = Limit(32, "consumers", source="ours; of one object", seen="quota")
CONSUMER_CHARACTERS = Limit(128, "characters", source="ours", seen="invalid-request")
WINDOW_DAYS_LEAST = Limit(7, "days", source="AWS KMS and RustFS have as few", seen="invalid-document")
WINDOW_DAYS = Limit(30, "days", source="AWS KMS and RustFS have as many", seen="invalid-document")
PENDING_SECRETS = Limit(
    65_536, "secrets", source="ours; that wait for their deletion: they are in memory", seen="quota"
)
DELETION_ROUND_SECONDS = Limit(
    60, "seconds", source="ours; how often it is looked for what is due, as RustFS does", seen="waits"
)

# Grants.

GRANT_NAME_CHARACTERS = Limit(64, "characters", source="ours", seen="invalid-document")
GRANT_DESCRIPTION_BYTES = Limit(
    1_024,
    "bytes of UTF-8",
    source="with the three below, and each character escaped at its longest, a document stays under DOCUMENT_BYTES",
    seen="invalid-document",
)
GRANT_PATH_BYTES = Limit(
    1_024, "bytes of UTF-8", source="ours; of an executable: a quarter of PATH_MAX", seen="invalid-document"
)
GRANTS = Limit(4_096, "grants", source="ours; all of them are in memory, and asked at each request", seen="quota")
GRANTS_NAMED = Limit(
    32, "grants", source="ours; of those that give one permission", seen="a reply does not name the others"
)
GROUPS_NAMED = Limit(
    1_024, "groups", source="ours; Linux lets a process be in 65,536", seen="whoami only counts the others"
)
GRANT_SCOPES = Limit(64, "scopes", source="ours; of one grant: grants add up", seen="invalid-document")
GRANT_PATTERNS_BYTES = Limit(
    6_144,
    "bytes of UTF-8",
    source="ours; of all patterns and tags of one grant: the longest pattern, and half as much",
    seen="invalid-document",
)
GRANTS_SCOPES = Limit(
    16_384,
    "scopes",
    source="ours; of all grants together, four for each: so many patterns that begin and end alike are tried in 3 ms",
    seen="quota",
)
GRANTS_PATTERNS_BYTES = Limit(
    262_144,
    "bytes of UTF-8",
    source="ours; of the patterns and tags of all grants, 16 for each scope: to make all ready takes 1 to 2.6 s in all",
    seen="quota",
)

# Documents.

DOCUMENT_BYTES = Limit(65_536, "bytes", source="DESIGN: the native door", seen="invalid-xml")
DOCUMENT_DEPTH = Limit(16, "elements", source="three times what our deepest document has", seen="invalid-xml")
DOCUMENT_ELEMENTS = Limit(
    1_000,
    "elements",
    source="ours; of a request or a document, fifty times what our longest has: more than that take long to read",
    seen="invalid-xml",
)
REPLY_ELEMENTS = Limit(
    65_536, "elements", source="MESSAGE_BYTES: no reply has room for more", seen="the client ends the connection"
)
ELEMENT_ATTRIBUTES = Limit(32, "attributes", source="ours; five times what our widest element has", seen="invalid-xml")
NAME_BYTES = Limit(64, "bytes", source="ours; four times our longest name", seen="invalid-xml")
ODD_SPACES = Limit(
    1_000,
    "pieces of white space",
    source="libxml2 never forgets one of 16 to 59 characters; beside line feeds with spaces or tabs behind, so many",
    seen="invalid-xml",
)
UNKNOWN_NAMES_PER_UID = Limit(
    1_000,
    "names",
    source="lxml never forgets a name; 1,000 of at most 64 bytes cost a uid under 200 KiB for the daemon's life",
    seen="invalid-xml",
)

# The native wire.

MESSAGE_BYTES = Limit(
    262_144,
    "bytes",
    source="DESIGN: the native door; more than base64 of VALUE_BYTES, so a long value gets an error of its own",
    seen="protocol-error, then the end of the connection",
)
DESCRIPTORS_PER_MESSAGE = Limit(1, "descriptors", source="DESIGN: the native door", seen="invalid-value")
SERIAL = Limit(4_294_967_295, "largest serial", source="32 bits, as libvirt's RPC has", seen="invalid-document")
REQUESTS_IN_FLIGHT = Limit(
    64, "requests", source="of one connection; what waits beyond that stays in the socket", seen="waits"
)
REQUESTS_IN_FLIGHT_PER_UID = Limit(
    128,
    "requests",
    source="of all connections of a uid, as many as share a transaction; one for each connection goes beyond it",
    seen="waits",
)
REPLY_BYTES_WAITING = Limit(
    8_388_608,
    "bytes",
    source="ours; 8 MiB for each connection whose peer does not read",
    seen="no more is read until the peer has read",
)
REPLY_BYTES_WAITING_PER_UID = Limit(
    16_777_216,
    "bytes",
    source="ours; of all connections of a uid; one reply for each connection goes beyond it",
    seen="no more is read from a connection until its peer has read",
)
ANSWER_BYTES = Limit(
    512, "bytes", source="measured: what an answer of no bytes costs while it waits", seen="counts as waiting bytes"
)
DENIED_REPLY_BYTES_WAITING = Limit(
    65_536, "bytes", source="ours; for a caller who may do nothing", seen="no more is read until the peer has read"
)
DENIED_IDLE_SECONDS = Limit(
    10,
    "seconds",
    source="ours; between two whole messages of a caller who may do nothing, and before his first",
    seen="the end of the connection",
)
MESSAGE_SECONDS = Limit(
    60,
    "seconds",
    source="ours; from the first byte of a message to its last; between messages a caller may be idle",
    seen="the end of the connection",
)
SWEEP_MILLISECONDS = Limit(
    500, "milliseconds", source="ours; how often all connections are looked at: one clock for all", seen="never"
)
CONNECTIONS_PER_UID = Limit(
    128,
    "connections",
    source="that many unfinished messages are under 50 MB; root and the daemon's own user are not counted",
    seen="busy, then the end of the connection",
)
CONNECTIONS_OF_OTHERS = Limit(
    4_096,
    "connections",
    source="ours; of all uids but root and the daemon's own; at most half of the descriptors",
    seen="busy, then the end of the connection",
)
DESCRIPTORS_RESERVED = Limit(
    128,
    "descriptors",
    source="ours; no connection has them, but the store, the log and values under way; at most half of all",
    seen="busy",
)
REFUSALS_LOGGED_SECONDS = Limit(
    60, "seconds", source="ours; refused connections are counted, and logged no more often than this", seen="never"
)
TURN_MILLISECONDS = Limit(
    5, "milliseconds", source="ours; of one connection, before others have their turn", seen="waits"
)
MESSAGES_PER_TURN = Limit(16, "messages", source="ours; of one connection, before others have their turn", seen="waits")
DENIED_MESSAGES_PER_TURN = Limit(1, "messages", source="ours; of a caller who may do nothing", seen="waits")
READ_BYTES = Limit(65_536, "bytes", source="ours; of one connection at a time", seen="waits")
SOCKET_PATH_BYTES = Limit(
    107, "bytes", source="unix(7): sun_path has 108, with the NUL at its end", seen="the daemon does not start"
)
LISTEN_BACKLOG = Limit(
    512, "connections", source="a boot storm of 500 units; net.core.somaxconn may make it less", seen="connect waits"
)
ACCEPTS_PER_TURN = Limit(64, "connections", source="ours; before others have their turn", seen="waits")
ACCEPT_PAUSE_SECONDS = Limit(
    1, "seconds", source="asyncio's own servers pause so; until descriptors are free again", seen="connect waits"
)
DRAIN_SECONDS = Limit(
    10, "seconds", source="a ninth of systemd's TimeoutStopSec", seen="the connection ends unanswered"
)
DRAIN_STALL_SECONDS = Limit(
    2, "seconds", source="ours; without a byte read of what waits for the peer", seen="the connection ends unanswered"
)
NOTIFY_SECONDS = Limit(
    5, "seconds", source="ours; a service manager that reads nothing for so long is not told", seen="never"
)

# Lists.

PAGE_ENTRIES = Limit(1_000, "entries", source="one page of the native wire", seen="invalid-document")
PAGE_EXAMINED = Limit(
    4_096, "records", source="DESIGN: Fast", seen="fewer entries than asked for, with truncated and a next marker"
)
PAGE_BYTES = Limit(
    245_760, "bytes", source="MESSAGE_BYTES less the envelope", seen="fewer entries, with truncated and a next marker"
)

# The libvirt wire.

LIBVIRT_FRAME_BYTES = Limit(
    33_554_436,
    "bytes",
    source="libvirt: VIR_NET_MESSAGE_MAX and VIR_NET_MESSAGE_LEN_MAX (src/rpc/virnetprotocol.x)",
    seen="the end of the connection",
)
LIBVIRT_MESSAGE_BYTES = Limit(
    262_144,
    "bytes",
    source="ours; what a connection keeps of a message, as on the native wire",
    seen="RPC error 39; what is longer is read and thrown away",
)
LIBVIRT_STRING_BYTES = Limit(
    4_194_304,
    "bytes",
    source="libvirt: REMOTE_STRING_MAX (src/remote/remote_protocol.x)",
    seen="RPC error 39",
)
LIBVIRT_LISTED_SECRETS = Limit(
    16_384,
    "secrets",
    source="libvirt: REMOTE_SECRET_LIST_MAX (src/remote/remote_protocol.x)",
    seen="RPC error 39 to who asks for more ids; internal error (1) where a list would have more",
)
LIBVIRT_IDENTITY_PARAMETERS = Limit(
    20,
    "typed parameters",
    source="libvirt: REMOTE_CONNECT_IDENTITY_PARAMS_MAX (src/remote/remote_protocol.x)",
    seen="RPC error 39",
)
LIBVIRT_URI_BYTES = Limit(
    4_096, "bytes", source="ours; of the URI that a connection opens: a path of PATH_MAX", seen="internal error (1)"
)
LIBVIRT_CALLBACKS = Limit(
    1_024, "registrations", source="ours; of one connection: a client needs two", seen="internal error (1)"
)
LIBVIRT_DESCRIPTORS = Limit(
    32,
    "descriptors",
    source="libvirt: VIR_NET_MESSAGE_NUM_FDS_MAX (src/rpc/virnetprotocol.x); of one message, none of which is kept",
    seen="the end of the connection",
)

# Events.

SUBSCRIBED_SECRETS = Limit(
    64, "secrets", source="ours; of one connection, beside a subscription to all", seen="invalid-request"
)
EVENT_BYTES_WAITING = Limit(
    262_144, "bytes", source="ours; of one connection whose peer does not read them", seen="lost"
)
EVENTS_BACKLOG = Limit(
    1_024, "changes", source="ours; that wait to be told to anyone; what two seconds bring on a fast disk", seen="lost"
)
EVENTS_PER_ROUND = Limit(64, "changes", source="ours; told to all before those that came since", seen="never")
TELLING_MILLISECONDS = Limit(
    1, "milliseconds", source="ours; of telling subscribers, before others have their turn", seen="waits"
)
CLIENT_EVENTS = Limit(
    4_096, "events", source="ours; that our clients keep for a program that does not take them", seen="lost"
)

# The store. The stricter engine to come, etcd, decides.

STORE_KEY_BYTES = Limit(256, "bytes", source="ours; the longest key in use has 37", seen="never")
STORE_VALUE_BYTES = Limit(
    524_288, "bytes", source="etcd: several fit into a reply of 4 MiB, grpc's default", seen="never"
)
COMMIT_OPERATIONS = Limit(100, "writes and preconditions", source="etcd: --max-txn-ops is 128", seen="never")
COMMIT_BYTES = Limit(1_048_576, "bytes", source="etcd: --max-request-bytes is 1.5 MiB", seen="never")
SCAN_RECORDS = Limit(1_000, "records", source="ours; measured, SQLite scans 1,000 records in 1.5 ms", seen="never")
SCAN_BYTES = Limit(
    2_097_152,
    "bytes of values",
    source="etcd: half of a reply of 4 MiB, grpc's default; a page has one value at least",
    seen="never",
)
GROUP_COMMITS = Limit(
    128, "commits", source="ours; so many share one transaction and its fsync, the rest the next", seen="waits"
)
LONE_COMMIT_MICROSECONDS = Limit(
    500,
    "microseconds",
    source="DESIGN: The store; where commits take less on average, one that waits alone is made on the event loop",
    seen="never",
)
LONE_COMMIT_PAUSE_SECONDS = Limit(
    10,
    "seconds",
    source="ours; so long after a commit that the disk held up none is made on the event loop",
    seen="never",
)
STORE_LOG_BYTES = Limit(
    16_777_216, "bytes", source="ours; past this SQLite's write-ahead log is brought into the database", seen="never"
)
STORE_LOG_SECONDS = Limit(
    2, "seconds", source="ours; so long after a commit the log is emptied, and what was deleted is gone", seen="never"
)
STORE_GROWTH_BYTES = Limit(
    1_048_576,
    "bytes",
    source="ours; so much room the database's file takes at a time, if there is plenty",
    seen="never",
)
STORE_READER_CACHE_BYTES = Limit(
    16_777_216,
    "bytes",
    source="measured: the inner pages of a database of a million secrets take 5 MiB; a read then reads one page",
    seen="never",
)
STORE_RESERVE_BYTES = Limit(
    4_194_304,
    "bytes",
    source="ours; room for the log on a full disk: changing the largest secret takes a fortieth of it",
    seen="store-full for what makes the database larger",
)
WATCH_BACKLOG = Limit(4_096, "changes", source="ours; a watcher further behind must scan again", seen="a lost event")
COMMIT_RETRIES = Limit(8, "tries", source="ours; a loser of eight races in a row tells its caller", seen="busy")

CACHE_SECRETS = Limit(
    32_768,
    "secrets",
    source="ours; attributes opened, usages followed, owners; about 1 KiB each; twice what libvirt's longest list has",
    seen="never",
)
CACHE_VALUE_BYTES = Limit(8_388_608, "bytes", source="ours; sealed values that were read last", seen="never")
KEPT_PAGES = Limit(
    64, "pages of lists", source="ours; more than libvirt's longest list has, both of it and of the ids", seen="never"
)

# Keys.

KEY_USES = Limit(
    4_294_967_296,
    "uses",
    source="NIST SP 800-38D, section 8.3: of one key with random nonces",
    seen="the keyring is rotated before it",
)
KEY_USES_BLOCK = Limit(
    1_048_576, "uses", source="ours; reserved at a time, so a start costs at most 1 of 4,096", seen="never"
)
CHANGE_USES = Limit(6, "uses", source="ours; one change seals up to five records", seen="never")
RESEAL_RECORDS = Limit(40, "records", source="COMMIT_OPERATIONS, each with its precondition", seen="never")
RESEAL_BYTES = Limit(524_288, "bytes", source="half of COMMIT_BYTES", seen="never")
CHECK_PAGE = Limit(50, "records", source="ours; looked at in a turn, before others have theirs", seen="never")
CHECK_PROBLEMS = Limit(100, "problems", source="ours; a reply names so many, and the number of all", seen="fewer")
BACKUP_PAGE = Limit(100, "records", source="ours; read at a time, so that others have their turn", seen="never")
BACKUPS = Limit(4, "backups", source="ours; each pins the store's log; and as many restores", seen="busy")
BACKUP_IDLE_SECONDS = Limit(
    60, "seconds", source="ours; so long a backup or a restore waits to be gone on with", seen="no such backup"
)
BACKUP_SECONDS = Limit(
    3_600,
    "seconds",
    source="ours; a backup or a restore whole: while it lasts nothing leaves the store's log",
    seen="no such backup",
)
RESTORE_ROOM_BYTES = Limit(
    16_777_216, "bytes", source="ours; so much stays free beside a backup that is being sent", seen="store-full"
)
RESEAL_PAGE = Limit(100, "records", source="ours; read at a time, so that others have their turn", seen="never")
ROOT_KEY_BYTES = Limit(32, "bytes", source="AES-256", seen="sealed")
KEYRING_BYTES = Limit(262_144, "bytes", source="over 1,000 versions of a keyring", seen="sealed")
ROOT_KEY_RETRY_SECONDS = Limit(
    5, "seconds", source="ours; how soon a mended root key is noticed", seen="sealed until then"
)

# Callers.

LABEL_BYTES = Limit(4_096, "bytes of UTF-8", source="Linux: security modules write labels into a page", seen="no label")
EXECUTABLE_PATH_BYTES = Limit(4_096, "bytes of UTF-8", source="Linux: PATH_MAX", seen="invalid-document")
EXECUTABLE_BYTES = Limit(
    67_108_864,
    "bytes",
    source="ours; hashed while others wait, once for each version of a file that a grant names",
    seen="a grant that names the file's sha256 matches nobody",
)
EXECUTABLE_HASHES = Limit(256, "files", source="ours; hashes that are kept", seen="never")

# The configuration.

CONFIG_BYTES = Limit(65_536, "bytes", source="ours; a full file has under 2,000", seen="the daemon does not start")
