//! The body of a request, owned by its exchange: read whole before the terminal runs, or left to a
//! terminal that streams or forwards it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::resources::WorkerResources;
use crate::answer::{BoxedBody, StreamAborted};
use crate::filters::{WantedBody, body as body_filter};
use crate::reject::{self, Rejection};

/// Bytes that a client may still send of a body that was not read, so that it reads its response
/// instead of a reset.
const DRAINED_BYTES_MAX: usize = 16 << 20;
/// How long it may take for that.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Frames or chunks of a body that may be small.
const SMALL_FRAMES_MAX: usize = 16 << 10;
/// Bytes that a frame has on average where a body has more of them.
const FRAME_BYTES_MIN: usize = 16;

/// A request's body. Dropped before its end, what the client still sends is read for a while: a
/// connection that is closed with unread input is reset, and the client loses the response.
#[derive(Default)]
pub struct RequestBody {
    source: Source,
}

#[derive(Default)]
enum Source {
    /// There is none, or it was taken.
    #[default]
    Empty,
    /// As the client sends it.
    Incoming(Incoming),
    /// It was read.
    Whole(Bytes),
    /// It was replaced by a step of the route.
    Boxed(BoxedBody),
}

/// Why a body cannot be read to its end.
#[derive(Debug)]
pub enum BodyError {
    /// The connection has failed, or what is sent is malformed.
    Incoming(hyper::Error),
    /// The body that a step has put in its place has failed.
    Aborted(StreamAborted),
}

impl std::fmt::Display for BodyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Incoming(error) => error.fmt(f),
            Self::Aborted(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BodyError {}

impl From<BodyError> for StreamAborted {
    fn from(_: BodyError) -> Self {
        Self
    }
}

// === impl RequestBody ===

impl RequestBody {
    /// A body as hyper reads it.
    pub(crate) fn incoming(body: Incoming) -> Self {
        let source = if body.is_end_stream() { Source::Empty } else { Source::Incoming(body) };
        Self { source }
    }

    /// A body that was read.
    pub fn whole(bytes: Bytes) -> Self {
        Self { source: Source::Whole(bytes) }
    }

    /// A body that a step of the route makes of the client's.
    pub fn boxed<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<StreamAborted>,
    {
        Self { source: Source::Boxed(Box::pin(body.map_err(Into::into))) }
    }

    /// Takes the body out, for a terminal that streams it.
    #[must_use]
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// Reads the body whole, as far as its bound.
    pub(crate) async fn read(&mut self, wanted: WantedBody) -> Result<Bytes, Box<Rejection>> {
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        let mut frames = 0;
        while let Some(frame) = self.frame().await {
            let frame = frame.map_err(|error| {
                Rejection::because(
                    &reject::MALFORMED_REQUEST,
                    format!("the body cannot be read: {error}"),
                )
            })?;
            let Ok(data) = frame.into_data() else { continue };
            let bytes = first.len() + rest.len() + data.len();
            if bytes as u64 > wanted.max_bytes {
                return Err(body_filter::too_large(wanted.max_bytes));
            }
            frames += 1;
            if is_mostly_overhead(bytes, frames) {
                return Err(Rejection::because(
                    &reject::MALFORMED_REQUEST,
                    format!(
                        "the body comes in more than {SMALL_FRAMES_MAX} pieces of less than \
                         {FRAME_BYTES_MIN} bytes"
                    ),
                ));
            }
            if first.is_empty() && rest.is_empty() {
                first = data; // most bodies come in one frame, which is then not copied
            } else {
                rest.extend_from_slice(&std::mem::take(&mut first));
                rest.extend_from_slice(&data);
            }
        }
        Ok(if rest.is_empty() { first } else { rest.freeze() })
    }

    /// Reads a body that the route does not use, as far as `max_bytes`: a request is answered only
    /// when it is well-formed to its end.
    pub(crate) async fn skip(&mut self, max_bytes: u64) {
        let (mut bytes, mut frames) = (0, 0);
        while bytes as u64 <= max_bytes && !is_mostly_overhead(bytes, frames) {
            let Some(Ok(frame)) = self.frame().await else { return };
            bytes += frame.data_ref().map_or(0, Bytes::len);
            frames += 1;
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match &mut self.source {
            Source::Empty => None,
            Source::Incoming(body) => ready!(Pin::new(body).poll_frame(context))
                .map(|frame| frame.map_err(BodyError::Incoming)),
            Source::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                (!bytes.is_empty()).then(|| Ok(Frame::data(bytes)))
            }
            Source::Boxed(body) => ready!(body.as_mut().poll_frame(context))
                .map(|frame| frame.map_err(BodyError::Aborted)),
        };
        if frame.is_none() {
            self.source = Source::Empty; // nothing is left to be drained
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty => true,
            Source::Incoming(body) => body.is_end_stream(),
            Source::Whole(bytes) => bytes.is_empty(),
            Source::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Incoming(body) => body.size_hint(),
            Source::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Boxed(body) => body.size_hint(),
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Source::Incoming(body) = std::mem::take(&mut self.source)
            && !body.is_end_stream()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(drain(body));
        }
    }
}

/// Whether a body comes in so many frames that they cost more than what they carry.
fn is_mostly_overhead(bytes: usize, frames: usize) -> bool {
    frames > SMALL_FRAMES_MAX && bytes / frames < FRAME_BYTES_MIN
}

/// Reads what is left of a body for a while.
async fn drain(mut body: Incoming) {
    let reading = async {
        let (mut bytes, mut frames) = (0, 0);
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            frames += 1;
            if bytes > DRAINED_BYTES_MAX || is_mostly_overhead(bytes, frames) {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, reading).await;
}

/// Decodes a body beside the worker's thread, so that other requests do not wait for it.
pub(crate) async fn decode(
    resources: &WorkerResources,
    wanted: WantedBody,
    body: Bytes,
) -> Result<Bytes, Box<Rejection>> {
    let unavailable = || Rejection::new(&reject::SERVICE_UNAVAILABLE);
    let permits = Arc::clone(&resources.decoding);
    let permit = permits.acquire_owned().await.map_err(|_| unavailable())?;
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
