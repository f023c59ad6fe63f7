//! Answers: what a terminal returns. The exchange adds the headers of the layers and sends it.

pub mod observe;
pub mod stream;

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use http_body::Body as HttpBody;
use http_body_util::BodyExt;

use crate::layers::compress::pool::Fixed;
use crate::websocket::Session;
pub use stream::{BoxedBody, Chunks, StreamAborted};

/// What a terminal answers with.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// `content-type`, where there is a body.
    pub content_type: Option<HeaderValue>,
    /// Further headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What is sent.
    pub content: Content,
}

/// What is sent.
pub enum Content {
    /// The whole body, known now.
    Full(Bytes),
    /// The same body for every request: compressed once for all of them.
    Fixed(Arc<Fixed>),
    /// A body whose frames arrive over time, with its length where that is known, and its trailers.
    Stream(BoxedBody),
    /// No body: the connection becomes a WebSocket.
    Upgrade(Session),
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full(bytes) => f.debug_tuple("Full").field(bytes).finish(),
            Self::Fixed(fixed) => f.debug_tuple("Fixed").field(fixed).finish(),
            Self::Stream(_) => f.write_str("Stream"),
            Self::Upgrade(_) => f.write_str("Upgrade"),
        }
    }
}

impl Content {
    /// A streamed body. Its `size_hint` becomes the length of the response where it is exact; an
    /// error ends the response as aborted.
    pub fn stream<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<StreamAborted>,
    {
        Self::Stream(Box::pin(body.map_err(Into::into)))
    }

    /// The length of the body in bytes, where it is known.
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Full(bytes) => Some(bytes.len() as u64),
            Self::Fixed(fixed) => Some(fixed.bytes().len() as u64),
            Self::Stream(body) => body.size_hint().exact(),
            Self::Upgrade(_) => None,
        }
    }
}

impl Answer {
    /// An answer with a whole body.
    pub fn full(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Self {
        Self {
            status,
            content_type: Some(content_type),
            headers: Vec::new(),
            content: Content::Full(body),
        }
    }

    /// An answer whose body is the same every time.
    pub fn fixed(status: StatusCode, content_type: HeaderValue, body: &Arc<Fixed>) -> Self {
        Self {
            status,
            content_type: Some(content_type),
            headers: Vec::new(),
            content: Content::Fixed(Arc::clone(body)),
        }
    }

    /// An answer with no body.
    pub fn empty(status: StatusCode) -> Self {
        Self {
            status,
            content_type: None,
            headers: Vec::new(),
            content: Content::Full(Bytes::new()),
        }
    }

    /// The 101 that a handshake is accepted with.
    pub fn upgrade(headers: Vec<(HeaderName, HeaderValue)>, session: Session) -> Self {
        Self {
            status: StatusCode::SWITCHING_PROTOCOLS,
            content_type: None,
            headers,
            content: Content::Upgrade(session),
        }
    }
}
