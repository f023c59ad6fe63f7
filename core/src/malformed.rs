//! Malformed requests: hyper refuses them by itself with a bare head. Here that head becomes the standard error, is
//! counted and logged.

use std::io::Write as _;
use std::net::SocketAddr;

use http::header::{HeaderMap, HeaderValue};

use crate::clock;
use crate::error_response;
use crate::framing::Fault;
use crate::program::Program;
use crate::reject::{self, Kind, Rejection};
use crate::server::Worker;
use crate::telemetry::log;
use crate::telemetry::metrics::Outcome;
use crate::trace::Trace;

/// Whether these bytes are, as a whole, a refusal of hyper's own: a short head of status 4xx or 5xx and no request id.
pub(crate) fn is_bare(bytes: &[u8]) -> bool {
    bytes.len() < 256
        && matches!(bytes, [b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', b'4' | b'5', ..])
        && bytes.ends_with(b"\r\n\r\n")
        && memchr::memmem::find(bytes, b"x-request-id").is_none()
}

/// Where a refusal of hyper's own begins that these bytes end with.
pub(crate) fn find_bare(bytes: &[u8]) -> Option<usize> {
    let from = bytes.len().saturating_sub(255);
    let tail = &bytes[from..];
    let at = memchr::memmem::rfind(tail, b"HTTP/1.")?;
    is_bare(&tail[at..]).then_some(from + at)
}

/// The refusal that is sent instead.
pub(crate) fn answer(
    worker: &Worker,
    peer: SocketAddr,
    bare: &[u8],
    line_seen: bool,
    fault: Option<Fault>,
) -> Vec<u8> {
    let (kind, message): (&'static Kind, &'static str) = match (&bare[9..12], line_seen) {
        _ if fault.is_some() => {
            fault.map_or((&reject::MALFORMED_REQUEST, ""), |fault| (fault.kind, fault.sentence))
        }
        (b"431", true) => (&reject::HEADERS_TOO_LARGE, reject::HEADERS_TOO_LARGE.sentence),
        (b"414", _) | (b"431", false) => (&reject::URI_TOO_LONG, reject::URI_TOO_LONG.sentence),
        _ => (&reject::MALFORMED_REQUEST, reject::MALFORMED_REQUEST.sentence),
    };
    let trace = Trace::read(&HeaderMap::new());
    let (program, runtime) = (worker.gateway.program(), &worker.gateway.runtime);
    runtime.metrics.refuse(kind.code);
    let series = program.series(None, &http::Method::GET);
    let body = error_response::standard(&Rejection::because(kind, message), &trace.request_id);
    let answer = (kind.status, Outcome::Refused);
    series.observe(answer, std::time::Duration::ZERO, body.len() as u64, &trace.trace_id);
    let fields = serde_json::json!({
        "message": "request", "status": kind.status, "code": kind.code, "error": message,
        "route": "unmatched", "peer": peer.ip().to_string(), "request_id": trace.request_id,
        "trace_id": String::from_utf8_lossy(&trace.trace_id),
    });
    runtime.log.write(log::level_of(kind.status), &fields);
    write(&program, kind.status, &trace, &body)
}

fn write(program: &Program, status: u16, trace: &Trace, body: &[u8]) -> Vec<u8> {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("cache-control", HeaderValue::from_static("no-store"));
    headers.insert("connection", HeaderValue::from_static("close"));
    headers.insert("content-length", HeaderValue::from(body.len()));
    headers.insert("traceparent", trace.traceparent());
    headers.insert("traceresponse", trace.traceparent());
    headers.extend(
        HeaderValue::from_str(&trace.request_id)
            .map(|id| (Some(http::HeaderName::from_static("x-request-id")), id))
            .ok(),
    );
    if let Some(cors) = &program.cors {
        // The head was not understood, so its Origin is not known: only what holds for any can be said.
        cors.apply(&http::HeaderMap::new(), &mut headers);
    }
    let reason = http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Refused");
    let mut out = Vec::with_capacity(512);
    let _ = write!(out, "HTTP/1.1 {status} {reason}\r\ndate: {}\r\n", clock::http_date());
    for (name, value) in &headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    out
}

#[cfg(test)]
mod tests {
    use super::{find_bare, is_bare};

    #[test]
    fn a_bare_refusal_is_found_behind_an_earlier_answer() {
        let bare = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";

        assert_eq!(find_bare(&[b"a body".as_slice(), bare].concat()), Some(6));
        assert_eq!(find_bare(bare), Some(0));
        assert_eq!(find_bare(b"a body"), None);
    }

    #[test]
    fn only_a_whole_short_head_without_a_request_id_is_bare() {
        assert!(is_bare(
            b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        ));
        assert!(!is_bare(
            b"HTTP/1.1 404 Not Found\r\nx-request-id: 1\r\ncontent-length: 0\r\n\r\n"
        ));
        assert!(!is_bare(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"));
        assert!(!is_bare(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}"));
    }
}
