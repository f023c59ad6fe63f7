//! A socket: frames over a connection that was upgraded. It is one task's: everything is polled by the task that owns
//! it, and nothing of it runs in between.
//!
//! An idle socket owns no buffers: what is read goes through a buffer of the thread, and only what one message left over
//! of it is kept. What is queued leaves in as few writes as there are 64 KiB of it, for the write is what a message costs.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use super::deflate::Deflate;
use super::frame::{Fault, Parser, Received};
use super::message::{Closed, Message, Opcode, close_frame, frame};
use crate::budget::Budget;
use crate::connection::Activity;

/// Bytes read, and written, at a time.
const BATCH: usize = 64 << 10;
/// Bytes; a longer frame is written by itself instead of being copied together with others.
const LARGE: usize = 16 << 10;
/// Bytes of pongs that may wait for a client that sends pings and does not read; no more is read of it then.
const REPLIES: usize = 16 << 10;
/// Frames that the queue keeps room for while it is empty.
const KEPT: usize = 16;
/// Frames that are read before other tasks get their turn.
const TURN_FRAMES_MAX: u32 = 512;
/// Bytes that are read before other tasks get their turn, about.
const TURN_BYTES_MAX: usize = 128 << 10;
/// How long the other side may take for its part of a close.
const CLOSING: Duration = Duration::from_secs(2);

thread_local! {
    static IN: RefCell<Vec<u8>> = RefCell::new(vec![0; BATCH]);
    static OUT: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(BATCH));
}

/// What a socket works on.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// Both directions of a WebSocket.
pub struct Socket {
    io: Box<dyn Io>,
    parser: Parser,
    /// What was read behind the last message.
    unread: Bytes,
    outgoing: VecDeque<Bytes>,
    pending: usize,
    /// How much of it is pongs, at most; counted from when nothing waited.
    replies: usize,
    unflushed: bool,
    deflate: Deflate,
    end: End,
    /// For frames that carry nothing.
    budget: Budget,
    /// Frames and bytes read since others had their turn.
    turn: (u32, usize),
    activity: Option<Arc<Activity>>,
}

/// How far the socket is in its close.
enum End {
    Open,
    /// Our close frame is on its way, theirs is waited for.
    Closing(Closed),
    Closed(Closed),
}

// === impl Socket ===

impl Socket {
    /// A socket over `io`, of which `read` was read already. Messages have at most `max_bytes`, inflated.
    pub fn new(io: Box<dyn Io>, read: Bytes, deflate: Deflate, max_bytes: usize) -> Self {
        Self {
            io,
            parser: Parser::new(max_bytes, deflate != Deflate::Off),
            unread: read,
            outgoing: VecDeque::new(),
            pending: 0,
            replies: 0,
            unflushed: false,
            deflate,
            end: End::Open,
            budget: Budget::new(0),
            turn: (0, 0),
            activity: None,
        }
    }

    /// Ties the socket to its connection's times and end.
    #[must_use]
    pub(crate) fn with(mut self, activity: Arc<Activity>) -> Self {
        self.activity = Some(activity);
        self
    }

    /// What [`super::Encoded::frame`] is asked for.
    pub fn deflate(&self) -> Deflate {
        self.deflate
    }

    /// The next message. Pings are answered and a close is answered before they are told; what is queued is written
    /// meanwhile, as far as the client takes it.
    ///
    /// Cancelled: nothing is lost, the next call goes on.
    ///
    /// # Errors
    /// The socket has ended; each further call says so again.
    pub async fn receive(&mut self) -> Result<Message, Closed> {
        std::future::poll_fn(|context| self.poll_receive(context)).await
    }

    /// Queues whole frames, any number of them in one piece, from [`super::Encoded::frame`] or [`frame`]. They leave with
    /// the next [`Socket::flush`] or [`Socket::receive`]. Nothing is bounded here: see [`Socket::pending_bytes`]. On a
    /// socket that closes they are dropped, for nothing may follow a close frame.
    pub fn queue(&mut self, frames: Bytes) {
        if matches!(self.end, End::Open) {
            self.push(frames);
        }
    }

    /// Queues a ping.
    pub fn ping(&mut self, payload: &[u8]) {
        self.queue(frame(Opcode::Ping, false, payload.get(..125).unwrap_or(payload)));
    }

    /// Bytes that are queued and not yet taken by the connection.
    pub fn pending_bytes(&self) -> usize {
        self.pending
    }

    /// Writes all that is queued. A client that does not read is cut off by the connection's idle time.
    ///
    /// Cancelled: nothing is lost or sent twice.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn flush(&mut self) -> Result<(), Closed> {
        std::future::poll_fn(|context| self.poll_flush(context)).await.map_err(|_| self.lose())
    }

    /// Closes: sends what is queued and the close frame, and waits 2 s at most for the client's; messages that come
    /// meanwhile are dropped. How it ended.
    pub async fn close(&mut self, code: u16, reason: &str) -> Closed {
        if matches!(self.end, End::Open) {
            self.push(close_frame(code, reason));
            self.end = End::Closing(Closed { code, reason: reason.into(), clean: false });
        }
        let closing = async {
            loop {
                if let Err(closed) = self.receive().await {
                    return closed;
                }
            }
        };
        if let Ok(closed) = timeout(CLOSING, closing).await {
            return closed;
        }
        let closed = match &self.end {
            End::Open => Closed::lost(),
            End::Closing(closed) | End::Closed(closed) => closed.clone(),
        };
        self.end = End::Closed(closed.clone());
        closed
    }

    /// Waits for the gateway to drain. Not tied to the borrow of the socket, for a `select!` beside
    /// [`Socket::receive`]; to be awaited by the socket's own task.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + Unpin + use<> {
        let activity = self.activity.clone();
        std::future::poll_fn(move |context| match &activity {
            Some(activity) => activity.poll_ending(context),
            None => Poll::Pending,
        })
    }

    /// Ends the connection such that the client reads what was sent last: a socket with unread bytes that is dropped
    /// resets the connection, and the close frame with it (RFC 6455, section 7.1.1).
    pub(crate) async fn finish(&mut self) {
        if !matches!(self.end, End::Closed(_)) {
            self.close(1000, "").await;
        }
        if matches!(&self.end, End::Closed(closed) if closed.code == 1006) {
            return;
        }
        let _ = timeout(CLOSING, std::future::poll_fn(|context| self.poll_finish(context))).await;
    }

    /// Whether more was read than the messages that were received: the next is there without waiting.
    pub(crate) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// [`Socket::flush`], for a task that polls several things.
    pub(crate) fn poll_flush_all(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        self.poll_flush(context).map_err(|_| self.lose())
    }

    /// [`Socket::receive`], for a task that polls several things.
    pub(crate) fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Message, Closed>> {
        loop {
            if let End::Closed(closed) = &self.end {
                return Poll::Ready(Err(closed.clone()));
            }
            if self.turn.0 >= TURN_FRAMES_MAX || self.turn.1 >= TURN_BYTES_MAX {
                self.turn = (0, 0);
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if !self.unread.is_empty() && self.replies <= REPLIES {
                let mut unread = std::mem::take(&mut self.unread);
                let mut rest = &unread[..];
                let outcome = self.parser.next(&mut rest);
                let taken = unread.len() - rest.len();
                unread.advance(taken);
                self.unread = if unread.is_empty() { Bytes::new() } else { unread };
                let outcome = self.count(outcome, taken);
                if let Some(received) = self.accept(outcome) {
                    return Poll::Ready(received);
                }
                continue;
            }
            if let Poll::Ready(Err(_)) = self.poll_flush(context) {
                return Poll::Ready(Err(self.lose()));
            }
            if self.replies > REPLIES {
                return Poll::Pending; // until more was written
            }
            if !self.unread.is_empty() {
                continue;
            }
            let Poll::Ready(read) = self.poll_read(context) else {
                self.turn = (0, 0);
                return Poll::Pending;
            };
            match read {
                Ok(Some((outcome, taken))) => {
                    let outcome = self.count(outcome, taken);
                    if let Some(received) = self.accept(outcome) {
                        return Poll::Ready(received);
                    }
                }
                Ok(None) | Err(_) => return Poll::Ready(Err(self.lose())),
            }
        }
    }

    /// Counts what the parser has taken; the outcome is a fault where the client's budget is used up.
    fn count(
        &mut self,
        outcome: Result<Option<Received>, Fault>,
        taken: usize,
    ) -> Result<Option<Received>, Fault> {
        let read = self.parser.take_read();
        self.turn.0 += read.frames;
        self.turn.1 += taken;
        let now = self.activity.as_ref().map_or(0, |activity| activity.now());
        if read.idle_frames > 0 && !self.budget.take(read.idle_frames, now) {
            return Err(Fault::flood());
        }
        outcome
    }

    /// Reads once, as far as the first message, and how many bytes that took; `None` at the
    /// connection's end.
    #[allow(clippy::type_complexity)] // the parser's own result, or none
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Option<(Result<Option<Received>, Fault>, usize)>>> {
        IN.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.io).poll_read(context, &mut buffer))?;
            let mut read = buffer.filled();
            if read.is_empty() {
                return Poll::Ready(Ok(None));
            }
            let all = read.len();
            let outcome = self.parser.next(&mut read);
            self.unread = Bytes::copy_from_slice(read);
            Poll::Ready(Ok(Some((outcome, all - read.len()))))
        })
    }

    /// What is to be told of what came.
    fn accept(
        &mut self,
        outcome: Result<Option<Received>, Fault>,
    ) -> Option<Result<Message, Closed>> {
        match outcome {
            Ok(None) => None,
            Ok(Some(Received::Message(message))) => {
                if let (Message::Ping(payload), End::Open) = (&message, &self.end) {
                    let pong = frame(Opcode::Pong, false, payload);
                    self.replies += pong.len();
                    self.push(pong);
                }
                Some(Ok(message))
            }
            Ok(Some(Received::Close(code, reason))) => Some(Err(self.answer_close(code, reason))),
            Err(fault) => Some(Err(self.fail(fault))),
        }
    }

    fn answer_close(&mut self, code: u16, reason: Box<str>) -> Closed {
        let closed = match std::mem::replace(&mut self.end, End::Open) {
            End::Open => {
                self.push(close_frame(code, ""));
                Closed { code, reason, clean: true }
            }
            End::Closing(ours) | End::Closed(ours) => Closed { clean: true, ..ours },
        };
        self.end = End::Closed(closed.clone());
        closed
    }

    /// Fails the connection (RFC 6455, section 7.1.7).
    fn fail(&mut self, fault: Fault) -> Closed {
        self.unread = Bytes::new();
        let closed = match std::mem::replace(&mut self.end, End::Open) {
            End::Open => {
                self.push(close_frame(fault.code, fault.reason));
                Closed { code: fault.code, reason: fault.reason.into(), clean: false }
            }
            End::Closing(ours) | End::Closed(ours) => ours,
        };
        self.end = End::Closed(closed.clone());
        closed
    }

    fn lose(&mut self) -> Closed {
        self.outgoing = VecDeque::new();
        self.pending = 0;
        let closed = match std::mem::replace(&mut self.end, End::Open) {
            End::Open => Closed::lost(),
            // They went without answering: what they were told stays the reason.
            End::Closing(ours) | End::Closed(ours) => ours,
        };
        self.end = End::Closed(closed.clone());
        closed
    }

    fn push(&mut self, frames: Bytes) {
        self.pending += frames.len();
        self.outgoing.push_back(frames);
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let outcome = self.poll_write(context);
            if let Some(activity) = &self.activity {
                activity.stalled(outcome.is_pending());
            }
            match ready!(outcome)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.advance(written),
            }
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let io = Pin::new(&mut self.io);
        self.unflushed = true;
        match self.outgoing.front() {
            Some(front) if self.outgoing.len() == 1 || front.len() >= LARGE => {
                io.poll_write(context, front)
            }
            _ => OUT.with_borrow_mut(|batch| {
                batch.clear();
                for frames in &self.outgoing {
                    let room = BATCH - batch.len();
                    batch.extend_from_slice(&frames[..frames.len().min(room)]);
                    if batch.len() == BATCH {
                        break;
                    }
                }
                io.poll_write(context, batch)
            }),
        }
    }

    /// Takes what was written off the queue.
    fn advance(&mut self, mut written: usize) {
        self.pending = self.pending.saturating_sub(written);
        while let Some(front) = self.outgoing.front_mut() {
            if front.len() > written {
                front.advance(written);
                return;
            }
            written -= front.len();
            self.outgoing.pop_front();
        }
        self.replies = 0;
        if self.outgoing.capacity() > KEPT {
            self.outgoing = VecDeque::new();
        }
    }

    fn poll_finish(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(context))?;
        ready!(Pin::new(&mut self.io).poll_shutdown(context))?;
        loop {
            let read = IN.with_borrow_mut(|buffer| {
                let mut buffer = ReadBuf::new(buffer);
                let outcome = Pin::new(&mut self.io).poll_read(context, &mut buffer);
                outcome.map_ok(|()| buffer.filled().len())
            });
            if ready!(read)? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;
