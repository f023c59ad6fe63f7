//! The server: threads with a runtime each, the sockets they listen on, and the end of it all.
//!
//! Each thread has its own single-threaded runtime, its own listener (`SO_REUSEPORT` where there are several) and its
//! own table of calls, so that nothing but the queue to the handlers is shared.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde::Deserialize;
use slab::Slab;
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use crate::clock::Date;
use crate::connection::{Overdue, Protocol, State, serve};
use crate::exchange::resources::WorkerResources;
use crate::gateway::Gateway;
use crate::handler::PendingCalls;
use crate::hub::broker::Position;
use crate::hub::policy::Refused;
use crate::plan::Level;
use crate::telemetry::log;
use crate::tls;

/// How often connections are looked at for having outstayed their times, and the worker's clock is set.
const SWEEP: Duration = Duration::from_millis(100);
/// How often the deadlines of calls are looked at while there are calls.
const DEADLINES: Duration = Duration::from_millis(10);
/// How long to wait before accepting again when the process has no file descriptors left.
const BACK_OFF: Duration = Duration::from_millis(50);
/// How long a client of HTTP/2 may take to answer the announcement that its connection ends, where
/// it has no request in progress.
const ANSWER_TO_GOAWAY: Duration = Duration::from_millis(250);
/// Bytes of a connection that the system holds and has not sent: beyond, a write waits. It bounds
/// what a client that does not read costs, and shows soon whether it reads.
const UNSENT_BYTES_MAX: u32 = 128 << 10;
/// How much later than the gateway the system gives up on a client that takes nothing.
const SYSTEM_TIMEOUT_MARGIN: Duration = Duration::from_secs(1);
/// How long after the last time memory is given back to the system, where connections have ended.
const TRIM_INTERVAL: Duration = Duration::from_secs(1);
/// How often that is done after the last connection has ended: the allocator waits for a while
/// before it gives back what it has found to be free.
const TRIMS: u32 = 3;
const BACKLOG: i32 = 4096;
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the side of the handlers asked for, done.
#[derive(Debug)]
pub enum Completion {
    /// A chunk was taken: whether the client is still there.
    Sent(bool),
    /// The answer to a request without a socket.
    Response(Result<LocalResponse, String>),
    /// Something was published: its epoch and offset, or why not.
    Published(Result<Position, Refused>),
    /// What the hub was asked for, as JSON.
    Told(Result<Vec<u8>, Refused>),
    /// The last call of a replaced program has ended.
    Retired,
    /// The server has stopped: whether every request was finished.
    Stopped(bool),
}

/// The answer to a request without a socket.
#[derive(Debug)]
pub struct LocalResponse {
    /// HTTP status.
    pub status: u16,
    /// As they were sent.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// How a gateway is served.
#[derive(Debug, Clone, Deserialize)]
pub struct Options {
    /// Hosts and ports; port 0 takes a free one. None: only requests without a socket.
    #[serde(default)]
    pub listen: Vec<(String, u16)>,
    /// Threads, at least one.
    pub threads: u16,
    /// Certificate and key; `None` serves in clear.
    #[serde(default)]
    pub tls: Option<TlsFiles>,
}

/// PEM files.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The certificate and its chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// One thread: its connections, its calls, its clock.
pub struct Worker {
    /// What all threads share.
    pub gateway: Arc<Gateway>,
    /// Calls that wait for an answer.
    pub pending_calls: Arc<PendingCalls>,
    connections: Mutex<Slab<Arc<State>>>,
    started: Instant,
    clock: AtomicU64,
    date: Date,
    /// How often memory is still to be given back to the system.
    trims: AtomicU32,
    draining: AtomicBool,
    stop_accepting: Notify,
    finished: Notify,
    /// What its exchanges share.
    pub(crate) resources: WorkerResources,
}

impl Worker {
    fn new(gateway: Arc<Gateway>, index: u16) -> Self {
        Self {
            gateway,
            pending_calls: Arc::new(PendingCalls::new(index)),
            connections: Mutex::new(Slab::new()),
            started: Instant::now(),
            clock: AtomicU64::new(1),
            date: Date::new(),
            trims: AtomicU32::new(0),
            draining: AtomicBool::new(false),
            stop_accepting: Notify::new(),
            finished: Notify::new(),
            resources: WorkerResources::new(),
        }
    }

    /// Milliseconds since the start, as of the last sweep; never 0.
    pub fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    /// The `Date` of an answer, as of the last sweep.
    pub(crate) fn date(&self) -> HeaderValue {
        self.date.value()
    }

    /// Closes connections that have outstayed one of their times and ends calls that are past their deadline, for as
    /// long as the worker lives.
    async fn sweep(&self) {
        let mut trimmed = 0;
        loop {
            let now = self.started.elapsed().as_millis() as u64 + 1;
            if now - self.now() >= SWEEP.as_millis() as u64 {
                self.clock.store(now, Ordering::Relaxed);
                self.date.update(SystemTime::now());
                self.close_all_overdue(now);
                self.gateway.runtime.metrics.sample();
                if now - trimmed >= TRIM_INTERVAL.as_millis() as u64 {
                    trimmed = now;
                    self.trim();
                }
            }
            let now = Instant::now();
            self.pending_calls.expire(now);
            self.resources.deadlines.expire(now);
            let pending =
                self.pending_calls.has_pending() || self.resources.deadlines.is_waited_for();
            tokio::time::sleep(if pending { DEADLINES } else { SWEEP }).await;
        }
    }

    fn trim(&self) {
        let left = self.trims.load(Ordering::Relaxed);
        if left > 0 {
            self.trims.store(left - 1, Ordering::Relaxed);
            self.gateway.queue.trim();
        }
    }

    fn close_all_overdue(&self, now: u64) {
        let program = self.gateway.program();
        for (_, state) in &*self.connections.lock() {
            if let Some(why) = state.overdue(now, &program.bounds) {
                self.close_overdue(state, why);
            }
        }
    }

    fn close_overdue(&self, state: &State, why: Overdue) {
        state.kill();
        if why != Overdue::Idle {
            let reason = match why {
                Overdue::Head => "the request's head did not arrive in time",
                Overdue::Stalled | Overdue::Idle => "the client does not read its answer",
            };
            let fields = serde_json::json!({"message": "connection closed", "error": reason});
            self.gateway.runtime.log.write(Level::Warning, &fields);
        }
    }

    /// Serves one connection from its acceptance to its end.
    async fn connect(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        tls: Option<TlsAcceptor>,
    ) {
        let _ = stream.set_nodelay(true);
        let state = Arc::new(State::new(self.now()));
        let registered = Arc::new(Registered::new(&self, &state));
        let peer = SocketAddr::new(canonical(peer.ip()), peer.port());
        let patience = Duration::from_millis(self.gateway.program().bounds.head_timeout_ms);
        match tls {
            None => {
                // A client that sends nothing has not said what it speaks.
                let sniffed = tokio::select! {
                    biased;
                    () = state.ended() => return,
                    sniffed = tokio::time::timeout(patience, sniff(&stream)) => sniffed,
                };
                if let Ok(Ok(protocol)) = sniffed {
                    let worker = Arc::clone(&self);
                    serve(worker, stream, peer, protocol, state, Some(registered)).await;
                }
            }
            // Boxed, for it is the largest by far: a task has room for all that it may do.
            Some(acceptor) => {
                let secured = async move {
                    let accepting = tokio::time::timeout(patience, acceptor.accept(stream));
                    let accepted = tokio::select! {
                        biased;
                        () = state.ended() => return,
                        accepted = accepting => accepted,
                    };
                    let Ok(Ok(stream)) = accepted else { return };
                    let protocol = match stream.get_ref().1.alpn_protocol() {
                        Some(b"h2") => Protocol::Http2,
                        _ => Protocol::Http1,
                    };
                    serve(self, stream, peer, protocol, state, Some(registered)).await;
                };
                Box::pin(secured).await;
            }
        }
    }

    /// Answers a request through the same connection code as a socket's.
    async fn local(
        self: Arc<Self>,
        request: Request<Full<Bytes>>,
    ) -> Result<LocalResponse, String> {
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let state = Arc::new(State::new(self.now()));
        let peer = SocketAddr::from(([127, 0, 0, 1], 0));
        tokio::spawn(serve(Arc::clone(&self), theirs, peer, Protocol::Http1, state, None));
        let said = |error: hyper::Error| error.to_string();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(ours)).await.map_err(said)?;
        tokio::spawn(connection);
        let response: Response<_> = sender.send_request(request).await.map_err(said)?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(said)?.to_bytes();
        Ok(LocalResponse { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    /// Drains, and ends the thread.
    async fn stop(&self, grace: Duration) -> bool {
        let done = self.drain(grace).await;
        self.finished.notify_one();
        done
    }

    /// Stops accepting and lets requests finish for `grace`; whether all of them did.
    async fn drain(&self, grace: Duration) -> bool {
        self.draining.store(true, Ordering::Relaxed);
        self.stop_accepting.notify_waiters();
        if let Some(hub) = self.gateway.runtime.hub() {
            hub.drain();
        }
        for (_, state) in &*self.connections.lock() {
            state.end();
        }
        let began = Instant::now();
        while !self.connections.lock().is_empty() && began.elapsed() < grace {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if began.elapsed() >= ANSWER_TO_GOAWAY {
                self.connections.lock().iter().for_each(|(_, state)| state.abandon());
            }
        }
        let done = self.connections.lock().is_empty();
        for (_, state) in &*self.connections.lock() {
            state.kill();
        }
        done
    }
}

/// A connection in its worker's list and in the counters.
pub struct Registered {
    worker: Arc<Worker>,
    key: usize,
}

impl Registered {
    fn new(worker: &Arc<Worker>, state: &Arc<State>) -> Self {
        let metrics = &worker.gateway.runtime.metrics;
        metrics.connections.fetch_add(1, Ordering::Relaxed);
        metrics.accepted.fetch_add(1, Ordering::Relaxed);
        let key = worker.connections.lock().insert(Arc::clone(state));
        if worker.draining.load(Ordering::Relaxed) {
            state.end();
        }
        Self { worker: Arc::clone(worker), key }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.worker.connections.lock().try_remove(self.key);
        self.worker.trims.store(TRIMS, Ordering::Relaxed);
        self.worker.gateway.runtime.metrics.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An IPv4 address that came in through an IPv6 socket, as IPv4.
fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Whether the client begins with the preface of HTTP/2 (RFC 9113, section 3.4). What is looked at stays in the socket.
async fn sniff(stream: &TcpStream) -> io::Result<Protocol> {
    let mut first = [0; HTTP2_PREFACE.len()];
    loop {
        let seen = stream.peek(&mut first).await?;
        if seen == 0 || !HTTP2_PREFACE.starts_with(&first[..seen]) {
            return Ok(Protocol::Http1);
        }
        if seen >= 3 {
            return Ok(Protocol::Http2); // no HTTP/1 method begins with `PRI`
        }
        // The bytes stay readable, so readiness tells nothing: wait for the rest by time.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A gateway that is being served.
pub struct Server {
    workers: Vec<(Arc<Worker>, Handle)>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// The addresses listened on.
    pub addresses: Vec<SocketAddr>,
}

impl Server {
    /// Listens and starts the threads.
    ///
    /// # Errors
    /// An address cannot be listened on, a certificate not be read, a thread not be started.
    pub fn start(gateway: &Arc<Gateway>, options: &Options) -> io::Result<Self> {
        let tls = options.tls.as_ref().map(tls::acceptor).transpose()?;
        let threads = options.threads.max(1);
        let write_timeout = Duration::from_millis(gateway.program().bounds.write_timeout_ms);
        let mut addresses = Vec::new();
        let mut listeners: Vec<Vec<std::net::TcpListener>> =
            (0..threads).map(|_| Vec::new()).collect();
        for (host, port) in &options.listen {
            let mut address = resolve(host, *port)?;
            for own in &mut listeners {
                let listener = listen(address, threads > 1, write_timeout)?;
                address = listener.local_addr()?; // the first bind chooses the port for all
                own.push(listener);
            }
            addresses.push(address);
        }
        let mut server = Self { workers: Vec::new(), threads: Mutex::new(Vec::new()), addresses };
        for (index, own) in listeners.into_iter().enumerate() {
            server.spawn(gateway, index as u16, own, tls.clone())?;
        }
        if let (Some(hub), Some((_, runtime))) = (gateway.runtime.hub(), server.workers.first()) {
            hub.start(gateway, runtime);
        }
        Ok(server)
    }

    fn spawn(
        &mut self,
        gateway: &Arc<Gateway>,
        index: u16,
        listeners: Vec<std::net::TcpListener>,
        tls: Option<TlsAcceptor>,
    ) -> io::Result<()> {
        let queue = Arc::clone(&gateway.queue);
        let runtime = Builder::new_current_thread()
            .enable_all()
            .on_thread_park(move || queue.announce())
            .build()?;
        let worker = Arc::new(Worker::new(Arc::clone(gateway), index));
        self.workers.push((Arc::clone(&worker), runtime.handle().clone()));
        let thread =
            std::thread::Builder::new().name(format!("nexus-io-{index}")).spawn(move || {
                runtime.block_on(run(worker, listeners, tls));
                // What still runs was given its time: it is dropped, and its calls are cancelled.
                runtime.shutdown_background();
            })?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// The tables that answers are delivered to, by thread.
    pub fn pending_calls(&self) -> Vec<Arc<PendingCalls>> {
        self.workers.iter().map(|(worker, _)| Arc::clone(&worker.pending_calls)).collect()
    }

    /// A handle to run things on the runtime of a thread.
    pub fn handle(&self, thread: usize) -> Handle {
        self.workers[thread % self.workers.len()].1.clone()
    }

    /// Sends a request through the first thread's connection code; `token` names the answer in the queue.
    pub fn request(&self, token: u64, request: Request<Full<Bytes>>) {
        let Some((worker, handle)) = self.workers.first() else { return };
        let worker = Arc::clone(worker);
        handle.spawn(async move {
            let gateway = Arc::clone(&worker.gateway);
            let response = worker.local(request).await;
            gateway.queue.resolve(token, Completion::Response(response));
        });
    }

    /// Stops every thread; `token` names the end in the queue.
    pub fn stop(&self, token: u64, grace: Duration) {
        let workers = self.workers.clone();
        let Some((_, handle)) = workers.first().cloned() else { return };
        handle.spawn(async move {
            // All begin to drain now. The first thread runs this, so it is the last to end.
            let others: Vec<_> = workers
                .iter()
                .skip(1)
                .map(|(worker, handle)| {
                    let worker = Arc::clone(worker);
                    handle.spawn(async move { worker.stop(grace).await })
                })
                .collect();
            let Some((first, _)) = workers.first() else { return };
            let mut done = first.drain(grace).await;
            for other in others {
                done &= other.await.unwrap_or(false);
            }
            first.finished.notify_one();
            first.gateway.queue.resolve(token, Completion::Stopped(done));
        });
    }

    /// Waits for the threads to end, after [`Server::stop`], and for the log to be written.
    pub fn join(&self) {
        for thread in self.threads.lock().drain(..) {
            let _ = thread.join();
        }
        if let Some((worker, _)) = self.workers.first() {
            worker.gateway.runtime.log.close();
        }
    }
}

/// The life of a thread.
async fn run(worker: Arc<Worker>, listeners: Vec<std::net::TcpListener>, tls: Option<TlsAcceptor>) {
    let pending_calls = Arc::clone(&worker.pending_calls);
    tokio::spawn(async move { pending_calls.distribute().await });
    let sweeper = Arc::clone(&worker);
    tokio::spawn(async move { sweeper.sweep().await });
    for listener in listeners {
        tokio::spawn(accept(Arc::clone(&worker), listener, tls.clone()));
    }
    worker.finished.notified().await;
}

/// Accepts until the worker drains; the socket is closed then, so that new clients are refused.
async fn accept(worker: Arc<Worker>, listener: std::net::TcpListener, tls: Option<TlsAcceptor>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return log_accept(&worker, &error),
    };
    // Waited for from the beginning, so that it is not missed while a connection is accepted.
    let mut stopped = std::pin::pin!(worker.stop_accepting.notified());
    stopped.as_mut().enable();
    while !worker.draining.load(Ordering::Relaxed) {
        let accepted = tokio::select! {
            biased;
            () = &mut stopped => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                tokio::spawn(Arc::clone(&worker).connect(stream, peer, tls.clone()));
            }
            Err(error) => {
                log_accept(&worker, &error);
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

fn log_accept(worker: &Worker, error: &io::Error) {
    let fields = serde_json::json!({"message": "accept", "error": error.to_string()});
    worker.gateway.runtime.log.write(log::level_of(500), &fields);
}

fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    (host, port).to_socket_addrs()?.next().ok_or_else(|| {
        io::Error::new(io::ErrorKind::AddrNotAvailable, format!("{host} has no address"))
    })
}

fn listen(
    address: SocketAddr,
    shared: bool,
    write_timeout: Duration,
) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    // Inherited by what is accepted. The second is for what was written already, which the guard of
    // a connection does not see; a system without these options has the guard alone.
    #[cfg(target_os = "linux")]
    {
        let _ = socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
        let _ = socket.set_tcp_user_timeout(Some(write_timeout + SYSTEM_TIMEOUT_MARGIN));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (write_timeout, UNSENT_BYTES_MAX, SYSTEM_TIMEOUT_MARGIN);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A request without a socket. A `host` is added where there is none.
///
/// # Errors
/// A sentence that names the part which is not valid HTTP.
pub fn local_request(
    method: &str,
    target: &str,
    headers: &[(String, String)],
    body: Bytes,
) -> Result<Request<Full<Bytes>>, String> {
    let method = Method::from_bytes(method.as_bytes()).map_err(|e| format!("{method:?}: {e}"))?;
    let uri: Uri = target.parse().map_err(|e| format!("{target:?}: {e}"))?;
    let mut request = Request::builder().method(method).uri(uri);
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request = request.header(http::header::HOST, "localhost");
    }
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.body(Full::new(body)).map_err(|error| error.to_string())
}
