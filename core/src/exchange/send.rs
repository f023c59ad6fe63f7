//! Sending a response: its body on the way to the wire, and what lasts until the body has left.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::upgrade::OnUpgrade;

use super::Exchange;
use super::prepare::PreparedResponse;
use crate::answer::{BoxedBody, Content, StreamAborted};
use crate::connection::Activity;
use crate::layers::compress;
use crate::layers::compress::stream::Compressed;

/// A response body as it leaves.
pub struct ResponseBody {
    content: Outgoing,
    guard: Option<BodyGuard>,
}

enum Outgoing {
    Full(Bytes),
    Stream(BoxedBody),
    Ended,
}

/// What lasts until a body has left: the connection counts as busy, a streamed exchange as in flight.
struct BodyGuard {
    _activity: Activity,
    _exchange: Option<Box<Exchange>>,
}

impl Exchange {
    /// Sends a response on its way; this is where it is counted and logged, or at the end of its
    /// stream.
    pub(super) fn send(
        mut self: Box<Self>,
        prepared: PreparedResponse,
        activity: Activity,
    ) -> Response<ResponseBody> {
        let PreparedResponse { status, headers, content, coding } = prepared;
        self.status = status.as_u16();
        let body = match content {
            Content::Full(bytes) => {
                let bytes = match coding {
                    Some(coding) => compress::compress(coding, &bytes),
                    None => bytes,
                };
                self.send_full(bytes, activity)
            }
            Content::Fixed(fixed) => self.send_full(fixed.bytes().clone(), activity),
            Content::Upgrade(session) => {
                // Hyper gives every request of HTTP/1.1 the means to upgrade.
                if let Some(upgrade) = self.parts.extensions.remove::<OnUpgrade>() {
                    session.start(upgrade, activity);
                }
                ResponseBody { content: Outgoing::Full(Bytes::new()), guard: None }
            }
            Content::Stream(body) => {
                let compress = self.program.compress.as_ref();
                let body = match coding.zip(compress) {
                    Some((coding, compress)) => {
                        Box::pin(Compressed::new(body, coding, compress.pool.clone()))
                    }
                    None => body,
                };
                let guard = BodyGuard { _activity: activity, _exchange: Some(self) };
                ResponseBody { content: Outgoing::Stream(body), guard: Some(guard) }
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }

    fn send_full(mut self: Box<Self>, bytes: Bytes, activity: Activity) -> ResponseBody {
        self.bytes = bytes.len() as u64;
        drop(self);
        let guard = BodyGuard { _activity: activity, _exchange: None };
        ResponseBody { content: Outgoing::Full(bytes), guard: Some(guard) }
    }
}

// === impl ResponseBody ===

impl ResponseBody {
    fn end(&mut self) {
        self.content = Outgoing::Ended;
        self.guard = None;
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = StreamAborted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamAborted>>> {
        match &mut self.content {
            Outgoing::Ended => Poll::Ready(None),
            Outgoing::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.end();
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Outgoing::Stream(body) => {
                let frame = ready!(body.as_mut().poll_frame(context));
                if !matches!(&frame, Some(Ok(_))) {
                    self.end();
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Outgoing::Ended => true,
            Outgoing::Full(bytes) => bytes.is_empty(),
            Outgoing::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Outgoing::Ended => SizeHint::with_exact(0),
            Outgoing::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Outgoing::Stream(body) => body.size_hint(),
        }
    }
}
