//! One connection: HTTP/1.1 or HTTP/2 by hyper, guarded where hyper leaves things open. A guard around the socket
//! keeps the times (idle, half a head, a reader that has stopped) and gives hyper's own bare refusals of malformed
//! requests the standard error's form.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::exchange::respond;
use crate::framing::{Fault, Framing};
use crate::head::HEADER_FIELDS_PARSED_MAX;
use crate::http2::{Blocked, Frames, PING};
use crate::malformed;
use crate::plan::{Bounds, Level};
use crate::server::{Registered, Worker};
use crate::websocket::socket::Io;

/// Bytes of a header list on HTTP/2 above the bounds of a request.
const HEADER_LIST_SLACK_BYTES: usize = 16 << 10;

/// Milliseconds after which a client that has closed its side is asked whether it still reads. Before them only a
/// reset says that it does not.
const HALF_CLOSE_PROBE_MS: u64 = 1500;
/// An answer before the answer, which a client must be able to ignore (RFC 9110, section 15.2).
const PROBE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// What hyper reads in place of what is malformed in a head: no head has a NUL, and hyper parses a head that came in
/// parts only when it ends.
const POISON: &[u8] = b"\0\r\n\r\n";
/// Bytes behind a malformed request that are read, so that the client gets the refusal instead of a reset.
const DISCARDED_BYTES_MAX: usize = 1 << 20;

/// What is known of a connection, for whoever sweeps them. Times are milliseconds of the worker's clock; 0 is never.
#[derive(Default)]
pub struct State {
    /// Requests being answered.
    active: AtomicU32,
    /// Since when half a head has been there.
    head_since: AtomicU64,
    /// When it was last of use.
    used: AtomicU64,
    /// Since when the client has not read.
    stalled_since: AtomicU64,
    /// Since when the client sends nothing more, but may read.
    half_closed_since: AtomicU64,
    /// Requests that were begun.
    requests: AtomicU64,
    /// Whether the client has got a part of the answer to the last of them.
    responding: AtomicBool,
    /// Answers that have no end of their own, so that they end when the client closes its side.
    endless: AtomicU32,
    /// What is malformed in a body; the connection ends with it.
    fault: OnceLock<Fault>,
    ending: AtomicBool,
    /// Whether it ends although a client has not answered, unless a request is in progress.
    abandoning: AtomicBool,
    killed: AtomicBool,
    /// What is known of the frames of HTTP/2. Boxed, for most connections have none.
    frames: OnceLock<Box<Mutex<Frames>>>,
    waker: Mutex<Option<Waker>>,
}

/// Why a connection is closed by the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overdue {
    /// Its head did not come in time.
    Head,
    /// It was not used.
    Idle,
    /// The client does not read.
    Stalled,
}

impl State {
    /// A connection that was accepted now; it owes a head.
    pub fn new(now: u64) -> Self {
        let state = Self::default();
        state.head_since.store(now, Ordering::Relaxed);
        state.used.store(now, Ordering::Relaxed);
        state
    }

    /// Whether it has outstayed one of its times.
    pub fn overdue(&self, now: u64, bounds: &Bounds) -> Option<Overdue> {
        let (head_ms, idle_ms) = (bounds.head_timeout_ms, bounds.idle_timeout_ms);
        let over = |since: u64, allowed: u64| since != 0 && now.saturating_sub(since) > allowed;
        if self.half_closed_since.load(Ordering::Relaxed) != 0 {
            self.wake(); // the socket does not announce a reset behind an end
        }
        if over(self.stalled_since.load(Ordering::Relaxed), bounds.write_timeout_ms) {
            return Some(Overdue::Stalled);
        }
        match self.frames().and_then(|mut frames| frames.blocked(now, bounds.write_timeout_ms)) {
            Some(Blocked::All) => return Some(Overdue::Stalled),
            // The others may finish; the client opens another connection for what comes next.
            Some(Blocked::Some) => self.end(),
            None => {}
        }
        if self.active.load(Ordering::Relaxed) > 0 {
            return None;
        }
        if over(self.head_since.load(Ordering::Relaxed), head_ms) {
            return Some(Overdue::Head);
        }
        over(self.used.load(Ordering::Relaxed), idle_ms).then_some(Overdue::Idle)
    }

    /// Closes it at once.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// Lets it finish what it does and takes nothing further.
    pub fn end(&self) {
        if !self.ending.swap(true, Ordering::Relaxed) {
            self.wake();
        }
    }

    /// Ends it although a client has not answered the announcement of [`State::end`], unless a
    /// request is in progress.
    pub(crate) fn abandon(&self) {
        if !self.abandoning.swap(true, Ordering::Relaxed) {
            self.wake();
        }
    }

    /// Waits for [`State::end`] or [`State::kill`], before there is a connection of hyper's.
    pub(crate) async fn ended(&self) {
        std::future::poll_fn(|context| {
            self.listen(context);
            let ended = [&self.ending, &self.killed].iter().any(|one| one.load(Ordering::Relaxed));
            if ended { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Whether no request is in progress: none is answered, and none of an answer is to be sent.
    fn is_done(&self, protocol: Protocol) -> bool {
        let quiet = self.active.load(Ordering::Relaxed) == 0
            && self.stalled_since.load(Ordering::Relaxed) == 0;
        // A client of HTTP/2 may have sent a request that it did not know to be too late: it is
        // asked first, with a PING of hyper's.
        let asked = protocol == Protocol::Http1 || self.abandoning.load(Ordering::Relaxed);
        quiet && asked && !self.frames().is_some_and(|frames| frames.is_responding())
    }

    fn frames(&self) -> Option<parking_lot::MutexGuard<'_, Frames>> {
        self.frames.get().map(|frames| frames.lock())
    }

    /// Notes since when the client has not read, or that it does.
    fn stall(&self, since: Option<u64>) {
        match since {
            None => self.stalled_since.store(0, Ordering::Relaxed),
            Some(now) => {
                let order = Ordering::Relaxed;
                let _ = self.stalled_since.compare_exchange(0, now, order, order);
            }
        }
    }

    /// Has the task of `context` woken when the connection is told something. There is one task at a time: hyper's, then
    /// the socket's where the connection was upgraded.
    fn listen(&self, context: &Context<'_>) {
        let mut waker = self.waker.lock();
        if !waker.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.lock() {
            waker.wake_by_ref();
        }
    }
}

/// Counts as a request being answered for as long as it lives.
pub struct Activity {
    state: Arc<State>,
    worker: Arc<Worker>,
    /// The request's number on its connection, from 1.
    request: u64,
    /// Whether the answer has no end of its own.
    endless: bool,
    /// Keeps the connection in its worker's list, also past hyper's part of it.
    _registered: Option<Arc<Registered>>,
}

impl Activity {
    fn start(
        state: &Arc<State>,
        worker: &Arc<Worker>,
        registered: Option<&Arc<Registered>>,
    ) -> Self {
        state.active.fetch_add(1, Ordering::Relaxed);
        state.head_since.store(0, Ordering::Relaxed);
        state.responding.store(false, Ordering::Relaxed);
        let request = state.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let (state, worker) = (Arc::clone(state), Arc::clone(worker));
        Self { state, worker, request, endless: false, _registered: registered.map(Arc::clone) }
    }

    /// What is malformed in the request's body, as far as it has come.
    pub(crate) fn fault(&self) -> Option<&Fault> {
        self.state.fault.get().filter(|fault| fault.message == self.request)
    }

    /// Notes that the answer has no end of its own.
    pub(crate) fn set_endless(&mut self) {
        if !std::mem::replace(&mut self.endless, true) {
            self.state.endless.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Ready when the connection is to be closed at once.
    pub(crate) fn poll_killed(&self, context: &Context<'_>) -> Poll<()> {
        self.state.listen(context);
        if self.state.killed.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Ready when the connection is to finish what it does.
    pub(crate) fn poll_ending(&self, context: &Context<'_>) -> Poll<()> {
        self.state.listen(context);
        if self.state.ending.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Notes whether the client leaves what is written to it.
    pub(crate) fn stalled(&self, stalled: bool) {
        self.state.stall(stalled.then(|| self.worker.now()));
    }

    /// The time, as of [`Worker::now`].
    pub(crate) fn now(&self) -> u64 {
        self.worker.now()
    }

    /// Logs a panic in what is done on the connection.
    pub(crate) fn log_panic(&self, message: &str) {
        let fields = serde_json::json!({"message": "panic", "error": message});
        self.worker.gateway.runtime.log.write(Level::Error, &fields);
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        self.state.used.store(self.worker.now(), Ordering::Relaxed);
        self.state.active.fetch_sub(1, Ordering::Relaxed);
        if self.endless {
            self.state.endless.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// The protocol that a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0 or 1.1.
    Http1,
    /// HTTP/2, by ALPN or with prior knowledge.
    Http2,
}

/// Serves a connection until it ends, is killed, or the gateway drains.
pub async fn serve<T>(
    worker: Arc<Worker>,
    io: T,
    peer: SocketAddr,
    protocol: Protocol,
    state: Arc<State>,
    registered: Option<Arc<Registered>>,
) where
    T: Transport + Send + 'static,
{
    let program = worker.gateway.program();
    let bounds = &program.bounds;
    if protocol == Protocol::Http2 {
        state.frames.get_or_init(|| Box::new(Mutex::new(Frames::new(worker.now()))));
    }
    let guard = Guard {
        io,
        protocol,
        peer,
        state: Arc::clone(&state),
        worker: Arc::clone(&worker),
        line_seen: false,
        partial: false,
        unflushed: false,
        refusal: Vec::new(),
        framing: Framing::new(),
        fault: None,
        held: Vec::new(),
    };
    let service = {
        let (state, worker) = (Arc::clone(&state), Arc::clone(&worker));
        service_fn(move |request| {
            let activity = Activity::start(&state, &worker, registered.as_ref());
            respond(Arc::clone(&worker), peer.ip(), activity, request)
        })
    };
    match protocol {
        Protocol::Http1 => {
            let mut http = hyper::server::conn::http1::Builder::new();
            // Hyper's bounds are the backstop; `head` has the exact ones.
            http.max_buf_size((bounds.header_bytes + bounds.uri_bytes + 1024).max(8192))
                .max_headers(HEADER_FIELDS_PARSED_MAX)
                .auto_date_header(false);
            let connection = http.serve_connection(TokioIo::new(guard), service).with_upgrades();
            Watched {
                connection,
                state,
                protocol,
                announced: false,
                graceful: |c| c.graceful_shutdown(),
            }
            .await;
        }
        Protocol::Http2 => {
            let mut http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            // Counts 32 bytes for each field besides its text (RFC 9113, section 6.5.2). Above it the refusal is a
            // bare 431, so it leaves room above the exact bounds of `head`.
            let list_bytes = 2 * (bounds.header_bytes + bounds.uri_bytes) + HEADER_LIST_SLACK_BYTES;
            http.max_concurrent_streams(200)
                .max_header_list_size(list_bytes as u32)
                .auto_date_header(false);
            let connection = http.serve_connection(TokioIo::new(guard), service);
            Watched {
                connection,
                state,
                protocol,
                announced: false,
                graceful: |c| c.graceful_shutdown(),
            }
            .await;
        }
    }
}

/// What is below an upgraded connection, and what was read of it already. A clear one loses its guard: the socket keeps
/// the times itself, and its reads and writes go straight to the system.
pub(crate) fn upgraded(connection: Upgraded) -> (Box<dyn Io>, Bytes) {
    match connection.downcast::<TokioIo<Guard<TcpStream>>>() {
        // Copied: even an empty rest would keep all of hyper's buffer.
        Ok(parts) => {
            let guard = parts.io.into_inner();
            let read = [&parts.read_buf[..], &guard.held].concat();
            (Box::new(guard.io), Bytes::from(read))
        }
        Err(connection) => (Box::new(TokioIo::new(connection)), Bytes::new()),
    }
}

/// A connection that can be told to end from outside.
struct Watched<C> {
    connection: C,
    state: Arc<State>,
    protocol: Protocol,
    announced: bool,
    graceful: fn(Pin<&mut C>),
}

impl<C: Future + Unpin> Future for Watched<C> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.state.listen(context);
        if this.state.killed.load(Ordering::Relaxed) {
            return Poll::Ready(());
        }
        if this.state.ending.load(Ordering::Relaxed) && !this.announced {
            this.announced = true;
            (this.graceful)(Pin::new(&mut this.connection));
        }
        // How a connection ends is the client's affair: what it asked for was counted request by request.
        let ended = Pin::new(&mut this.connection).poll(context).map(|_| ());
        // Hyper would wait for the rest of a head that is there in part.
        if ended.is_pending() && this.announced && this.state.is_done(this.protocol) {
            return Poll::Ready(());
        }
        ended
    }
}

/// What a connection runs over.
pub trait Transport: AsyncRead + AsyncWrite + Unpin {
    /// Whether the peer has gone, rather than closed its side.
    fn is_reset(&self) -> bool;
}

impl Transport for TcpStream {
    fn is_reset(&self) -> bool {
        !matches!(self.take_error(), Ok(None))
    }
}

impl Transport for TlsStream<TcpStream> {
    fn is_reset(&self) -> bool {
        self.get_ref().0.is_reset()
    }
}

impl Transport for tokio::io::DuplexStream {
    /// It has no half-closed state.
    fn is_reset(&self) -> bool {
        true
    }
}

/// The socket under hyper.
struct Guard<T> {
    io: T,
    protocol: Protocol,
    peer: SocketAddr,
    state: Arc<State>,
    worker: Arc<Worker>,
    /// Whether the request line of the head that is being read is whole.
    line_seen: bool,
    /// Whether the last write left something over: what comes next is then the rest of it.
    partial: bool,
    /// Whether the last flush left something over.
    unflushed: bool,
    /// A refusal of ours that replaces hyper's, as far as it is not written yet.
    refusal: Vec<u8>,
    framing: Framing,
    /// What is malformed in what was read; nothing is read behind it.
    fault: Option<Fault>,
    /// What was read behind a request for an upgrade, until that is answered; what hyper still reads after a fault.
    held: Vec<u8>,
}

impl<T> Guard<T> {
    /// Notes the bytes of a request that begins or goes on.
    fn read(&mut self, bytes: &[u8]) {
        if self.state.active.load(Ordering::Relaxed) > 0 {
            return;
        }
        if self.state.head_since.load(Ordering::Relaxed) == 0 {
            self.state.head_since.store(self.worker.now(), Ordering::Relaxed);
            self.line_seen = false;
        }
        if !self.line_seen {
            self.line_seen = memchr::memchr(b'\n', bytes).is_some();
        }
    }

    /// Notes the bytes of frames; false when the client has sent too many that serve no request.
    fn received(&mut self, bytes: &[u8]) -> bool {
        let now = self.worker.now();
        self.state.frames().is_none_or(|mut frames| frames.received(bytes, now))
    }

    /// Notes whether the client takes what is written.
    fn progress<R>(&self, outcome: &Poll<R>) {
        self.state.stall(outcome.is_pending().then(|| self.worker.now()));
    }

    /// Whether hyper is about to send a refusal of its own: nothing is being answered, and the whole of what it
    /// writes is a head without the request id that every answer of ours has.
    fn is_bare_refusal(&self, bytes: &[u8]) -> bool {
        self.protocol == Protocol::Http1
            && !self.partial
            && self.state.active.load(Ordering::Relaxed) == 0
            && malformed::is_bare(bytes)
    }

    /// Follows what was read behind `before`, and ends it where it is malformed: a head with a byte that hyper
    /// refuses, a body with an error.
    fn follow(&mut self, buffer: &mut ReadBuf<'_>, before: usize) -> std::io::Result<()> {
        let end = buffer.filled().len();
        match self.framing.follow(&buffer.filled()[before..]) {
            Ok(taken) => {
                if before + taken < end {
                    let behind = buffer.filled()[before + taken..].to_vec();
                    self.held.splice(..0, behind);
                    buffer.set_filled(before + taken);
                }
                Ok(())
            }
            Err(fault) => {
                self.fault = Some(fault);
                let valid = before + fault.valid;
                if fault.message == 0 {
                    buffer.set_filled(valid);
                    self.held = POISON.to_vec();
                    self.put_held(buffer);
                    return Ok(());
                }
                let _ = self.state.fault.set(fault);
                buffer.set_filled(valid);
                if fault.valid == 0 { Err(invalid(&fault)) } else { Ok(()) }
            }
        }
    }

    fn put_held(&mut self, buffer: &mut ReadBuf<'_>) {
        let taken = self.held.len().min(buffer.remaining());
        buffer.put_slice(&self.held[..taken]);
        self.held.drain(..taken);
    }

    /// Whether an end of the input is withheld from hyper: the client waits for an answer, or for the rest of one.
    fn is_awaited(&self) -> bool {
        let endless = self.state.endless.load(Ordering::Relaxed);
        let unwritten = self.partial || self.unflushed;
        if let Some(frames) = self.state.frames() {
            return frames.is_between_inbound()
                && (unwritten || frames.open_streams() > endless as usize);
        }
        let active = self.state.active.load(Ordering::Relaxed);
        self.framing.is_between_messages() && endless == 0 && (unwritten || active > 0)
    }

    /// Notes that the client sends nothing more.
    fn half_closed(&self) {
        let order = Ordering::Relaxed;
        let now = self.worker.now();
        let _ = self.state.half_closed_since.compare_exchange(0, now, order, order);
    }

    /// What asks a client that has closed its side whether it still reads, if that is due.
    fn probe(&mut self) -> Option<&'static [u8]> {
        let since = self.state.half_closed_since.load(Ordering::Relaxed);
        if self.worker.now().saturating_sub(since) <= HALF_CLOSE_PROBE_MS {
            return None;
        }
        if let Some(mut frames) = self.state.frames() {
            let due = !self.unflushed && frames.is_probe_due();
            return due.then_some(&PING);
        }
        let due = self.state.active.load(Ordering::Relaxed) > 0
            && !self.framing.is_http10()
            && !self.state.responding.swap(true, Ordering::Relaxed);
        due.then_some(PROBE)
    }
}

fn invalid(fault: &Fault) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, fault.sentence)
}

impl<T: Transport> Guard<T> {
    /// Finds out whether a client that has closed its side has gone.
    fn check_half_closed(&mut self, context: &mut Context<'_>) -> std::io::Result<()> {
        if self.io.is_reset() {
            return Err(std::io::ErrorKind::ConnectionReset.into());
        }
        if let Some(probe) = self.probe() {
            let _ = Pin::new(&mut self.io).poll_write(context, probe)?;
            let _ = Pin::new(&mut self.io).poll_flush(context)?;
        }
        Ok(())
    }

    /// Reads what has come behind a malformed request: closing with unread input would reset the connection before
    /// the client reads the refusal.
    fn discard(&mut self, context: &mut Context<'_>) {
        let mut scratch = [0; 4096];
        for _ in 0..DISCARDED_BYTES_MAX / scratch.len() {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.io).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                _ => return,
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> Guard<T> {
    /// Says why the connection is closed, where that can be said without waiting.
    fn cut_off(&mut self, context: &mut Context<'_>) -> std::io::Error {
        let goaway = self.state.frames().and_then(|frames| frames.goaway());
        if let Some(goaway) = goaway
            && Pin::new(&mut self.io).poll_write(context, &goaway).is_ready()
        {
            let _ = Pin::new(&mut self.io).poll_flush(context);
        }
        let reason = "the client sends too many frames that serve no request";
        let fields = serde_json::json!({
            "message": "connection closed", "error": reason, "peer": self.peer.ip(),
        });
        self.worker.gateway.runtime.log.write(Level::Warning, &fields);
        std::io::Error::new(std::io::ErrorKind::InvalidData, reason)
    }

    fn poll_refusal(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        while !self.refusal.is_empty() {
            let written =
                std::task::ready!(Pin::new(&mut self.io).poll_write(context, &self.refusal))?;
            if written == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            self.refusal.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: Transport> AsyncRead for Guard<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        if self.protocol == Protocol::Http2 {
            let outcome = Pin::new(&mut self.io).poll_read(context, buffer);
            let bytes = buffer.filled().get(before..).unwrap_or_default();
            if !self.received(bytes) {
                return Poll::Ready(Err(self.cut_off(context)));
            }
            let is_end = matches!(outcome, Poll::Ready(Ok(())))
                && bytes.is_empty()
                && buffer.remaining() > 0;
            if is_end && self.is_awaited() {
                self.half_closed();
                self.check_half_closed(context)?;
                return Poll::Pending;
            }
            return outcome;
        }
        match &self.fault {
            // Hyper has refused it, or will once it has answered what came before.
            Some(fault) if fault.message == 0 && self.held.is_empty() => return Poll::Pending,
            Some(fault) if fault.message == 0 => {
                self.put_held(buffer);
                return Poll::Ready(Ok(()));
            }
            Some(fault) => return Poll::Ready(Err(invalid(fault))),
            None => {}
        }
        if self.framing.is_waiting() && !self.held.is_empty() {
            return Poll::Pending; // hyper reads again when it has answered
        }
        if self.held.is_empty() {
            std::task::ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
        } else {
            self.put_held(buffer);
        }
        let bytes = buffer.filled().get(before..).unwrap_or_default();
        if !bytes.is_empty() {
            self.read(bytes);
            return Poll::Ready(self.follow(buffer, before));
        }
        if buffer.remaining() > 0 && self.is_awaited() && !self.io.is_reset() {
            self.half_closed();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: Transport> AsyncWrite for Guard<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let mut bytes = bytes;
        if self.protocol == Protocol::Http1 {
            let fault = self.fault.filter(|fault| fault.message == 0);
            if let Some(bare) = fault.and_then(|_| malformed::find_bare(bytes)).filter(|at| *at > 0)
            {
                bytes = &bytes[..bare]; // the end of an earlier answer comes first
            } else if self.is_bare_refusal(bytes) {
                let (worker, peer) = (&self.worker, self.peer);
                self.refusal = malformed::answer(worker, peer, bytes, self.line_seen, fault);
                return Poll::Ready(Ok(bytes.len()));
            }
            if self.framing.is_waiting() {
                self.framing.answered(bytes.starts_with(b"HTTP/1.1 101"));
            }
            self.state.responding.store(true, Ordering::Relaxed);
        }
        let outcome = Pin::new(&mut self.io).poll_write(context, bytes);
        self.progress(&outcome);
        if let Poll::Ready(Ok(written)) = outcome {
            self.partial = written < bytes.len();
            if let (Some(mut frames), Some(sent)) = (self.state.frames(), bytes.get(..written)) {
                frames.sent(sent, self.worker.now());
            }
        }
        outcome
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.state.half_closed_since.load(Ordering::Relaxed) != 0 {
            self.check_half_closed(context)?;
        }
        let outcome = match self.poll_refusal(context) {
            Poll::Ready(Ok(())) => Pin::new(&mut self.io).poll_flush(context),
            waiting => waiting,
        };
        self.unflushed = outcome.is_pending();
        // Over TLS what was written may wait here.
        if outcome.is_pending() {
            self.progress(&outcome);
        }
        outcome
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        std::task::ready!(self.poll_refusal(context))?;
        if self.fault.is_some() {
            self.discard(context);
        }
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
