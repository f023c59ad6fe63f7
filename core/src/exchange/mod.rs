//! One request and its response. The head is checked and a route found (`matching`), the route's
//! filters run, the body is read or left to the terminal (`request_body`), the terminal answers,
//! perhaps with steps around it (`around`). The answer of every request, also a refusal or a panic,
//! leaves through the same layers (`prepare`, `send`) and is counted and logged (`record`).

pub(crate) mod around;
pub(crate) mod deadline;
mod matching;
mod prepare;
mod record;
pub(crate) mod request_body;
pub(crate) mod resources;
mod send;
#[cfg(test)]
pub(crate) mod tests;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;

use crate::answer::Content;
use crate::connection::Activity;
use crate::filters::{WantedBody, body as body_filter};
use crate::framing::Fault;
use crate::head;
use crate::identity::Claims;
use crate::panics;
use crate::plan;
use crate::program::{Program, Route};
use crate::reject::{self, Rejection};
use crate::server::Worker;
use crate::telemetry::metrics::Outcome as AnsweredBy;
use crate::trace::Trace;
use crate::value::Value;
use around::{Inner, Outcome};
use matching::Matched;
pub use request_body::{BodyError, RequestBody};
pub use send::ResponseBody;

/// How far a request has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// To the filters, or to a terminal that answers without Python.
    Filters,
    /// To the queue of calls, which may be full. Queueing looks after the calls that wait.
    Queue,
    /// The route's handler or files have it: what it takes from then on is their time.
    Terminal,
}

/// One request and its state. Dropped, it is counted and logged, whether it was answered or given
/// up. A terminal reads the head, the values and the caller here, and takes the body.
pub struct Exchange {
    pub(crate) worker: Arc<Worker>,
    /// The one program that all of it is done by.
    pub(crate) program: Arc<Program>,
    pub(crate) peer: IpAddr,
    pub(crate) parts: Parts,
    pub(crate) body: RequestBody,
    /// What the filters extracted.
    pub(crate) values: Vec<Value>,
    /// Who calls, where a filter has asked for it.
    pub(crate) claims: Option<Arc<Claims>>,
    pub(crate) trace: Trace,
    pub(crate) started: Instant,
    /// When the head of the response must be there.
    pub(crate) deadline: Instant,
    pub(crate) progress: Progress,
    /// Whether the answer may be a stream of the hub, which has no end of its own.
    pub(crate) endless: bool,
    /// The path that the router compares, where it differs from the path as it was sent.
    path: Option<String>,
    endpoint: Option<usize>,
    /// Headers that the filters put on the answer.
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether `cors` has answered: its headers stand.
    preflight: bool,
    answered_by: AnsweredBy,
    status: u16,
    bytes: u64,
    refusal: Option<(&'static str, String)>,
}

/// Answers one request. Infallible in the form that hyper takes: a future around it that made it so
/// would hold a second copy of its state.
pub(crate) async fn respond(
    worker: Arc<Worker>,
    peer: IpAddr,
    mut activity: Activity,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let (parts, body) = request.into_parts();
    let program = worker.gateway.program();
    let body = RequestBody::incoming(body);
    let mut exchange = Exchange::new(&worker, &program, peer, parts, body);
    let outcome = match activity.fault() {
        Some(fault) => Err(refuse_fault(fault)),
        None => match panics::catch(exchange.answer(&worker, &program)).await {
            Ok(outcome) => outcome,
            Err(message) => {
                exchange.log_panic(&message);
                Err(Rejection::new(&reject::INTERNAL_ERROR))
            }
        },
    };
    // Malformed while it was read, or where nobody reads it.
    let outcome = activity.fault().map_or(outcome, |fault| Err(refuse_fault(fault)));
    if exchange.endless && outcome.as_ref().is_ok_and(|a| matches!(a.content, Content::Stream(_))) {
        activity.set_endless();
    }
    if exchange.progress == Progress::Filters {
        worker.gateway.queue.tick();
    }
    drop(exchange.body.take()); // what is left of it is drained while the response leaves
    let mut prepared = exchange.prepare(&program, outcome);
    prepared.take_encoded();
    if let Some(coding) = prepared.coding.filter(|_| prepared.is_encoded_elsewhere()) {
        prepared.coding = None;
        // Boxed, for it is rare and every request's future would be larger for it.
        prepared.content = Box::pin(prepare::encode(&program, coding, prepared.content)).await;
    }
    Ok(exchange.send(prepared, activity))
}

#[cold]
fn refuse_fault(fault: &Fault) -> Box<Rejection> {
    Rejection::because(fault.kind, fault.sentence)
        .with(header::CONNECTION, HeaderValue::from_static("close"))
}

impl Exchange {
    /// Boxed, for it is large and passed on from step to step.
    fn new(
        worker: &Arc<Worker>,
        program: &Arc<Program>,
        peer: IpAddr,
        parts: Parts,
        body: RequestBody,
    ) -> Box<Self> {
        worker.gateway.runtime.metrics.in_flight.fetch_add(1, Ordering::Relaxed);
        let started = Instant::now();
        Box::new(Self {
            trace: Trace::read(&parts.headers),
            started,
            deadline: started,
            endpoint: None,
            headers: Vec::new(),
            values: Vec::new(),
            claims: None,
            preflight: false,
            progress: Progress::Filters,
            answered_by: AnsweredBy::Answered,
            endless: false,
            status: 499, // what it is counted as when it is dropped before it is answered
            bytes: 0,
            refusal: None,
            path: None,
            worker: Arc::clone(worker),
            program: Arc::clone(program),
            peer,
            parts,
            body,
        })
    }

    async fn answer(&mut self, worker: &Worker, program: &Program) -> Outcome {
        self.path = head::check(&self.parts, &program.bounds)?;
        if let Some(limit) = &program.address_limit {
            limit.check(self.peer)?;
        }
        if self.parts.method == Method::OPTIONS
            && let Some(answer) = self.options(program)
        {
            return Ok(answer);
        }
        let Matched { route: index, body: mut wanted } = self.match_route(program)?;
        let route = &program.routes[index];
        self.deadline = self.started + route.timeout;
        if !route.waiting.is_empty() {
            // Boxed, for it is rare and every request's future would be larger for it.
            wanted = Box::pin(self.wait_for_filters(worker, program, index)).await?;
        }
        match wanted {
            Some(wanted) => self.read_body(worker, route, wanted).await?,
            None if route.terminal.streams_body() => {}
            None if self.body.is_end_stream() => {}
            None if self.parts.headers.contains_key(header::EXPECT) => {}
            None => {
                let skipped = self.body.skip(program.bounds.body_bytes);
                let skipped = worker.resources.deadlines.within(self.deadline, skipped);
                skipped.await.map_err(|_| Rejection::new(&reject::REQUEST_TIMEOUT))?;
            }
        }
        if route.is_timed() {
            let (deadline, inner) = (self.deadline, Inner::new(&route.around, &route.terminal));
            let answering = worker.resources.deadlines.within(deadline, inner.answer(self));
            answering.await.map_err(|_| Rejection::new(&reject::DEADLINE_EXCEEDED))?
        } else {
            route.terminal.answer(self).await
        }
    }

    /// Reads the body that a filter asked for, into the places that the filters kept for it.
    async fn read_body(
        &mut self,
        worker: &Worker,
        route: &Route,
        wanted: WantedBody,
    ) -> Result<(), Box<Rejection>> {
        let (resources, deadline) = (&worker.resources, self.deadline);
        let mut bytes = resources
            .deadlines
            .within(deadline, self.body.read(wanted))
            .await
            .map_err(|_| Rejection::new(&reject::REQUEST_TIMEOUT))??;
        if !wanted.codings.is_identity() {
            let decoding = request_body::decode(resources, wanted, bytes);
            // Boxed, for it is rare and every request's future would be larger for it.
            bytes = Box::pin(resources.deadlines.within(deadline, decoding))
                .await
                .map_err(|_| Rejection::new(&reject::DEADLINE_EXCEEDED))??;
        }
        if wanted.content == plan::Content::Text {
            body_filter::check_text(&bytes)?;
        }
        for value in &mut self.values {
            if let Value::Body(place) = value {
                *place = bytes.clone();
            }
        }
        if route.terminal.streams_body() {
            self.body = RequestBody::whole(bytes);
        }
        Ok(())
    }
}
