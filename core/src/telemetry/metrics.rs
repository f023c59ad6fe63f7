//! `metrics`: exact counters of every answer, by route template, method and status, and their two forms: Prometheus
//! text (`OpenMetrics` with exemplars where asked for) and a JSON summary.
//!
//! The series are registered when a plan is compiled: a request adds to one and never creates one.

pub mod samples;
mod series_set;
pub mod top;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use crate::filters::limit::LimitRegistry;
use crate::filters::limit::metrics::LimitSnapshot;
use crate::hub::figures::{self as hub, Figures as HubFigures, Told};
use crate::reject::KINDS;
use samples::{Gauges, Samples, Totals};
use series_set::SeriesSet;
use top::{Caller, Top};

/// Upper bounds of the latency histogram, seconds; a last bucket holds what is above.
pub const BUCKETS: [f64; 18] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0, 30.0,
];
const BUCKET_NANOS: [u64; BUCKETS.len()] = {
    let mut nanos = [0; BUCKETS.len()];
    let mut index = 0;
    while index < nanos.len() {
        nanos[index] = (BUCKETS[index] * 1e9 + 0.5) as u64;
        index += 1;
    }
    nanos
};

/// Callers that are counted, and listed in the summary.
const CALLERS: usize = 128;
const LISTED: usize = 10;
/// Routes in the summary: those that were called most.
const BUSIEST: usize = 200;
const SAMPLE_MILLIS: u64 = 1000;

/// The statuses that have a counter each; any other is counted as the last, `other`.
const STATUSES: [u16; 38] = [
    101, 200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 406, 408,
    409, 410, 412, 413, 414, 415, 418, 422, 425, 426, 428, 429, 431, 499, 500, 501, 502, 503, 504,
];

/// Who gave an answer. The two are timed apart: a refusal takes microseconds, whatever the back end does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The route's own answer, whatever its status.
    Answered,
    /// The gateway refused the request before the route's handler was called.
    Refused,
}

const OUTCOMES: [(Outcome, &str); 2] =
    [(Outcome::Answered, "answered"), (Outcome::Refused, "refused")];

/// Answers by time.
type Buckets = [u64; BUCKETS.len() + 1];

/// Answers by time, and the time of all of them.
struct Times {
    buckets: [AtomicU64; BUCKETS.len() + 1],
    nanos: AtomicU64,
}

impl Times {
    fn new() -> Self {
        Self { buckets: zeros(), nanos: AtomicU64::new(0) }
    }

    fn buckets(&self) -> Buckets {
        std::array::from_fn(|place| self.buckets[place].load(Ordering::Relaxed))
    }

    fn seconds(&self) -> f64 {
        self.nanos.load(Ordering::Relaxed) as f64 / 1e9
    }

    fn is_used(&self) -> bool {
        self.buckets.iter().any(|count| count.load(Ordering::Relaxed) > 0)
    }
}

/// The figures of one route and method.
pub struct Series {
    /// The path template.
    pub route: Box<str>,
    /// The method, or `other`.
    pub method: Box<str>,
    statuses: [AtomicU64; STATUSES.len() + 1],
    /// By outcome.
    times: [Times; OUTCOMES.len()],
    bytes: AtomicU64,
    /// Of the route's own answers, by bucket; empty until the first, for most series of a large gateway are never used.
    exemplars: Mutex<Vec<Option<Exemplar>>>,
}

#[derive(Clone, Copy)]
struct Exemplar {
    trace_id: [u8; 32],
    seconds: f64,
}

fn zeros<const N: usize>() -> [AtomicU64; N] {
    std::array::from_fn(|_| AtomicU64::new(0))
}

impl Series {
    /// A series at zero.
    pub fn new(route: &str, method: &str) -> Self {
        Self {
            route: route.into(),
            method: method.into(),
            statuses: zeros(),
            times: [Times::new(), Times::new()],
            bytes: AtomicU64::new(0),
            exemplars: Mutex::new(Vec::new()),
        }
    }

    /// Counts an answer. `bytes` is the length of its body.
    pub fn observe(
        &self,
        (status, outcome): (u16, Outcome),
        elapsed: Duration,
        bytes: u64,
        trace_id: &[u8; 32],
    ) {
        let place = STATUSES.binary_search(&status).unwrap_or(STATUSES.len());
        self.statuses[place].fetch_add(1, Ordering::Relaxed);
        let nanos = elapsed.as_nanos() as u64;
        let bucket = BUCKET_NANOS.partition_point(|bound| *bound < nanos);
        let times = &self.times[outcome as usize];
        let before = times.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        times.nanos.fetch_add(nanos, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        // An exemplar is a sample: one of 64 is plenty, and a reader at work is not waited for.
        if before.is_multiple_of(64)
            && outcome == Outcome::Answered
            && let Some(mut exemplars) = self.exemplars.try_lock()
        {
            let seconds = elapsed.as_secs_f64();
            exemplars.resize(BUCKETS.len() + 1, None);
            exemplars[bucket] = Some(Exemplar { trace_id: *trace_id, seconds });
        }
    }

    fn counts(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        self.statuses.iter().enumerate().filter_map(|(place, count)| {
            let count = count.load(Ordering::Relaxed);
            let label = || STATUSES.get(place).map_or_else(|| "other".into(), ToString::to_string);
            (count > 0).then(|| (label(), count))
        })
    }

    /// Adds what another has counted.
    fn absorb(&self, other: &Self) {
        let add = |sum: &AtomicU64, count: &AtomicU64| {
            sum.fetch_add(count.load(Ordering::Relaxed), Ordering::Relaxed);
        };
        self.statuses.iter().zip(&other.statuses).for_each(|(sum, count)| add(sum, count));
        for (sum, times) in self.times.iter().zip(&other.times) {
            sum.buckets.iter().zip(&times.buckets).for_each(|(sum, count)| add(sum, count));
            add(&sum.nanos, &times.nanos);
        }
        add(&self.bytes, &other.bytes);
    }

    /// Whether any answer was counted.
    fn is_used(&self) -> bool {
        self.times.iter().any(Times::is_used)
    }

    fn times(&self, outcome: Outcome) -> &Times {
        &self.times[outcome as usize]
    }
}

/// Every counter of a gateway.
pub struct Metrics {
    series: Mutex<SeriesSet>,
    refusals: Vec<AtomicU64>,
    limits: Arc<LimitRegistry>,
    callers: Mutex<Top>,
    samples: Mutex<Samples>,
    /// Milliseconds after the start at which the last sample was taken.
    sampled: AtomicU64,
    started: Instant,
    /// Requests being answered now.
    pub in_flight: AtomicI64,
    /// Connections open now.
    pub connections: AtomicI64,
    /// Connections accepted since the start.
    pub accepted: AtomicU64,
    /// Calls handed to Python since the start.
    pub python_calls: AtomicU64,
    /// Log lines lost because the reader of the log was too slow.
    pub log_lost: AtomicU64,
    /// The hub's own counters.
    pub realtime: OnceLock<Arc<HubFigures>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl Metrics {
    /// Counters at zero, without any series, beside those that the limits count themselves.
    pub fn new(limits: Arc<LimitRegistry>) -> Self {
        Self {
            series: Mutex::default(),
            refusals: KINDS.iter().map(|_| AtomicU64::new(0)).collect(),
            limits,
            callers: Mutex::new(Top::new(CALLERS)),
            samples: Mutex::new(Samples::default()),
            sampled: AtomicU64::new(0),
            started: Instant::now(),
            in_flight: AtomicI64::new(0),
            connections: AtomicI64::new(0),
            accepted: AtomicU64::new(0),
            python_calls: AtomicU64::new(0),
            log_lost: AtomicU64::new(0),
            realtime: OnceLock::new(),
        }
    }

    /// The series of a route and method, created at zero unless it exists.
    pub fn series(&self, route: &str, method: &str) -> Arc<Series> {
        self.series.lock().obtain(route, method)
    }

    /// Frees the series that no program has, as far as they need not be written any more.
    pub fn prune_series(&self) {
        self.series.lock().prune();
    }

    /// Counts a refusal by its code.
    pub fn refuse(&self, code: &str) {
        if let Some(place) = KINDS.iter().position(|kind| kind.code == code) {
            self.refusals[place].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a request of a caller that has a token.
    pub fn call(&self, tenant: Option<&str>, subject: &str) {
        self.callers.lock().count(tenant, subject);
    }

    /// Keeps what was counted in the last second, if one has passed; any thread may ask, at any time.
    pub fn sample(&self) {
        let now = self.started.elapsed().as_millis() as u64;
        let last = self.sampled.load(Ordering::Relaxed);
        if now < last + SAMPLE_MILLIS {
            return;
        }
        let taken =
            self.sampled.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if taken {
            let process = Process::read();
            let gauges = Gauges {
                in_flight: self.in_flight.load(Ordering::Relaxed),
                connections_open: self.connections.load(Ordering::Relaxed),
                resident_bytes: process.resident_bytes,
            };
            let totals = Totals { cpu_seconds: process.cpu_seconds, ..self.totals() };
            let seconds = (now - last) as f32 / 1e3;
            self.samples.lock().push(crate::clock::now_millis(), seconds, totals, gauges);
        }
    }

    fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for series in self.used() {
            for (place, count) in series.statuses.iter().enumerate() {
                let count = count.load(Ordering::Relaxed);
                totals.requests += count;
                match STATUSES.get(place) {
                    Some(400..=499) => totals.client_errors += count,
                    Some(500..) => totals.server_errors += count,
                    _ => {}
                }
            }
            totals.response_bytes += series.bytes.load(Ordering::Relaxed);
            add(&mut totals.answered, &series.times(Outcome::Answered).buckets());
            add(&mut totals.refused, &series.times(Outcome::Refused).buckets());
        }
        totals
    }

    fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        KINDS.iter().zip(&self.refusals).filter_map(|(kind, count)| {
            let count = count.load(Ordering::Relaxed);
            (count > 0).then_some((kind.code, count))
        })
    }

    /// Prometheus text 0.0.4, or `OpenMetrics` 1.0 with exemplars.
    pub fn text(&self, open: bool) -> String {
        let mut out = Text { out: String::with_capacity(16 << 10), open };
        self.write_requests(&mut out);
        self.write_gauges(&mut out);
        if let Some(realtime) = self.realtime.get() {
            write_realtime(&mut out, realtime);
        }
        write_process(&mut out, self.started.elapsed());
        if open {
            out.out.push_str("# EOF\n");
        }
        out.out
    }

    fn write_requests(&self, out: &mut Text) {
        let used = self.used();
        out.family("nexus_http_requests", "counter", "Answers by route, method and status.");
        for series in &used {
            for (status, count) in series.counts() {
                let (route, method) = (escape(&series.route), &series.method);
                let labels =
                    format!("{{route=\"{route}\",method=\"{method}\",status=\"{status}\"}}");
                out.sample("nexus_http_requests_total", &labels, count);
            }
        }
        let name = "nexus_http_request_duration_seconds";
        let help =
            "Time from a request's head to its answer's; refused by the gateway, or answered.";
        out.family(name, "histogram", help);
        for series in &used {
            for (outcome, label) in OUTCOMES {
                if series.times(outcome).is_used() {
                    out.histogram(name, series, (outcome, label));
                }
            }
        }
        out.family("nexus_http_response_bytes", "counter", "Bytes of answers' bodies.");
        for series in &used {
            let (route, method) = (escape(&series.route), &series.method);
            let labels = format!("{{route=\"{route}\",method=\"{method}\"}}");
            let bytes = series.bytes.load(Ordering::Relaxed);
            out.sample("nexus_http_response_bytes_total", &labels, bytes);
        }
        out.family("nexus_refusals", "counter", "Refusals by code.");
        for (code, count) in self.refusals() {
            out.sample("nexus_refusals_total", &format!("{{code=\"{code}\"}}"), count);
        }
        out.family("nexus_limit_requests", "counter", "Requests by limit and what it decided.");
        // One sample for each name: limits may share a name and have other rules, and a set of labels
        // must not occur twice.
        for (name, (passed, refused)) in self.limits.totals() {
            for (outcome, count) in [("passed", passed), ("refused", refused)] {
                let labels = format!("{{limit=\"{}\",outcome=\"{outcome}\"}}", escape(&name));
                out.sample("nexus_limit_requests_total", &labels, count);
            }
        }
    }

    fn write_gauges(&self, out: &mut Text) {
        for (name, help, value) in [
            ("nexus_http_requests_in_flight", "Requests being answered.", &self.in_flight),
            ("nexus_connections_open", "Connections open.", &self.connections),
        ] {
            out.family(name, "gauge", help);
            out.sample(name, "", value.load(Ordering::Relaxed));
        }
        for (name, help, value) in [
            ("nexus_connections", "Connections accepted.", &self.accepted),
            ("nexus_python_calls", "Calls handed to Python.", &self.python_calls),
            ("nexus_log_lines_lost", "Log lines lost to a slow reader.", &self.log_lost),
        ] {
            out.family(name, "counter", help);
            out.sample(&format!("{name}_total"), "", value.load(Ordering::Relaxed));
        }
    }

    fn used(&self) -> Vec<Arc<Series>> {
        self.series.lock().iter().filter(|series| series.is_used()).cloned().collect()
    }

    /// The figures of the whole gateway, as JSON.
    pub fn summary(&self) -> Vec<u8> {
        let mut by_status = std::collections::BTreeMap::new();
        let mut figures = Figures::default();
        let used = self.used();
        let limits = self.limits.metrics();
        figures.read(used.iter().map(|series| &**series));
        for series in &used {
            for (status, count) in series.counts() {
                *by_status.entry(status).or_insert(0) += count;
            }
        }
        let uptime = self.started.elapsed().as_secs_f64();
        json(&Summary {
            timestamp: crate::clock::timestamp(),
            uptime_seconds: uptime,
            realtime: self.realtime.get().map(|figures| figures.tell()),
            requests: figures,
            statuses: by_status,
            refusals: self.refusals().collect(),
            bounds_seconds: BUCKETS,
            routes: busiest(&used),
            limits: limits.iter().map(|limit| limit.read()).collect(),
            subjects: self.callers.lock().list(LISTED),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            connections_open: self.connections.load(Ordering::Relaxed),
            connections_total: self.accepted.load(Ordering::Relaxed),
            python_calls: self.python_calls.load(Ordering::Relaxed),
            process: Process::read(),
        })
    }

    /// The callers with a token who asked most, as JSON.
    pub fn subjects(&self) -> Vec<u8> {
        let items = self.callers.lock().list(CALLERS);
        json(&serde_json::json!({ "items": items, "next_cursor": null }))
    }

    /// What happened in each of the last seconds, as JSON.
    pub fn timeseries(&self) -> Vec<u8> {
        self.samples.lock().json()
    }

    /// The figures of each route that was called, as JSON.
    pub fn routes(&self) -> Vec<u8> {
        let used = self.used();
        let items: Vec<RouteFigures<'_>> = used
            .iter()
            .map(|series| {
                let mut figures = Figures::default();
                figures.read(std::iter::once(&**series));
                RouteFigures {
                    route: &series.route,
                    method: &series.method,
                    statuses: series.counts().collect(),
                    figures,
                }
            })
            .collect();
        json(&serde_json::json!({ "items": items, "next_cursor": null }))
    }
}

fn busiest(used: &[Arc<Series>]) -> Vec<RouteLine<'_>> {
    let mut lines: Vec<RouteLine<'_>> = used.iter().map(|series| RouteLine::read(series)).collect();
    lines.sort_by_key(|line| std::cmp::Reverse(line.total));
    lines.truncate(BUSIEST);
    lines
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn write_realtime(out: &mut Text, realtime: &hub::Figures) {
    let read = |count: &AtomicI64| count.load(Ordering::Relaxed);
    for (name, help, value) in [
        ("nexus_realtime_sockets", "Sockets of the hub open.", read(&realtime.sockets)),
        ("nexus_realtime_streams", "Streams of events open.", read(&realtime.streams)),
        ("nexus_realtime_channels", "Channels in use.", read(&realtime.channels)),
        ("nexus_realtime_broker_away", "Whether the broker is away.", read(&realtime.away)),
    ] {
        out.family(name, "gauge", help);
        out.sample(name, "", value);
    }
    out.family("nexus_realtime_frames", "counter", "Frames that came from clients.");
    out.sample("nexus_realtime_frames_total", "", realtime.frames.load(Ordering::Relaxed));
    for (name, help, pick) in REALTIME {
        out.family(name, "counter", help);
        for (namespace, counters) in realtime.namespaces() {
            let labels = format!("{{namespace=\"{}\"}}", escape(namespace));
            out.sample(&format!("{name}_total"), &labels, pick(counters).load(Ordering::Relaxed));
        }
    }
    out.family("nexus_realtime_refused", "counter", "Frames refused by code.");
    for (code, count) in realtime.refused() {
        out.sample("nexus_realtime_refused_total", &format!("{{code=\"{code}\"}}"), count);
    }
}

type Pick = fn(&hub::Counters) -> &AtomicU64;

/// The hub's counters by namespace.
const REALTIME: [(&str, &str, Pick); 3] = [
    ("nexus_realtime_published", "Messages published.", |counters| &counters.published),
    ("nexus_realtime_delivered", "Messages handed to subscribers.", |counters| &counters.delivered),
    ("nexus_realtime_dropped", "Messages that slow subscribers lost.", |counters| {
        &counters.dropped
    }),
];

#[derive(Serialize)]
struct Summary<'a> {
    timestamp: String,
    uptime_seconds: f64,
    requests: Figures,
    statuses: std::collections::BTreeMap<String, u64>,
    refusals: std::collections::BTreeMap<&'static str, u64>,
    bounds_seconds: [f64; BUCKETS.len()],
    routes: Vec<RouteLine<'a>>,
    limits: Vec<LimitSnapshot<'a>>,
    subjects: Vec<Caller>,
    #[serde(skip_serializing_if = "Option::is_none")]
    realtime: Option<Told<'a>>,
    in_flight: i64,
    connections_open: i64,
    connections_total: u64,
    python_calls: u64,
    process: Process,
}

#[derive(Serialize)]
struct RouteFigures<'a> {
    route: &'a str,
    method: &'a str,
    statuses: std::collections::BTreeMap<String, u64>,
    #[serde(flatten)]
    figures: Figures,
}

/// A route in the summary: what a table needs, sent twice a second.
#[derive(Serialize)]
struct RouteLine<'a> {
    route: &'a str,
    method: &'a str,
    total: u64,
    client_errors: u64,
    server_errors: u64,
    response_bytes: u64,
    mean_seconds: f64,
    p50_seconds: f64,
    p95_seconds: f64,
    p99_seconds: f64,
    refused: u64,
    refused_p50_seconds: f64,
    refused_p99_seconds: f64,
}

impl<'a> RouteLine<'a> {
    fn read(series: &'a Series) -> Self {
        let mut figures = Figures::default();
        figures.read(std::iter::once(series));
        let client_errors = series.counts().filter(|(status, _)| status.starts_with('4'));
        Self {
            route: &series.route,
            method: &series.method,
            total: figures.total,
            client_errors: client_errors.map(|(_, count)| count).sum(),
            server_errors: figures.errors,
            response_bytes: figures.response_bytes,
            mean_seconds: figures.mean_seconds,
            p50_seconds: figures.p50_seconds,
            p95_seconds: figures.p95_seconds,
            p99_seconds: figures.p99_seconds,
            refused: figures.refused,
            refused_p50_seconds: figures.refused_p50_seconds,
            refused_p99_seconds: figures.refused_p99_seconds,
        }
    }
}

#[derive(Default, Serialize)]
struct Figures {
    total: u64,
    errors: u64,
    response_bytes: u64,
    seconds_total: f64,
    /// These four are of the answers that the gateway did not refuse by itself.
    mean_seconds: f64,
    p50_seconds: f64,
    p95_seconds: f64,
    p99_seconds: f64,
    /// Requests that the gateway refused by itself, and what these took.
    refused: u64,
    refused_mean_seconds: f64,
    refused_p50_seconds: f64,
    refused_p95_seconds: f64,
    refused_p99_seconds: f64,
    /// How many took as long as each of the bounds at most, and longer than the one before; the last took longer.
    buckets: Buckets,
    /// How many of these were refused.
    refused_buckets: Buckets,
    #[serde(skip)]
    answered_buckets: Buckets,
    #[serde(skip)]
    refused_seconds: f64,
}

impl Figures {
    fn read<'s>(&mut self, all: impl Iterator<Item = &'s Series>) {
        for series in all {
            self.add(series);
        }
        self.finish();
    }

    fn add(&mut self, series: &Series) {
        for (status, count) in series.counts() {
            self.total += count;
            self.errors += if status.starts_with('5') { count } else { 0 };
        }
        self.response_bytes += series.bytes.load(Ordering::Relaxed);
        let (answered, refused) = (series.times(Outcome::Answered), series.times(Outcome::Refused));
        self.seconds_total += answered.seconds() + refused.seconds();
        self.refused_seconds += refused.seconds();
        add(&mut self.answered_buckets, &answered.buckets());
        add(&mut self.refused_buckets, &refused.buckets());
    }

    fn finish(&mut self) {
        let (answered, refused) = (&self.answered_buckets, &self.refused_buckets);
        self.refused = refused.iter().sum();
        let mean = |seconds: f64, count: u64| if count > 0 { seconds / count as f64 } else { 0.0 };
        self.mean_seconds = mean(self.seconds_total - self.refused_seconds, answered.iter().sum());
        self.refused_mean_seconds = mean(self.refused_seconds, self.refused);
        self.p50_seconds = quantile(0.50, answered);
        self.p95_seconds = quantile(0.95, answered);
        self.p99_seconds = quantile(0.99, answered);
        self.refused_p50_seconds = quantile(0.50, refused);
        self.refused_p95_seconds = quantile(0.95, refused);
        self.refused_p99_seconds = quantile(0.99, refused);
        add(&mut self.buckets, answered);
        add(&mut self.buckets, refused);
    }
}

fn add(sums: &mut Buckets, counts: &Buckets) {
    for (sum, count) in sums.iter_mut().zip(counts) {
        *sum += count;
    }
}

/// The quantile as Prometheus' `histogram_quantile` reads it: linear within a bucket.
fn quantile(q: f64, buckets: &[u64]) -> f64 {
    let total: u64 = buckets.iter().sum();
    let rank = q * total as f64;
    let mut below = 0;
    for (place, count) in buckets.iter().enumerate() {
        let upper = BUCKETS.get(place).copied().unwrap_or(BUCKETS[BUCKETS.len() - 1]);
        if *count > 0 && (below + count) as f64 >= rank {
            let lower = if place == 0 { 0.0 } else { BUCKETS[place - 1] };
            let within = (rank - below as f64) / *count as f64;
            return lower + (upper - lower).max(0.0) * within.clamp(0.0, 1.0);
        }
        below += count;
    }
    0.0
}

fn escape(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

struct Text {
    out: String,
    open: bool,
}

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // OpenMetrics names a counter's family without `_total`, Prometheus' own format with it.
        let suffix = if kind == "counter" && !self.open { "_total" } else { "" };
        let _ = writeln!(self.out, "# HELP {name}{suffix} {help}");
        let _ = writeln!(self.out, "# TYPE {name}{suffix} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.out, "{name}{labels} {value}");
    }

    fn histogram(&mut self, name: &str, series: &Series, (outcome, label): (Outcome, &str)) {
        let (route, method) = (escape(&series.route), &series.method);
        let labels = format!("route=\"{route}\",method=\"{method}\",outcome=\"{label}\"");
        let times = series.times(outcome);
        let exemplars = match outcome {
            Outcome::Answered => series.exemplars.lock().clone(),
            Outcome::Refused => Vec::new(),
        };
        let mut cumulative = 0;
        for (place, count) in times.buckets().iter().enumerate() {
            cumulative += count;
            let bound = BUCKETS.get(place).map_or_else(|| "+Inf".into(), ToString::to_string);
            let _ = write!(self.out, "{name}_bucket{{{labels},le=\"{bound}\"}} {cumulative}");
            if let (true, Some(Some(exemplar))) = (self.open, exemplars.get(place)) {
                let trace_id = String::from_utf8_lossy(&exemplar.trace_id);
                let _ = write!(self.out, " # {{trace_id=\"{trace_id}\"}} {}", exemplar.seconds);
            }
            self.out.push('\n');
        }
        self.sample(&format!("{name}_sum"), &format!("{{{labels}}}"), times.seconds());
        self.sample(&format!("{name}_count"), &format!("{{{labels}}}"), cumulative);
    }
}

fn write_process(out: &mut Text, uptime: Duration) {
    let process = Process::read();
    out.family("process_resident_memory_bytes", "gauge", "Resident memory.");
    out.sample("process_resident_memory_bytes", "", process.resident_bytes);
    out.family("process_cpu_seconds", "counter", "User and system CPU time.");
    out.sample("process_cpu_seconds_total", "", process.cpu_seconds);
    out.family("process_open_fds", "gauge", "Open file descriptors.");
    out.sample("process_open_fds", "", process.open_files);
    out.family("nexus_uptime_seconds", "gauge", "Seconds since the start.");
    out.sample("nexus_uptime_seconds", "", uptime.as_secs_f64());
}

#[derive(Default, Serialize)]
struct Process {
    resident_bytes: u64,
    cpu_seconds: f64,
    open_files: usize,
}

impl Process {
    /// Reads `/proc/self`; zeros where there is none.
    fn read() -> Self {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages: u64 =
            statm.split_whitespace().nth(1).and_then(|field| field.parse().ok()).unwrap_or(0);
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The command's name may hold blanks; the fields after its parenthesis do not (proc(5)).
        let fields: Vec<&str> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |place: usize| -> f64 {
            fields.get(place).and_then(|field| field.parse().ok()).unwrap_or(0.0)
        };
        Self {
            resident_bytes: pages * 4096,
            cpu_seconds: (ticks(11) + ticks(12)) / 100.0,
            open_files: std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: (u16, Outcome) = (200, Outcome::Answered);

    fn observed() -> Metrics {
        let metrics = Metrics::default();
        let series = metrics.series("/a/{id}", "GET");
        metrics.series("/b", "POST");
        for millis in [1, 2, 3, 40] {
            series.observe(OK, Duration::from_millis(millis), 10, &[b'a'; 32]);
        }
        series.observe((777, Outcome::Answered), Duration::from_secs(60), 0, &[b'b'; 32]);
        metrics.refuse("not_found");
        metrics
    }

    #[test]
    fn what_the_gateway_refuses_is_timed_apart() {
        let metrics = Metrics::default();
        let series = metrics.series("/slow", "GET");
        let refused = (429, Outcome::Refused);
        for _ in 0..75 {
            series.observe(refused, Duration::from_micros(34), 1, &[b'a'; 32]);
        }
        for _ in 0..25 {
            series.observe(OK, Duration::from_millis(800), 1, &[b'b'; 32]);
        }

        let summary: serde_json::Value = serde_json::from_slice(&metrics.summary()).unwrap();
        for figures in [&summary["requests"], &summary["routes"][0]] {
            assert_eq!((&figures["total"], &figures["refused"]), (&100.into(), &75.into()));
            let p50 = figures["p50_seconds"].as_f64().unwrap();
            assert!((0.5..=1.0).contains(&p50), "{p50}");
            let mean = figures["mean_seconds"].as_f64().unwrap();
            assert!((mean - 0.8).abs() < 1e-9, "{mean}");
            assert!(figures["refused_p99_seconds"].as_f64().unwrap() <= 0.000_05);
        }
        let sum = |name: &str| -> u64 {
            let buckets = summary["requests"][name].as_array().unwrap();
            buckets.iter().map(|count| count.as_u64().unwrap()).sum()
        };
        assert_eq!((sum("buckets"), sum("refused_buckets")), (100, 75));
        let text = metrics.text(false);
        let labels =
            |outcome: &str| format!("route=\"/slow\",method=\"GET\",outcome=\"{outcome}\"");
        let count = "nexus_http_request_duration_seconds_count";
        assert!(text.contains(&format!("{count}{{{}}} 25", labels("answered"))), "{text}");
        assert!(text.contains(&format!("{count}{{{}}} 75", labels("refused"))), "{text}");
    }

    #[test]
    fn every_answer_is_counted_once_and_an_unknown_status_as_other() {
        let text = observed().text(false);

        assert!(text.contains(
            "nexus_http_requests_total{route=\"/a/{id}\",method=\"GET\",status=\"200\"} 4\n"
        ));
        assert!(text.contains("status=\"other\"} 1\n"));
        assert!(text.contains("le=\"0.0025\"} 2\n"));
        assert!(text.contains("le=\"+Inf\"} 5\n"));
        assert!(text.contains("nexus_refusals_total{code=\"not_found\"} 1\n"));
        assert!(!text.contains("/b"), "a series that was never used is not written");
    }

    #[test]
    fn open_metrics_ends_with_eof_and_links_exemplars_to_traces() {
        let text = observed().text(true);

        assert!(text.ends_with("# EOF\n"));
        assert!(text.contains("# {trace_id=\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"} 0.001"));
        assert!(text.contains("# TYPE nexus_http_requests counter\n"));
    }

    #[test]
    fn statuses_are_sorted_so_that_they_can_be_searched() {
        assert!(STATUSES.is_sorted());
    }

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        let mut buckets = [0; BUCKETS.len() + 1];
        buckets[4] = 90;
        buckets[7] = 10;

        let median = quantile(0.5, &buckets);
        let p95 = quantile(0.95, &buckets);
        assert!((BUCKETS[3]..=BUCKETS[4]).contains(&median), "{median}");
        assert!((BUCKETS[6]..=BUCKETS[7]).contains(&p95), "{p95}");
    }
}
