//! Preparing a response: the headers of the layers, and how its body is compressed.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

use super::around::Outcome;
use super::{Exchange, Progress};
use crate::answer::{Answer, Content};
use crate::error_response;
use crate::layers::compress::pool::INLINE_BYTES_MAX;
use crate::layers::compress::{self, Coding};
use crate::program::Program;
use crate::reject::Rejection;
use crate::response_head;
use crate::telemetry::log;
use crate::telemetry::metrics::Outcome as AnsweredBy;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// A response with all its headers; `coding` is what is still to be done to its body.
pub(super) struct PreparedResponse {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) content: Content,
    pub(super) coding: Option<Coding>,
}

impl PreparedResponse {
    /// Takes the compressed form of a body that never changes, where it was made before.
    pub(super) fn take_encoded(&mut self) {
        if let (Some(coding), Content::Fixed(fixed)) = (self.coding, &self.content)
            && let Some(bytes) = fixed.ready(coding)
        {
            self.content = Content::Full(bytes.clone());
            self.coding = None;
        }
    }

    /// Whether the body is compressed once for all, or too long for the worker's own thread.
    pub(super) fn is_encoded_elsewhere(&self) -> bool {
        match &self.content {
            Content::Full(bytes) => bytes.len() > INLINE_BYTES_MAX,
            Content::Fixed(_) => true,
            Content::Stream(_) | Content::Upgrade(_) => false,
        }
    }
}

impl Exchange {
    /// Puts the layers' headers on an answer.
    pub(super) fn prepare(&mut self, program: &Program, outcome: Outcome) -> PreparedResponse {
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
        PreparedResponse { status: answer.status, headers, content: answer.content, coding }
    }

    fn refuse(&mut self, rejection: Rejection) -> Answer {
        let runtime = &self.worker.gateway.runtime;
        runtime.metrics.refuse(rejection.kind.code);
        if self.progress != Progress::Terminal {
            self.answered_by = AnsweredBy::Refused;
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
        if matches!(content, Content::Upgrade(_))
            || !compress.wants(status, headers, content.length())
        {
            return None;
        }
        compress::vary(headers, "accept-encoding");
        let coding = compress.choose(&self.parts.headers)?;
        coding.mark(headers);
        Some(coding)
    }
}

/// A body in a coding, compressed beside the workers.
pub(super) async fn encode(program: &Program, coding: Coding, content: Content) -> Content {
    let Some(compress) = &program.compress else { return content };
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
