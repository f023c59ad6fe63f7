//! Observing a response body: what a step around a terminal sees of it, as far as its end.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::{BoxedBody, Content, StreamAborted};

/// How a response body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEnd {
    /// All of it was produced.
    Complete,
    /// Its source failed before the end.
    Aborted,
    /// It was dropped before its end: the client has left, or nobody wanted the body.
    Abandoned,
}

/// Sees a response body as the terminal produces it, before it is compressed.
pub trait BodyObserver: Send + Unpin + 'static {
    /// A part of the body.
    fn data(&mut self, _data: &Bytes) {}

    /// The fields behind the body.
    fn trailers(&mut self, _trailers: &HeaderMap) {}

    /// The end of the body. Called once.
    fn end(self, end: BodyEnd);
}

impl Content {
    /// Has the body observed. A body that is whole is observed at once; a stream as the client reads
    /// it. An upgrade has no body: it counts as complete.
    #[must_use]
    pub fn observe(self, mut observer: impl BodyObserver) -> Self {
        match self {
            Self::Stream(body) => Self::Stream(Box::pin(Observed::new(body, observer))),
            whole => {
                match &whole {
                    Self::Full(bytes) => observer.data(bytes),
                    Self::Fixed(fixed) => observer.data(fixed.bytes()),
                    Self::Stream(_) | Self::Upgrade(_) => {}
                }
                observer.end(BodyEnd::Complete);
                whole
            }
        }
    }
}

/// A stream and the observer of it, which is gone once the end was reported.
struct Observed<O: BodyObserver> {
    body: BoxedBody,
    observer: Option<O>,
}

impl<O: BodyObserver> Observed<O> {
    fn new(body: BoxedBody, observer: O) -> Self {
        let mut observed = Self { body, observer: Some(observer) };
        observed.report_if_complete();
        observed
    }

    fn report(&mut self, end: BodyEnd) {
        if let Some(observer) = self.observer.take() {
            observer.end(end);
        }
    }

    /// A reader stops where the body says that it has ended, and where all of a known length has
    /// come: it does not ask for a frame behind that.
    fn report_if_complete(&mut self) {
        if self.body.is_end_stream() || self.body.size_hint().exact() == Some(0) {
            self.report(BodyEnd::Complete);
        }
    }
}

impl<O: BodyObserver> HttpBody for Observed<O> {
    type Data = Bytes;
    type Error = StreamAborted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamAborted>>> {
        let frame = ready!(self.body.as_mut().poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(observer) = &mut self.observer {
                    if let Some(data) = frame.data_ref() {
                        observer.data(data);
                    } else if let Some(trailers) = frame.trailers_ref() {
                        observer.trailers(trailers);
                    }
                }
                self.report_if_complete();
            }
            Some(Err(_)) => self.report(BodyEnd::Aborted),
            None => self.report(BodyEnd::Complete),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<O: BodyObserver> Drop for Observed<O> {
    fn drop(&mut self) {
        self.report(BodyEnd::Abandoned);
    }
}
