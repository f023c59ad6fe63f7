"""The plan: what the core is given, as plain data.

`compile` writes it from the routes; `core/src/plan.rs` is the other definition of these structs,
and `tests/plans/*.json` holds one file per kind of step, terminal, scalar and layer for both test
suites. Fields that the core requires have no default here, so that they are always written; unknown
fields are refused on both sides, so that a newer plan never loses a filter silently.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

PLAN_VERSION = 1

LimitBy: TypeAlias = Literal["subject", "address", "api"]
Content: TypeAlias = Literal["json", "bytes", "text"]
MetricsFormat: TypeAlias = Literal["prometheus", "summary", "routes", "subjects", "timeseries"]
Algorithm: TypeAlias = Literal[
    "HS256",
    "HS384",
    "HS512",
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "EdDSA",
]
Level: TypeAlias = Literal["debug", "info", "warning", "error"]
Overflow: TypeAlias = Literal["drop_oldest", "conflate", "disconnect"]
Delivery: TypeAlias = Literal["at_most_once", "at_least_once"]
HubOperation: TypeAlias = Literal[
    "socket",
    "events",
    "publish",
    "channels",
    "presence",
    "history",
    "disconnect",
    "revoke",
    "revocations",
]


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What every struct of the plan has in common."""


# --- scalars: what a piece of text must be ---


class Int(_Part, frozen=True, tag_field="type", tag="int"):
    """A decimal integer that fits 64 bits; the bounds are inclusive."""

    ge: int | None = None
    le: int | None = None


class Float(_Part, frozen=True, tag_field="type", tag="float"):
    """A finite decimal number."""

    ge: float | None = None
    le: float | None = None
    gt: float | None = None
    lt: float | None = None


class Bool(_Part, frozen=True, tag_field="type", tag="bool"):
    """`true`, `false`, `1` or `0`."""


class Str(_Part, frozen=True, tag_field="type", tag="str"):
    """Text, percent-decoded where it comes from a URI; lengths in characters."""

    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None


class Choice(_Part, frozen=True, tag_field="type", tag="choice"):
    """One of the listed words."""

    values: tuple[str, ...]


class Uuid(_Part, frozen=True, tag_field="type", tag="uuid"):
    """A UUID in its hyphenated form; extracted as text."""


class Datetime(_Part, frozen=True, tag_field="type", tag="datetime"):
    """An RFC 3339 date and time; extracted as text."""


class Date(_Part, frozen=True, tag_field="type", tag="date"):
    """A full-date of RFC 3339; extracted as text."""


Scalar: TypeAlias = Int | Float | Bool | Str | Choice | Uuid | Datetime | Date


class Field(_Part, frozen=True):
    """A parameter of the query string: `required` refuses its absence, `many` makes it a list."""

    name: str
    kind: Scalar
    required: bool
    many: bool = False


# --- steps: one filter of a chain each ---


class Param(_Part, frozen=True, tag_field="op", tag="param"):
    """A segment of the path; extracts one value."""

    name: str
    kind: Scalar


class Header(_Part, frozen=True, tag_field="op", tag="header"):
    """A request header, its name in lower case; extracts one value."""

    name: str
    kind: Scalar


class Query(_Part, frozen=True, tag_field="op", tag="query"):
    """The query string read into a record; extracts one value with a place for each field."""

    fields: tuple[Field, ...]


class QueryValue(_Part, frozen=True, tag_field="op", tag="query_value"):
    """One parameter of the query string; extracts one value."""

    field: Field


class Auth(_Part, frozen=True, tag_field="op", tag="auth"):
    """A verified bearer token with all of `scopes`; `extract` makes its claims a value."""

    scopes: tuple[str, ...]
    extract: bool


class Limit(_Part, frozen=True, tag_field="op", tag="limit"):
    """A rate limit: GCRA with burst; if `shared`, all routes with its name count together."""

    name: str
    requests: int
    period_ms: int
    burst: int
    by: LimitBy
    legacy_headers: bool = False
    shared: bool = False


class Body(_Part, frozen=True, tag_field="op", tag="body"):
    """The body, read whole; extracts one value, bytes that Python decodes.

    content_types: in lower case; those that a body of bytes may have, empty for any.
    """

    content: Content
    max_bytes: int | None = None
    content_types: tuple[str, ...] = ()


class Trace(_Part, frozen=True, tag_field="op", tag="trace"):
    """The request's trace and request id; extracts one value."""


class Optional(_Part, frozen=True, tag_field="op", tag="optional"):
    """The steps' values, or as many `None` where what they ask for is absent."""

    steps: tuple[Step, ...]


class Or(_Part, frozen=True, tag_field="op", tag="or"):
    """The first alternative whose steps pass; `tagged` extracts its index first."""

    alternatives: tuple[tuple[Step, ...], ...]
    tagged: bool


Step: TypeAlias = Param | Header | Query | QueryValue | Auth | Limit | Body | Trace | Optional | Or

# --- terminals: what answers a request that passed the steps ---


class Python(_Part, frozen=True, tag_field="op", tag="python"):
    """A Python handler, by its index among the endpoints; `stream` where it yields chunks."""

    handler: int
    stream: bool = False


class Answer(_Part, frozen=True, tag_field="op", tag="answer"):
    """The same answer every time."""

    status: int
    content_type: str
    body: str
    headers: tuple[tuple[str, str], ...] = ()


class Metrics(_Part, frozen=True, tag_field="op", tag="metrics"):
    """The core's counters."""

    format: MetricsFormat


class Files(_Part, frozen=True, tag_field="op", tag="files"):
    """A file of a folder that the core reads at start, by the text that the chain extracts.

    `index` stands for a folder, with `fallback` also for names without an extension that are not
    there; names that begin with one of `immutable` may be kept for a year. `types` are content
    types by extension.
    """

    folder: str
    index: str | None = None
    fallback: bool = False
    immutable: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    types: tuple[tuple[str, str], ...] = ()


class Echo(_Part, frozen=True, tag_field="op", tag="echo"):
    """A WebSocket that sends back what it gets: messages of at most `max_bytes`, inflated."""

    max_bytes: int


class HubTerminal(_Part, frozen=True, tag_field="op", tag="hub"):
    """The plan's hub: a socket, a stream of events, or one of its controls, answered as JSON.

    `socket` takes at most one text of the chain, the channel to begin with; `events`, `publish`,
    `presence` and `history` need one. `publish`, `disconnect` and `revoke` need a JSON body.
    """

    operation: HubOperation


Terminal: TypeAlias = Python | Answer | Metrics | Files | Echo | HubTerminal

# --- layers: what wraps every route ---


class Log(_Part, frozen=True):
    """The access log: one JSON line for each answer of at least `level`."""

    level: Level


class Cors(_Part, frozen=True):
    """Which cross-origin requests browsers may make; `max_age` in seconds."""

    origins: tuple[str, ...]
    max_age: int
    headers: tuple[str, ...] = ()
    expose: tuple[str, ...] = ()
    credentials: bool = False
    private_network: bool = False


class Compress(_Part, frozen=True):
    """Which answers are compressed: from `min_bytes` on, by encodings in order of preference."""

    min_bytes: int
    encodings: tuple[str, ...]
    types: tuple[str, ...]


class AddressLimit(_Part, frozen=True):
    """A limit on each client address, checked before the token."""

    requests: int
    period_ms: int
    burst: int


class Layers(_Part, frozen=True):
    """What wraps every route; `None` leaves a layer out."""

    log: Log | None = None
    cors: Cors | None = None
    compress: Compress | None = None
    limit: AddressLimit | None = None


# --- the hub ---


class Rate(_Part, frozen=True):
    """`amount` (messages, or bytes) per `period_ms`, of which `burst` pass at once."""

    amount: int
    period_ms: int
    burst: int


class Access(_Part, frozen=True):
    """Who may: bearers of all of `scopes`; where `anonymous`, also those without a token."""

    scopes: tuple[str, ...] = ()
    anonymous: bool = False


class Namespace(_Part, frozen=True):
    """The rules of the channels that `name` matches; of several, of the one that says most.

    `name` is a channel's own, or ends in `*`; a segment between colons may be `{tenant}` or
    `{sub}`: it must be the caller's claim. Without `subscribe` or `publish` nobody may from
    outside. `queue` and `queue_bytes` are what a subscriber may lag behind before `overflow`.
    Channels that are not `shared` stay with one replica. Where `delivery` is `at_least_once`, what
    a consumer has not acknowledged is sent to it again when it comes back.
    """

    name: str
    history: int
    history_ms: int
    max_bytes: int
    overflow: Overflow
    queue: int
    queue_bytes: int
    subscribe: Access | None = None
    publish: Access | None = None
    presence: bool = False
    rate: Rate | None = None
    shared: bool = True
    delivery: Delivery = "at_most_once"


class HubRedis(_Part, frozen=True):
    """The Redis that replicas share channels through: the name of the secret that is its URL."""

    secret: str
    prefix: str


class Hub(_Part, frozen=True):
    """Channels and what sockets may do.

    `messages` counts frames of clients, together with all limits of its name; `tenant_messages`,
    `bytes` and `tenant_bytes` are the hub's own. `sockets` are of one subject (or address),
    `subscriptions` of one socket, `max_bytes` of one frame. `operator` is the scope that may all
    within its tenant, `global_operator` the one to act beyond it.
    """

    namespaces: tuple[Namespace, ...]
    heartbeat_ms: int
    sockets: int
    subscriptions: int
    channels: int
    max_bytes: int
    history_bytes: int
    metrics_ms: int
    operator: str
    global_operator: str = "admin:global"
    messages: Limit | None = None
    tenant_messages: Rate | None = None
    bytes: Rate | None = None
    tenant_bytes: Rate | None = None
    redis: HubRedis | None = None


# --- the whole ---


class Key(_Part, frozen=True):
    """A key that tokens may be signed with, by the name of the secret given beside the plan.

    `algorithms` has exactly one: the core refuses a plan whose tokens could choose (RFC 8725).
    """

    secret: str
    algorithms: tuple[str, ...]
    kid: str | None = None


class Tokens(_Part, frozen=True):
    """How bearer tokens are verified; `leeway` in seconds, `cache` in tokens remembered."""

    keys: tuple[Key, ...]
    cache: int
    issuer: str | None = None
    audience: str | None = None
    leeway: int = 0


class Bounds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a request may be at most: bytes, milliseconds, and calls that wait for Python."""

    body_bytes: int = 1 << 20
    header_bytes: int = 16 << 10
    uri_bytes: int = 8 << 10
    head_timeout_ms: int = 10_000
    idle_timeout_ms: int = 75_000
    write_timeout_ms: int = 60_000
    timeout_ms: int = 30_000
    queue: int = 4096


class Route(_Part, frozen=True):
    """One path, its methods (none: all), what is asked of a request, and what answers it."""

    name: str
    path: str
    terminal: Terminal
    methods: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    timeout_ms: int | None = None


class Plan(_Part, frozen=True):
    """A whole gateway: its routes, the layers around each of them, and how tokens are verified."""

    version: int
    routes: tuple[Route, ...]
    layers: Layers = Layers()
    tokens: Tokens | None = None
    bounds: Bounds = Bounds()
    hub: Hub | None = None

    def to_json(self) -> bytes:
        """Write the plan for people and for `diff`: indented, the same bytes for the same plan."""
        return msgspec.json.format(msgspec.json.encode(self, order="deterministic"), indent=2)
