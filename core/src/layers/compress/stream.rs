//! A stream compressed chunk by chunk: each chunk of the source leaves whole, so that an event is
//! not held back. Long chunks are compressed on the pool.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};

use super::pool::{INLINE_BYTES_MAX, Pool};
use super::{Coding, Encoder};
use crate::answer::{BoxedBody, StreamAborted};

/// A compressed body.
pub struct Compressed {
    body: BoxedBody,
    pool: Pool,
    state: State,
}

enum State {
    Idle(Encoder),
    /// A long chunk is being compressed on the pool.
    Busy(Work),
    /// The source has ended with trailers, which leave behind the rest of the data.
    Trailers(Frame<Bytes>),
    Ended,
}

/// Ends with the encoder and its output; `None` where it failed.
type Work = Pin<Box<dyn Future<Output = Option<(Encoder, Bytes)>> + Send>>;

type Polled = Poll<Option<Result<Frame<Bytes>, StreamAborted>>>;

// === impl Compressed ===

impl Compressed {
    /// Compresses a body. Its length is no longer known; its trailers stay.
    pub fn new(body: BoxedBody, coding: Coding, pool: Pool) -> Self {
        Self { body, pool, state: State::Idle(Encoder::new(coding)) }
    }

    /// Compresses a chunk; `None` where that is done on the pool.
    fn push(&mut self, chunk: Bytes) -> Option<Frame<Bytes>> {
        let State::Idle(encoder) = &mut self.state else { return None };
        if chunk.len() <= INLINE_BYTES_MAX {
            return Some(Frame::data(encoder.push(&chunk)));
        }
        if let State::Idle(mut encoder) = std::mem::replace(&mut self.state, State::Ended) {
            let work = self.pool.clone().run(move || {
                let bytes = encoder.push(&chunk);
                (encoder, bytes)
            });
            self.state = State::Busy(Box::pin(async move { work.await.ok() }));
        }
        None
    }

    /// What is left of the data, then the trailers.
    fn finish(&mut self, trailers: Option<Frame<Bytes>>) -> Option<Frame<Bytes>> {
        let next = trailers.map_or(State::Ended, State::Trailers);
        let rest = match std::mem::replace(&mut self.state, next) {
            State::Idle(encoder) => encoder.finish(),
            _ => Bytes::new(),
        };
        if rest.is_empty() { self.take_trailers() } else { Some(Frame::data(rest)) }
    }

    fn take_trailers(&mut self) -> Option<Frame<Bytes>> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Trailers(trailers) => Some(trailers),
            _ => None,
        }
    }
}

impl HttpBody for Compressed {
    type Data = Bytes;
    type Error = StreamAborted;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled {
        loop {
            match &mut self.state {
                State::Ended | State::Trailers(_) => {
                    return Poll::Ready(self.take_trailers().map(Ok));
                }
                State::Busy(work) => {
                    let Some((encoder, bytes)) = ready!(work.as_mut().poll(context)) else {
                        self.state = State::Ended;
                        return Poll::Ready(Some(Err(StreamAborted)));
                    };
                    self.state = State::Idle(encoder);
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                State::Idle(_) => {}
            }
            match ready!(self.body.as_mut().poll_frame(context)) {
                None => return Poll::Ready(self.finish(None).map(Ok)),
                Some(Err(aborted)) => {
                    self.state = State::Ended;
                    return Poll::Ready(Some(Err(aborted)));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(chunk) => {
                        if let Some(frame) = self.push(chunk) {
                            return Poll::Ready(Some(Ok(frame)));
                        }
                    }
                    Err(trailers) => return Poll::Ready(self.finish(Some(trailers)).map(Ok)),
                },
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Ended)
    }
}
