//! Streamed bodies: any body behind one pointer, and a body whose chunks come through a channel.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use tokio::sync::mpsc;

/// A body whose type is erased: data and trailers, with a `size_hint`. It is allocated once for each
/// streamed body; whole bodies are not boxed.
pub type BoxedBody = Pin<Box<dyn HttpBody<Data = Bytes, Error = StreamAborted> + Send>>;

/// The source of a stream failed before its end. The client sees that its response is incomplete:
/// the connection is closed (HTTP/1.1) or the stream is reset (HTTP/2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamAborted;

impl std::fmt::Display for StreamAborted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the source of the stream failed before its end")
    }
}

impl std::error::Error for StreamAborted {}

/// A body whose chunks come through a channel.
pub struct Chunks<R> {
    receiver: mpsc::Receiver<Result<Bytes, StreamAborted>>,
    /// Dropped with the body, which tells the source that nobody reads it any more.
    _reader: R,
}

impl<R> Chunks<R> {
    /// Chunks from a channel. `reader` is dropped when all were read or the client has gone.
    pub fn new(receiver: mpsc::Receiver<Result<Bytes, StreamAborted>>, reader: R) -> Self {
        Self { receiver, _reader: reader }
    }
}

impl<R: Unpin> HttpBody for Chunks<R> {
    type Data = Bytes;
    type Error = StreamAborted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamAborted>>> {
        self.receiver.poll_recv(context).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}
