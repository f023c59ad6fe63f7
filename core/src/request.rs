//! One request: its head is checked, a route found, the route's filters run, its terminal asked; and whatever comes of
//! it, also a refusal or a panic, leaves through the same layers: ids, CORS, compression, counters, log.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body as HttpBody;
use http_body_util::BodyExt;
use hyper::upgrade::OnUpgrade;
use tokio::time::timeout_at;

use crate::answer::{Answer, Body, Content};
use crate::connection::Activity;
use crate::filters::{Context, Filter, WantedBody, body as body_filter};
use crate::framing::Fault;
use crate::handler::Calling;
use crate::head;
use crate::identity::Claims;
use crate::layers::compress::pool::INLINE_BYTES_MAX;
use crate::layers::compress::{self, Coding, Encoder};
use crate::path;
use crate::plan;
use crate::program::Program;
use crate::reject::{self, Rejection};
use crate::response_head;
use crate::router::Found;
use crate::server::Worker;
use crate::telemetry::log::{self, Access};
use crate::telemetry::metrics::Outcome;
use crate::terminals::hub::Passed;
use crate::terminals::{Terminal, metrics};
use crate::trace::Trace;
use crate::value::Value;
use crate::{error_response, panics};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// What a client may still send of a body that was refused, so that it reads the refusal instead of a reset.
const DRAINED_BYTES: usize = 16 << 20;
const DRAINED_FOR: Duration = Duration::from_secs(5);
/// Pieces of a body, chunks or frames, that may be small.
const SMALL_PIECES_MAX: usize = 16 << 10;
/// Bytes that a piece has on average where a body has more of them.
const PIECE_BYTES_MIN: usize = 16;

/// A request's body as it leaves: kept with it is what must last until the body has left.
pub type Sent = Body<Kept>;

/// What lasts until a body has left: the connection counts as busy, a stream as in flight.
pub struct Kept {
    _activity: Option<Activity>,
    _exchange: Option<Box<Exchange>>,
}

/// Answers one request. Infallible in the form that hyper takes: around a future that made it so there were two of it.
pub async fn respond<B>(
    worker: Arc<Worker>,
    peer: IpAddr,
    mut activity: Activity,
    request: Request<B>,
) -> Result<Response<Sent>, Infallible>
where
    B: HttpBody<Data = Bytes> + Unpin + Send + 'static,
    B::Error: std::fmt::Display,
{
    let (parts, mut body) = request.into_parts();
    let mut exchange = Exchange::new(worker, peer, parts);
    let outcome = match activity.fault() {
        Some(fault) => Err(refuse_fault(fault)),
        None => match panics::catch(exchange.answer(&mut body)).await {
            Ok(answer) => answer,
            Err(message) => {
                exchange.log_panic(&message);
                Err(Rejection::new(&reject::INTERNAL_ERROR))
            }
        },
    };
    // Malformed while it was read, or where nobody reads it.
    let outcome = activity.fault().map_or(outcome, |fault| Err(refuse_fault(fault)));
    if exchange.endless && matches!(&outcome, Ok(Answer { content: Content::Stream(_), .. })) {
        activity.set_endless();
    }
    if exchange.progress == Progress::Filters {
        exchange.worker.gateway.queue.tick();
    }
    if !body.is_end_stream() {
        tokio::spawn(drain(body));
    }
    let mut dressed = exchange.dress(outcome);
    dressed.take_encoded();
    if let Some(coding) = dressed.coding.filter(|_| dressed.is_encoded_elsewhere()) {
        dressed.coding = None;
        // Boxed, for it is rare and every request's future would be larger for it.
        dressed.content = Box::pin(exchange.encoded(coding, dressed.content)).await;
    }
    Ok(exchange.send(dressed, activity))
}

#[cold]
fn refuse_fault(fault: &Fault) -> Box<Rejection> {
    Rejection::because(fault.kind, fault.sentence)
        .with(header::CONNECTION, HeaderValue::from_static("close"))
}

/// Reads a body that a route does not ask for, as far as `max_bytes`: a request is answered only when it is well-formed
/// to its end.
async fn skip_body<B: HttpBody<Data = Bytes> + Unpin>(body: &mut B, max_bytes: u64) {
    let (mut seen, mut pieces) = (0, 0);
    while seen as u64 <= max_bytes && !is_mostly_overhead(seen, pieces) {
        let Some(Ok(frame)) = body.frame().await else { return };
        seen += frame.data_ref().map_or(0, Bytes::len);
        pieces += 1;
    }
}

/// Whether a body comes in so many pieces that they cost more than what they carry.
fn is_mostly_overhead(bytes: usize, pieces: usize) -> bool {
    pieces > SMALL_PIECES_MAX && bytes / pieces < PIECE_BYTES_MIN
}

/// Reads what is left of a body for a while.
async fn drain<B: HttpBody<Data = Bytes> + Unpin>(mut body: B) {
    let reading = async {
        let (mut seen, mut pieces) = (0, 0);
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, Bytes::len);
            pieces += 1;
            if seen > DRAINED_BYTES || is_mostly_overhead(seen, pieces) {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(DRAINED_FOR, reading).await;
}

/// An answer with all its headers; `coding` is what is still to be done to its body.
struct Dressed {
    status: StatusCode,
    headers: HeaderMap,
    content: Content,
    coding: Option<Coding>,
}

impl Dressed {
    /// Takes the coded form of a body that never changes, where it was made before.
    fn take_encoded(&mut self) {
        if let (Some(coding), Content::Fixed(fixed)) = (self.coding, &self.content)
            && let Some(bytes) = fixed.ready(coding)
        {
            self.content = Content::Full(bytes.clone());
            self.coding = None;
        }
    }

    /// Whether the body is compressed once for all, or too long for the worker's own thread.
    fn is_encoded_elsewhere(&self) -> bool {
        match &self.content {
            Content::Full(bytes) => bytes.len() > INLINE_BYTES_MAX,
            Content::Fixed(_) => true,
            Content::Stream(_) | Content::Upgrade(_) => false,
        }
    }
}

/// What the filters of a route made of a request.
struct Admitted {
    route: usize,
    values: Vec<Value>,
    body: Option<WantedBody>,
}

/// How far a request has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// To the filters, or to a terminal that answers without Python.
    Filters,
    /// To the queue of calls, which may be full. Queueing looks after the calls that wait.
    Queue,
    /// The route's handler or files have it: what it takes from then on is their time.
    Terminal,
}

/// One request and what has become of it. Dropped, it is counted and logged, whether it was answered or given up.
struct Exchange {
    worker: Arc<Worker>,
    /// The one program that all of it is done by.
    program: Arc<Program>,
    peer: IpAddr,
    parts: Parts,
    /// The path that the router compares, where it differs from the path as it was sent.
    path: Option<String>,
    trace: Trace,
    started: Instant,
    endpoint: Option<usize>,
    headers: Vec<(HeaderName, HeaderValue)>,
    claims: Option<Arc<Claims>>,
    /// Whether `cors` has answered: its headers stand.
    preflight: bool,
    progress: Progress,
    /// Who has given the answer.
    outcome: Outcome,
    /// Whether the answer may be a stream of the hub, which has no end of its own.
    endless: bool,
    status: u16,
    bytes: u64,
    refusal: Option<(&'static str, String)>,
}

impl Exchange {
    /// Boxed, for it is large and passed on from step to step.
    fn new(worker: Arc<Worker>, peer: IpAddr, parts: Parts) -> Box<Self> {
        worker.gateway.runtime.metrics.in_flight.fetch_add(1, Ordering::Relaxed);
        Box::new(Self {
            trace: Trace::read(&parts.headers),
            program: worker.gateway.program(),
            started: Instant::now(),
            endpoint: None,
            headers: Vec::new(),
            claims: None,
            preflight: false,
            progress: Progress::Filters,
            outcome: Outcome::Answered,
            endless: false,
            status: 499, // what it is counted as when it is dropped before it is answered
            bytes: 0,
            refusal: None,
            path: None,
            worker,
            peer,
            parts,
        })
    }

    async fn answer<B>(&mut self, body: &mut B) -> Result<Answer, Box<Rejection>>
    where
        B: HttpBody<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let (worker, program) = (Arc::clone(&self.worker), Arc::clone(&self.program));
        let program = &*program;
        self.path = head::check(&self.parts, &program.bounds)?;
        if let Some(limit) = &program.address_limit {
            limit.check(self.peer)?;
        }
        if self.parts.method == Method::OPTIONS
            && let Some(answer) = self.options(program)
        {
            return Ok(answer);
        }
        let Admitted { route, mut values, body: wanted } = self.admit(program)?;
        let route = &program.routes[route];
        let deadline = self.started + route.timeout;
        if let Some(wanted) = wanted {
            let mut bytes = timeout_at(deadline.into(), read_body(body, wanted))
                .await
                .map_err(|_| Rejection::new(&reject::REQUEST_TIMEOUT))??;
            if !wanted.codings.is_identity() {
                // Boxed, for it is rare and every request's future would be larger for it.
                bytes = Box::pin(timeout_at(deadline.into(), decoded(&worker, wanted, bytes)))
                    .await
                    .map_err(|_| Rejection::new(&reject::DEADLINE_EXCEEDED))??;
            }
            if wanted.content == plan::Content::Text {
                body_filter::check_text(&bytes)?;
            }
            fill_body(&mut values, &bytes);
        } else if !body.is_end_stream() && !self.parts.headers.contains_key(header::EXPECT) {
            timeout_at(deadline.into(), skip_body(body, program.bounds.body_bytes))
                .await
                .map_err(|_| Rejection::new(&reject::REQUEST_TIMEOUT))?;
        }
        match &route.terminal {
            Terminal::Constant(constant) => Ok(constant.answer()),
            Terminal::Files(files) => {
                self.progress = Progress::Terminal;
                files.answer(&values, &self.parts)
            }
            Terminal::Metrics(format) => {
                let runtime = &worker.gateway.runtime;
                let metrics = &runtime.metrics;
                metrics.log_lost.store(runtime.log.lost(), Ordering::Relaxed);
                metrics.python_calls.store(worker.gateway.queue.calls(), Ordering::Relaxed);
                Ok(metrics::answer(metrics, *format, &self.parts.headers))
            }
            Terminal::Echo(echo) => echo.answer(&self.parts),
            Terminal::Hub(hub) => {
                let passed = Passed {
                    gateway: &worker.gateway,
                    parts: &self.parts,
                    peer: self.peer,
                    trace: &self.trace,
                    claims: self.claims.clone(),
                    values: &values,
                };
                self.endless = true;
                hub.answer(passed).await
            }
            Terminal::Python { handler } => {
                self.progress = Progress::Queue;
                let (queue, replies) = (&worker.gateway.queue, &worker.replies);
                let id = Arc::clone(&self.trace.request_id);
                let times = (self.started, deadline);
                let calling = Calling::start(queue, replies, *handler, values, id, times)?;
                self.progress = Progress::Terminal;
                calling.await
            }
        }
    }

    /// A preflight, or what a path allows where no route answers `OPTIONS` itself.
    fn options(&mut self, program: &Program) -> Option<Answer> {
        let path = self.path.as_deref().unwrap_or(self.parts.uri.path());
        if path == "*" {
            let mut answer = Answer::empty(StatusCode::NO_CONTENT);
            answer.headers.push((header::ALLOW, program.router.allow_any().clone()));
            return Some(answer);
        }
        let place = match program.router.find(path, &self.parts.method) {
            Found::OtherMethod(place) => Some(place),
            Found::Route { .. } | Found::Nothing => None,
        };
        self.endpoint = place;
        let endpoint = place.map(|place| &program.router.endpoints()[place]);
        let preflight = program.cors.as_ref().and_then(|cors| {
            let allowed: Vec<Method> =
                endpoint.map(|endpoint| endpoint.methods().cloned().collect()).unwrap_or_default();
            cors.preflight(&self.parts.method, &self.parts.headers, &allowed)
        });
        let mut answer = Answer::empty(StatusCode::NO_CONTENT);
        match (preflight, endpoint) {
            (Some(headers), _) => {
                self.preflight = true;
                answer
                    .headers
                    .extend(headers.iter().map(|(name, value)| (name.clone(), value.clone())));
            }
            (None, Some(endpoint)) => answer.headers.push((header::ALLOW, endpoint.allow.clone())),
            (None, None) => return None,
        }
        Some(answer)
    }

    /// Finds the route and runs its filters.
    fn admit(&mut self, program: &Program) -> Result<Admitted, Box<Rejection>> {
        let path = self.path.as_deref().unwrap_or(self.parts.uri.path());
        let (route, params) = match program.router.find(path, &self.parts.method) {
            Found::Route { endpoint, route, params } => {
                self.endpoint = Some(endpoint);
                (route, params)
            }
            Found::OtherMethod(endpoint) => {
                self.endpoint = Some(endpoint);
                let allow = program.router.endpoints()[endpoint].allow.clone();
                return Err(Rejection::new(&reject::METHOD_NOT_ALLOWED).with(header::ALLOW, allow));
            }
            Found::Nothing => return Err(Rejection::new(&reject::NOT_FOUND)),
        };
        if self.path.is_some() && self.endpoint.is_some_and(|at| spans_slash(program, at, &params))
        {
            return Err(Rejection::because(
                &reject::MALFORMED_REQUEST,
                "the rest of the path has an encoded slash, which could be taken for a separator",
            ));
        }
        let mut context = Context {
            parts: &self.parts,
            params: &params,
            peer: self.peer,
            trace: &self.trace,
            values: Vec::new(),
            claims: None,
            denied: None,
            body: None,
            headers: Vec::new(),
        };
        let outcome = Filter::apply_all(&program.routes[route].filters, &mut context);
        let Context { values, claims, denied, body, headers, .. } = context;
        // Who was refused for a scope is known, and belongs into the log.
        self.claims = claims.or_else(|| denied.filter(|_| outcome.is_err()));
        self.headers = headers;
        outcome.map_err(|(_, rejection)| rejection)?;
        Ok(Admitted { route, values, body })
    }

    /// Puts the layers' headers on an answer.
    fn dress(&mut self, outcome: Result<Answer, Box<Rejection>>) -> Dressed {
        let program = Arc::clone(&self.program);
        let program = &*program;
        let mut answer = outcome.unwrap_or_else(|rejection| self.refuse(*rejection));
        let mut headers = HeaderMap::with_capacity(12);
        headers.extend(answer.content_type.map(|value| (header::CONTENT_TYPE, value)));
        for (name, value) in answer.headers.into_iter().chain(std::mem::take(&mut self.headers)) {
            response_head::add(&mut headers, name, value);
        }
        if response_head::has_no_content(answer.status) {
            // A stream that is dropped here ends its generator.
            answer.content = Content::Full(Bytes::new());
            response_head::describe_no_content(&mut headers);
        }
        self.mark(program, &mut headers);
        let coding = self.coding(program, answer.status, &mut headers, &answer.content);
        Dressed { status: answer.status, headers, content: answer.content, coding }
    }

    /// Sends an answer on its way; this is where it is counted and logged.
    fn send(mut self: Box<Self>, dressed: Dressed, activity: Activity) -> Response<Sent> {
        let Dressed { status, headers, content, coding } = dressed;
        self.status = status.as_u16();
        let body = match content {
            Content::Full(bytes) => {
                let bytes = match coding {
                    Some(coding) => compress::compress(coding, &bytes),
                    None => bytes,
                };
                self.bytes = bytes.len() as u64;
                drop(self);
                Body::full(bytes, Kept { _activity: Some(activity), _exchange: None })
            }
            Content::Fixed(fixed) => {
                let bytes = fixed.bytes().clone();
                self.bytes = bytes.len() as u64;
                drop(self);
                Body::full(bytes, Kept { _activity: Some(activity), _exchange: None })
            }
            Content::Upgrade(session) => {
                // Hyper gives every request of HTTP/1.1 the means to upgrade.
                if let Some(upgrade) = self.parts.extensions.remove::<OnUpgrade>() {
                    session.start(upgrade, activity);
                }
                Body::full(Bytes::new(), Kept { _activity: None, _exchange: None })
            }
            Content::Stream(chunks) => {
                let compress = self.program.compress.as_ref();
                let encoder = coding
                    .zip(compress)
                    .map(|(coding, compress)| (Encoder::new(coding), compress.pool.clone()));
                Body::stream(
                    chunks,
                    encoder,
                    Kept { _activity: Some(activity), _exchange: Some(self) },
                )
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }

    fn refuse(&mut self, rejection: Rejection) -> Answer {
        let runtime = &self.worker.gateway.runtime;
        runtime.metrics.refuse(rejection.kind.code);
        if self.progress != Progress::Terminal {
            self.outcome = Outcome::Refused;
        }
        if runtime.log.takes(log::level_of(rejection.status)) {
            self.refusal = Some((rejection.kind.code, rejection.message.to_string()));
        }
        error_response::write(rejection, &self.parts.headers, &self.trace.request_id)
    }

    /// The date, ids and CORS, on every answer.
    fn mark(&self, program: &Program, headers: &mut HeaderMap) {
        headers.entry(header::DATE).or_insert_with(|| self.worker.date());
        if let Ok(id) = HeaderValue::from_str(&self.trace.request_id) {
            headers.insert(X_REQUEST_ID, id);
        }
        let traceparent = self.trace.traceparent();
        headers.insert(TRACERESPONSE, traceparent.clone());
        headers.insert(TRACEPARENT, traceparent);
        if let Some(Ok(state)) = self.trace.state.as_deref().map(HeaderValue::from_str) {
            headers.insert(TRACESTATE, state);
        }
        if let Some(cors) = program.cors.as_ref().filter(|_| !self.preflight) {
            cors.apply(&self.parts.headers, headers);
        }
    }

    /// How the answer is compressed; says so in its headers.
    fn coding(
        &self,
        program: &Program,
        status: StatusCode,
        headers: &mut HeaderMap,
        content: &Content,
    ) -> Option<Coding> {
        let compress = program.compress.as_ref()?;
        let length = match content {
            Content::Full(bytes) => Some(bytes.len()),
            Content::Fixed(fixed) => Some(fixed.bytes().len()),
            Content::Stream(_) => None,
            Content::Upgrade(_) => return None,
        };
        if !compress.wants(status, headers, length) {
            return None;
        }
        compress::vary(headers, "accept-encoding");
        let coding = compress.choose(&self.parts.headers)?;
        coding.mark(headers);
        Some(coding)
    }

    /// A body in a coding, compressed beside the workers.
    async fn encoded(&self, coding: Coding, content: Content) -> Content {
        let Some(compress) = &self.program.compress else { return content };
        let done = match content {
            Content::Fixed(fixed) => fixed.encoded(coding, &compress.pool).await,
            Content::Full(bytes) => compress.pool.clone().compress(coding, bytes).await,
            Content::Stream(_) | Content::Upgrade(_) => return content,
        };
        match done {
            Ok(bytes) => Content::Full(bytes),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Content::Full(Bytes::new()), // the runtime ends, and the connection with it
        }
    }

    fn log_panic(&self, message: &str) {
        let fields = serde_json::json!({
            "message": "panic", "error": message, "path": self.parts.uri.path(),
            "request_id": self.trace.request_id,
        });
        self.worker.gateway.runtime.log.write(plan::Level::Error, &fields);
    }

    fn log(&self, elapsed: Duration) {
        let ids = (
            String::from_utf8_lossy(&self.trace.trace_id),
            String::from_utf8_lossy(&self.trace.span_id),
        );
        let endpoint = self.endpoint.map(|place| &*self.program.router.endpoints()[place].template);
        let access = Access {
            message: "request",
            method: self.parts.method.as_str(),
            path: self.parts.uri.path(),
            route: endpoint.unwrap_or("unmatched"),
            status: self.status,
            code: self.refusal.as_ref().map(|(code, _)| *code),
            error: self.refusal.as_ref().map(|(_, message)| message.as_str()),
            duration_ms: (elapsed.as_secs_f64() * 1e6).round() / 1e3,
            bytes: self.bytes,
            peer: &self.peer.to_string(),
            subject: self.claims.as_ref().map(|claims| &*claims.subject),
            request_id: &self.trace.request_id,
            trace_id: &ids.0,
            span_id: &ids.1,
        };
        self.worker.gateway.runtime.log.write(log::level_of(self.status), &access);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let runtime = &self.worker.gateway.runtime;
        let elapsed = self.started.elapsed();
        let metrics = &runtime.metrics;
        metrics.in_flight.fetch_sub(1, Ordering::Relaxed);
        let series = self.program.series(self.endpoint, &self.parts.method);
        let answer = (self.status, self.outcome);
        series.observe(answer, elapsed, self.bytes, &self.trace.trace_id);
        if let Some(claims) = &self.claims {
            metrics.call(claims.tenant.as_deref(), &claims.subject);
        }
        if runtime.log.takes(log::level_of(self.status)) {
            self.log(elapsed);
        }
    }
}

/// Whether the rest of a path has an encoded slash: decoded, it could not be told from a separator.
#[cold]
fn spans_slash(program: &Program, endpoint: usize, params: &matchit::Params<'_, '_>) -> bool {
    program.router.endpoints()[endpoint].spans_segments
        && params.iter().last().is_some_and(|(_, rest)| path::has_encoded_slash(rest))
}

/// Reads a body whole, as far as its bound.
async fn read_body<B>(body: &mut B, wanted: WantedBody) -> Result<Bytes, Box<Rejection>>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut pieces = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Rejection::because(
                &reject::MALFORMED_REQUEST,
                format!("the body cannot be read: {error}"),
            )
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if (first.len() + rest.len() + data.len()) as u64 > wanted.max_bytes {
            return Err(body_filter::too_large(wanted.max_bytes));
        }
        pieces += 1;
        if is_mostly_overhead(first.len() + rest.len() + data.len(), pieces) {
            return Err(Rejection::because(
                &reject::MALFORMED_REQUEST,
                format!(
                    "the body comes in more than {SMALL_PIECES_MAX} pieces of less than \
                     {PIECE_BYTES_MIN} bytes"
                ),
            ));
        }
        if first.is_empty() && rest.is_empty() {
            first = data; // most bodies come in one piece, which is then not copied
        } else {
            rest.extend_from_slice(&std::mem::take(&mut first));
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// Decodes a body beside the worker, so that nobody else waits for it.
async fn decoded(
    worker: &Worker,
    wanted: WantedBody,
    body: Bytes,
) -> Result<Bytes, Box<Rejection>> {
    let unavailable = || Rejection::new(&reject::SERVICE_UNAVAILABLE);
    let permit = Arc::clone(&worker.decoding).acquire_owned().await.map_err(|_| unavailable())?;
    let decoding = tokio::task::spawn_blocking(move || {
        let _permit = permit; // also where the request is given up meanwhile
        wanted.codings.decode(body, wanted.max_bytes)
    });
    match decoding.await {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(unavailable()), // the runtime ends
    }
}

/// Gives the body to each place that a filter kept for it.
fn fill_body(values: &mut [Value], bytes: &Bytes) {
    for value in values {
        if let Value::Body(place) = value {
            *place = bytes.clone();
        }
    }
}
