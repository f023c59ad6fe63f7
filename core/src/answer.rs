//! Answers: what a terminal gives, and the body that leaves for the wire.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::mpsc;

use crate::layers::compress::Encoder;
use crate::layers::compress::pool::{Fixed, INLINE_BYTES_MAX, Pool};
use crate::websocket::Session;

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
#[derive(Debug)]
pub enum Content {
    /// All of it, known now.
    Full(Bytes),
    /// The same for every request: compressed once for all of them.
    Fixed(Arc<Fixed>),
    /// Chunks as they come.
    Stream(Chunks),
    /// Nothing: the connection becomes a WebSocket.
    Upgrade(Session),
}

/// The chunks of a stream. An error cuts the connection, so that the client does not take a part for the whole.
pub struct Chunks {
    receiver: mpsc::Receiver<Result<Bytes, Cut>>,
    /// Told by its drop that nobody reads any more.
    _reader: Box<dyn Any + Send>,
}

impl Chunks {
    /// Chunks from a channel; `reader` is dropped with them, when all were read or the client has gone.
    pub fn new(receiver: mpsc::Receiver<Result<Bytes, Cut>>, reader: impl Any + Send) -> Self {
        Self { receiver, _reader: Box::new(reader) }
    }
}

impl std::fmt::Debug for Chunks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Chunks")
    }
}

/// A stream's source failed before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the source of the stream failed before its end")
    }
}

impl std::error::Error for Cut {}

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

/// A response body on its way to the wire. `T` is kept until the body has left or is given up.
pub struct Body<T> {
    content: BodyContent,
    kept: Option<T>,
}

enum BodyContent {
    Full(Bytes),
    Stream(Chunks, Option<(Encoder, Pool)>),
    /// A long chunk of a stream is being compressed beside the workers.
    Compressing(Chunks, Compressing),
    Ended,
}

/// Ends with the encoder and what it made; `None` where it failed.
type Compressing = Pin<Box<dyn Future<Output = Option<(Encoder, Pool, Bytes)>> + Send>>;

fn compressing(mut encoder: Encoder, pool: Pool, chunk: Bytes) -> Compressing {
    let next = pool.clone();
    let work = pool.run(move || {
        let bytes = encoder.push(&chunk);
        (encoder, bytes)
    });
    Box::pin(async move { work.await.ok().map(|(encoder, bytes)| (encoder, next, bytes)) })
}

impl<T> Body<T> {
    /// A whole body.
    pub fn full(bytes: Bytes, kept: T) -> Self {
        Self { content: BodyContent::Full(bytes), kept: Some(kept) }
    }

    /// A stream, compressed chunk by chunk where there is an encoder.
    pub fn stream(chunks: Chunks, encoder: Option<(Encoder, Pool)>, kept: T) -> Self {
        Self { content: BodyContent::Stream(chunks, encoder), kept: Some(kept) }
    }

    fn end(&mut self) {
        self.content = BodyContent::Ended;
        self.kept = None;
    }
}

impl<T: Unpin> Body<T> {
    /// Sends a chunk of a stream, compressed where that was agreed to.
    fn send_chunk(
        &mut self,
        chunk: Bytes,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let BodyContent::Stream(_, encoder) = &mut self.content else {
            return Poll::Ready(None);
        };
        match encoder {
            None => Poll::Ready(Some(Ok(Frame::data(chunk)))),
            Some((encoder, _)) if chunk.len() <= INLINE_BYTES_MAX => {
                Poll::Ready(Some(Ok(Frame::data(encoder.push(&chunk)))))
            }
            Some(_) => {
                let content = std::mem::replace(&mut self.content, BodyContent::Ended);
                if let BodyContent::Stream(chunks, Some((encoder, pool))) = content {
                    let work = compressing(encoder, pool, chunk);
                    self.content = BodyContent::Compressing(chunks, work);
                }
                Pin::new(self).poll_frame(context)
            }
        }
    }
}

impl<T: Unpin> HttpBody for Body<T> {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut self.content {
            BodyContent::Ended => Poll::Ready(None),
            BodyContent::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.end();
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            BodyContent::Compressing(_, work) => {
                let done = std::task::ready!(work.as_mut().poll(context));
                let content = std::mem::replace(&mut self.content, BodyContent::Ended);
                let (Some((encoder, pool, bytes)), BodyContent::Compressing(chunks, _)) =
                    (done, content)
                else {
                    self.end();
                    return Poll::Ready(Some(Err(Cut)));
                };
                self.content = BodyContent::Stream(chunks, Some((encoder, pool)));
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            BodyContent::Stream(chunks, encoder) => {
                match std::task::ready!(chunks.receiver.poll_recv(context)) {
                    Some(Ok(chunk)) => self.send_chunk(chunk, context),
                    Some(Err(cut)) => {
                        self.end();
                        Poll::Ready(Some(Err(cut)))
                    }
                    None => {
                        let rest = encoder.take().map(|(encoder, _)| encoder.finish());
                        self.end();
                        let rest = rest.filter(|rest| !rest.is_empty());
                        Poll::Ready(rest.map(|rest| Ok(Frame::data(rest))))
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            BodyContent::Ended => true,
            BodyContent::Full(bytes) => bytes.is_empty(),
            BodyContent::Stream(..) | BodyContent::Compressing(..) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            BodyContent::Ended => SizeHint::with_exact(0),
            BodyContent::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            BodyContent::Stream(..) | BodyContent::Compressing(..) => SizeHint::default(),
        }
    }
}
