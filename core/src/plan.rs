//! The plan: what Python describes and the core executes, as plain data.
//!
//! `nexus_gateway/plan.py` is the other definition of these structs; `tests/plans/*.json` holds one file per kind
//! of step, terminal and layer and is read by both test suites. Unknown fields are refused, so that a plan written
//! for a newer core never loses a filter silently.

mod error;

use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The version of the plan this core reads.
pub const PLAN_VERSION: u32 = 1;

pub use error::PlanError;

/// The secrets that travel beside a plan, by the names that it uses.
pub type Secrets = HashMap<String, Vec<u8>>;

/// A whole gateway: its routes, the layers around each of them, and how tokens are verified.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Must equal [`PLAN_VERSION`].
    pub version: u32,
    /// In the order of the source; the order decides nothing, the most exact path wins.
    pub routes: Vec<Route>,
    /// What wraps every route.
    #[serde(default)]
    pub layers: Layers,
    /// How `auth` steps verify tokens; a plan with such a step must have it.
    #[serde(default)]
    pub tokens: Option<Tokens>,
    /// What a request may be at most.
    #[serde(default)]
    pub bounds: Bounds,
    /// The hub's channels; a plan with a terminal `hub` must have it.
    #[serde(default)]
    pub hub: Option<Hub>,
}

impl Plan {
    /// Reads a plan from its JSON.
    pub fn read(json: &[u8]) -> Result<Self, PlanError> {
        serde_json::from_slice(json)
            .map_err(|error| PlanError::new(format!("the plan cannot be read: {error}")))
    }
}

/// One path, its methods, what is asked of a request, and what answers it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The handler's qualified name, for people, logs and metrics of errors.
    pub name: String,
    /// A template: `/api/entities/{entity_id}`, or `/files/{*rest}`.
    pub path: String,
    /// Empty: every method.
    #[serde(default)]
    pub methods: Vec<String>,
    /// Run in order; the first refusal answers.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// What answers.
    pub terminal: Terminal,
    /// Milliseconds the route may take; `None` takes [`Bounds::timeout_ms`].
    #[serde(default)]
    pub timeout_ms: Option<u64>,
}

/// One filter of a chain. Each names what it asks of the request and pushes the values that it extracts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// A segment of the path; extracts one value.
    Param {
        /// As in the template.
        name: String,
        /// What the text must be.
        kind: Scalar,
    },
    /// A request header; extracts one value.
    Header {
        /// Lower case.
        name: String,
        /// What the text must be.
        kind: Scalar,
    },
    /// The query string read into a record; extracts one value, a record with a place for each field.
    Query {
        /// In the order of the record.
        fields: Vec<Field>,
    },
    /// One parameter of the query string; extracts one value.
    QueryValue {
        /// The parameter and its type.
        field: Field,
    },
    /// A verified bearer token.
    Auth {
        /// All of them are needed; `*` in the token is every scope.
        scopes: Vec<String>,
        /// Whether the claims are extracted as a value.
        extract: bool,
    },
    /// A rate limit: GCRA with burst. Extracts nothing.
    Limit {
        /// The policy's name in `RateLimit-Policy` and in metrics.
        name: String,
        /// Requests per period.
        requests: u32,
        /// The period, milliseconds.
        period_ms: u64,
        /// How many pass at once.
        burst: u32,
        /// Whose requests are counted together.
        by: LimitBy,
        /// Also send the older `X-RateLimit-*` headers.
        #[serde(default)]
        legacy_headers: bool,
        /// Whether all routes with a policy of this name count together.
        #[serde(default)]
        shared: bool,
    },
    /// The body, read whole; extracts one value, bytes that Python decodes.
    Body {
        /// What the content type must be.
        content: Content,
        /// Bytes; `None` takes [`Bounds::body_bytes`].
        #[serde(default)]
        max_bytes: Option<u64>,
        /// The content types that a body of bytes may have, in lower case; empty for any.
        #[serde(default)]
        content_types: Vec<String>,
    },
    /// The request's trace and request id; extracts one value.
    Trace {},
    /// The steps' values, or as many `None` where what they ask for is absent. Present but wrong still refuses.
    Optional {
        /// What is tried.
        steps: Vec<Step>,
    },
    /// The first alternative whose steps all pass; otherwise the refusal of the one that got furthest.
    Or {
        /// Each a chain of its own.
        alternatives: Vec<Vec<Step>>,
        /// Extract the index of the alternative first, for alternatives that Python completes.
        tagged: bool,
    },
}

/// Whose requests a limit counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitBy {
    /// The token's `sub` (within its tenant, where it has one).
    Subject,
    /// The client's address; of IPv6 the /64.
    Address,
    /// All callers of the route together.
    Api,
}

/// What a body's content type must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// `application/json`, `application/*+json` or none given.
    Json,
    /// Anything.
    Bytes,
    /// `text/*` or none given; must be UTF-8.
    Text,
}

/// A field of a query record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// The parameter's name in the query string.
    pub name: String,
    /// What each value must be.
    pub kind: Scalar,
    /// Whether its absence refuses.
    pub required: bool,
    /// Whether it may be given more than once; the value is a list then.
    #[serde(default)]
    pub many: bool,
}

/// What a piece of text must be. Bounds are inclusive unless their name says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Scalar {
    /// A decimal integer that fits 64 bits.
    Int {
        /// Least value.
        #[serde(default)]
        ge: Option<i64>,
        /// Greatest value.
        #[serde(default)]
        le: Option<i64>,
    },
    /// A finite decimal number.
    Float {
        /// Least value.
        #[serde(default)]
        ge: Option<f64>,
        /// Greatest value.
        #[serde(default)]
        le: Option<f64>,
        /// Greater than.
        #[serde(default)]
        gt: Option<f64>,
        /// Less than.
        #[serde(default)]
        lt: Option<f64>,
    },
    /// `true`, `false`, `1` or `0`.
    Bool {},
    /// Text, percent-decoded where it comes from a URI.
    Str {
        /// Least length in characters.
        #[serde(default)]
        min_length: Option<usize>,
        /// Greatest length in characters.
        #[serde(default)]
        max_length: Option<usize>,
        /// A regular expression that must match somewhere (anchor it yourself).
        #[serde(default)]
        pattern: Option<String>,
    },
    /// One of the listed words.
    Choice {
        /// The words.
        values: Vec<String>,
    },
    /// A UUID in its hyphenated form; extracted as text.
    Uuid {},
    /// An RFC 3339 date and time; extracted as text.
    Datetime {},
    /// A full-date of RFC 3339; extracted as text.
    Date {},
}

/// What answers a request that passed the steps.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Terminal {
    /// A Python handler, called with the values.
    Python {
        /// Index into the handlers given beside the plan.
        handler: u32,
        /// Whether it yields chunks.
        #[serde(default)]
        stream: bool,
    },
    /// The same answer every time.
    Answer {
        /// HTTP status.
        status: u16,
        /// `content-type`.
        content_type: String,
        /// UTF-8.
        body: String,
        /// Further headers.
        #[serde(default)]
        headers: Vec<(String, String)>,
    },
    /// The core's counters.
    Metrics {
        /// How they are written.
        format: MetricsFormat,
    },
    /// A file of a folder that is read at start, by the text that the chain extracts.
    Files {
        /// The folder; only what is below it when the gateway starts is served, hidden files never.
        folder: String,
        /// The file that stands for the folder itself.
        #[serde(default)]
        index: Option<String>,
        /// Whether the index answers for what is not there and has no dot in its last segment: routes of a page.
        #[serde(default)]
        fallback: bool,
        /// Beginnings of names that never change their content, and may be kept for a year.
        #[serde(default)]
        immutable: Vec<String>,
        /// Further headers.
        #[serde(default)]
        headers: Vec<(String, String)>,
        /// Content types by extension, before those that are known.
        #[serde(default)]
        types: Vec<(String, String)>,
    },
    /// A WebSocket that sends back what it gets.
    Echo {
        /// Bytes of a message, inflated: closed with 1009 beyond.
        max_bytes: u64,
    },
    /// The hub.
    Hub {
        /// What of it.
        operation: HubOperation,
    },
}

/// What is asked of the hub. A channel is the first text that the chain extracts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HubOperation {
    /// A WebSocket; with a channel it is subscribed to it from the start.
    Socket,
    /// A channel's messages as server-sent events.
    Events,
    /// Publishes a JSON body's `data`.
    Publish,
    /// The channels that are in use.
    Channels,
    /// Who is in a channel.
    Presence,
    /// What a channel has kept.
    History,
    /// Closes the sockets of a subject, or one.
    Disconnect,
    /// Makes tokens worthless.
    Revoke,
    /// Which are.
    Revocations,
}

/// How counters are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricsFormat {
    /// Prometheus text 0.0.4, or `OpenMetrics` 1.0 where `Accept` asks for it.
    Prometheus,
    /// A JSON summary of the whole gateway.
    Summary,
    /// A JSON list with the figures of each route.
    Routes,
    /// A JSON list of the callers who asked most.
    Subjects,
    /// JSON: what happened in each of the last seconds.
    Timeseries,
}

/// What wraps every route. `None` leaves a layer out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layers {
    /// One JSON line per request; without it only errors are written.
    #[serde(default)]
    pub log: Option<Log>,
    /// Cross-origin requests.
    #[serde(default)]
    pub cors: Option<Cors>,
    /// Compressed answers.
    #[serde(default)]
    pub compress: Option<Compress>,
    /// Refuse by address before anything else is looked at.
    #[serde(default)]
    pub limit: Option<AddressLimit>,
}

/// The access log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Least level written: answers below 400 are `info`, below 500 `warning`, else `error`.
    pub level: Level,
}

/// A log level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// For the people who wrote it.
    Debug,
    /// As expected.
    Info,
    /// A request was refused.
    Warning,
    /// The gateway or a back end failed.
    Error,
}

/// Which cross-origin requests browsers may make (Fetch standard, section 3.3).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// Exact origins (`https://app.example.com`), or the one entry `*`.
    pub origins: Vec<String>,
    /// Allowed request headers; the one entry `*` is every header.
    #[serde(default)]
    pub headers: Vec<String>,
    /// Response headers that scripts may read.
    #[serde(default)]
    pub expose: Vec<String>,
    /// Whether cookies and `Authorization` may be sent; not together with `*`.
    #[serde(default)]
    pub credentials: bool,
    /// Seconds that a preflight may be remembered.
    pub max_age: u64,
    /// Whether public pages may reach this private address (Private Network Access).
    #[serde(default)]
    pub private_network: bool,
}

/// Which answers are compressed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compress {
    /// Bytes; shorter answers stay as they are.
    pub min_bytes: usize,
    /// In order of preference among equal q-values: `br`, `gzip`.
    pub encodings: Vec<String>,
    /// Content types; `text/*` is every text.
    pub types: Vec<String>,
}

/// A limit on each client address, checked before the token.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddressLimit {
    /// Requests per period.
    pub requests: u32,
    /// The period, milliseconds.
    pub period_ms: u64,
    /// How many pass at once.
    pub burst: u32,
}

/// How bearer tokens are verified (RFC 7519, RFC 8725).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// Tried by `kid` where the token names one, otherwise by algorithm.
    pub keys: Vec<Key>,
    /// Required `iss`.
    #[serde(default)]
    pub issuer: Option<String>,
    /// Required `aud`.
    #[serde(default)]
    pub audience: Option<String>,
    /// Seconds of clock difference allowed on `exp` and `nbf`.
    #[serde(default)]
    pub leeway: u64,
    /// Verified tokens remembered; 0 verifies each time.
    pub cache: usize,
}

/// A key that tokens may be signed with. The key itself travels beside the plan, never in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The name of the secret given beside the plan: HMAC bytes, or a public key in PEM.
    pub secret: String,
    /// The only algorithms accepted with it: `HS256`, `RS256`, `ES256`, `EdDSA`, ...
    pub algorithms: Vec<String>,
    /// The `kid` that tokens name it by.
    #[serde(default)]
    pub kid: Option<String>,
}

/// Channels and what sockets may do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hub {
    /// The rules of channels; a channel that none matches does not exist for clients.
    pub namespaces: Vec<Namespace>,
    /// Milliseconds between two signs of life that a socket is asked for.
    pub heartbeat_ms: u64,
    /// Sockets and streams of one subject, or of one address where there is no token: 429 beyond.
    pub sockets: u32,
    /// Channels that one socket may be subscribed to.
    pub subscriptions: u32,
    /// Channels in use at once.
    pub channels: u32,
    /// Bytes of a client's frame, inflated: closed with 1009 beyond.
    pub max_bytes: u64,
    /// Bytes of all histories together; the oldest go first.
    pub history_bytes: u64,
    /// Milliseconds between two publications of the counters on the channel `metrics`; 0 never publishes them.
    pub metrics_ms: u64,
    /// The scope whose bearer may subscribe, publish and look at every channel.
    pub operator: String,
    /// The scope that acts beyond the tenant of its token.
    #[serde(default = "global_operator")]
    pub global_operator: String,
    /// A step `limit` that counts the frames of clients, with all of its name.
    #[serde(default)]
    pub messages: Option<MessageLimit>,
    /// Frames of all sockets of one tenant.
    #[serde(default)]
    pub tenant_messages: Option<Rate>,
    /// Bytes of the frames of one subject.
    #[serde(default)]
    pub bytes: Option<Rate>,
    /// Bytes of the frames of one tenant.
    #[serde(default)]
    pub tenant_bytes: Option<Rate>,
    /// What replicas share channels through; without it there is one replica.
    #[serde(default)]
    pub redis: Option<HubRedis>,
}

fn global_operator() -> String {
    "admin:global".into()
}

/// A [`Step::Limit`], which is all it may be.
pub type MessageLimit = Step;

/// The rules of the channels that a name matches.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Namespace {
    /// A channel's own name, or one that ends in `*`; the segments `{tenant}` and `{sub}` must be the caller's claims.
    pub name: String,
    /// Who may subscribe; `None` is nobody.
    #[serde(default)]
    pub subscribe: Option<Access>,
    /// Who may publish; `None` is nobody but the gateway itself.
    #[serde(default)]
    pub publish: Option<Access>,
    /// Messages kept.
    pub history: u32,
    /// Milliseconds that a message is kept at most.
    pub history_ms: u64,
    /// Whether it is told who is subscribed.
    #[serde(default)]
    pub presence: bool,
    /// Bytes of a message's data.
    pub max_bytes: u64,
    /// Publications of one subject.
    #[serde(default)]
    pub rate: Option<Rate>,
    /// What becomes of a subscriber who lags too far behind.
    pub overflow: Overflow,
    /// Messages that a subscriber may lag behind.
    pub queue: u32,
    /// The same in bytes.
    pub queue_bytes: u64,
    /// Whether replicas share the channels.
    #[serde(default = "yes")]
    pub shared: bool,
    /// What is promised of a message.
    #[serde(default)]
    pub delivery: Delivery,
}

/// What is promised of a message of a channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// It is sent to those who listen; who lost some asks for them by the place it has reached.
    #[default]
    AtMostOnce,
    /// The hub remembers what each consumer has acknowledged, and sends it the rest again when it comes back.
    AtLeastOnce,
}

fn yes() -> bool {
    true
}

/// What becomes of a subscriber who lags too far behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// It loses the oldest messages, and is told how many.
    DropOldest,
    /// It gets the newest of each key, and is told how many it did not get.
    Conflate,
    /// It is closed with 4008.
    Disconnect,
}

/// Who may do something.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// All of them are needed.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Whether those without a token may too.
    #[serde(default)]
    pub anonymous: bool,
}

/// How much, in messages or bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Per period.
    pub amount: u64,
    /// Milliseconds.
    pub period_ms: u64,
    /// What passes at once.
    pub burst: u64,
}

/// Where replicas meet.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubRedis {
    /// The name of the secret that is its URL.
    pub secret: String,
    /// What its keys begin with: gateways with the same share their channels.
    pub prefix: String,
}

/// What a request may be at most.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// Bytes of a body: 413 beyond.
    pub body_bytes: u64,
    /// Bytes of all header lines: 431 beyond.
    pub header_bytes: usize,
    /// Bytes of the request target: 414 beyond.
    pub uri_bytes: usize,
    /// Milliseconds from the first byte of a request until its head is whole: closed beyond.
    pub head_timeout_ms: u64,
    /// Milliseconds a kept-alive connection may be silent.
    pub idle_timeout_ms: u64,
    /// Milliseconds that a client may leave what is written to it without taking any of it.
    #[serde(default = "write_timeout_ms")]
    pub write_timeout_ms: u64,
    /// Milliseconds from a whole head to the answer's: 408 while the body is read, 504 while the handler runs.
    pub timeout_ms: u64,
    /// Calls that may wait for Python: 503 beyond.
    pub queue: usize,
}

fn write_timeout_ms() -> u64 {
    60_000
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            body_bytes: 1 << 20,
            header_bytes: 16 << 10,
            uri_bytes: 8 << 10,
            head_timeout_ms: 10_000,
            idle_timeout_ms: 75_000,
            write_timeout_ms: write_timeout_ms(),
            timeout_ms: 30_000,
            queue: 4096,
        }
    }
}
