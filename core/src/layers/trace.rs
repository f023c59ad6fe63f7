//! `trace`: the ids of a request, W3C Trace Context in and out.

/// The ids of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// 32 lower-case hex digits, from the caller's `traceparent` or new.
    pub trace_id: [u8; 32],
    /// 16 lower-case hex digits, new: the gateway's own span.
    pub span_id: [u8; 16],
    /// The caller's span, where the request names one.
    pub parent_id: Option<[u8; 16]>,
    /// The trace flags; bit 0 is `sampled`.
    pub flags: u8,
    /// The caller's `x-request-id` where it is well formed, otherwise new.
    pub request_id: Box<str>,
    /// The caller's `tracestate`, passed on as it came where it is well formed.
    pub state: Option<Box<str>>,
}
