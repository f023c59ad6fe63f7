//! The broker over a Redis: what replicas share lies there, each change one atomic script, and reaches every replica by
//! publications of Redis.
//!
//! - **Order.** One script numbers, keeps and publishes a message, so that the order of delivery is that of offsets.
//! - **Holes.** A replica follows each channel by its offsets. What it did not hear it reads from the history; what is
//!   not there it tells ([`Event::Missed`]).
//! - **Epochs** belong to one life of the server: one that starts again may have lost what it gave out last, whatever it
//!   has kept on disk, so that its numbering begins anew.
//! - **Presence** lies under a lease per replica and channel; who survives takes out the members of a replica that died.
//! - **Away.** Without a server for [`Options::patience`] the hub is told to serve alone; the session is tried again
//!   with jittered back-off, and [`Event::Back`] comes when both sides are equal again.

mod follow;
mod keys;
mod options;
mod publish;
mod scripts;
mod session;
mod state;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{ConnectionInfo, ErrorKind, FromRedisValue, RedisError};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

pub use options::Options;
use scripts::{Lease, Scripts};
use session::Session;
use state::{Outgoing, State};
use wire::Control;

use super::broker::{
    BoxFuture, Broker, BrokerError, Consumed, Disconnect, Draft, Event, History, Keep, Member,
    Position,
};
use crate::identity::Revocation;

/// Events that wait for the hub at most; then the session waits for it.
const EVENTS: usize = 4_096;
/// A session that lived so long was a good one: the next attempts begin quickly again.
const GOOD: Duration = Duration::from_secs(10);

/// Told what an operator should know: a sentence, and the error if there is one.
pub type Log = Box<dyn Fn(&str, Option<&str>) + Send + Sync>;

/// A connection on which the server is asked, and the life of the server behind it.
#[derive(Clone)]
struct Link {
    connection: MultiplexedConnection,
    life: Arc<str>,
    /// Ends the session: the connection is of no use any more.
    broken: Arc<Notify>,
}

/// What callers and tasks share.
struct Shared {
    server: ConnectionInfo,
    patience: Duration,
    timeout: Duration,
    lease: Lease,
    scripts: Scripts,
    state: State,
    events: mpsc::Sender<Event>,
    link: Mutex<Option<Link>>,
    linked: Notify,
    away: AtomicBool,
    problem: Mutex<Option<Arc<str>>>,
    log: Log,
}

/// The broker. Dropping it ends its tasks; members that are still in are taken out by others when the lease ends.
pub struct Redis {
    shared: Arc<Shared>,
    requests: mpsc::Sender<publish::Request>,
    waiting: Arc<publish::Waiting>,
    tasks: [AbortHandle; 2],
}

impl Redis {
    /// Starts to connect, and goes on to for as long as it lives; what reaches this replica is in the receiver.
    pub fn start(
        options: Options,
        log: Log,
        runtime: &Handle,
    ) -> (Arc<Self>, mpsc::Receiver<Event>) {
        let (events, receiver) = mpsc::channel(EVENTS);
        let (requests, asked) = mpsc::channel(publish::WAITING);
        let database = options.server.redis_settings().db();
        let shared = Arc::new(Shared {
            scripts: Scripts::new(keys::Keys::new(&options.prefix, database)),
            server: options.server,
            patience: options.patience,
            timeout: options.timeout,
            lease: Lease { replica: wire::new_epoch(), length: options.lease },
            state: State::default(),
            events,
            link: Mutex::new(None),
            linked: Notify::new(),
            away: AtomicBool::new(false),
            problem: Mutex::new(None),
            log,
        });
        let waiting = Arc::new(publish::Waiting::default());
        let tasks = [
            runtime.spawn(Arc::clone(&shared).keep_connected()).abort_handle(),
            runtime
                .spawn(publish::publish_all(Arc::clone(&shared), asked, Arc::clone(&waiting)))
                .abort_handle(),
        ];
        (Arc::new(Self { shared, requests, waiting, tasks }), receiver)
    }

    /// Whether the server is reached now.
    pub fn is_up(&self) -> bool {
        self.shared.link.lock().is_some()
    }

    /// Why it is not, where that is known.
    pub fn problem(&self) -> Option<Arc<str>> {
        self.shared.problem.lock().clone()
    }

    fn tell(&self, control: &Control, kept: Option<(Arc<[u8]>, u64)>) {
        let published = wire::json(control).into();
        if !self.shared.state.tell(Outgoing { published, kept }) {
            self.shared.note("too much waits to be told to other replicas", None);
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Broker for Redis {
    fn publish(
        &self,
        channel: &Arc<str>,
        draft: Draft,
        keep: Keep,
    ) -> BoxFuture<Result<Position, BrokerError>> {
        let answer = publish::request(
            &self.requests,
            &self.waiting,
            channel,
            draft,
            keep,
            Instant::now() + self.shared.timeout,
        );
        Box::pin(async move { answer?.await.unwrap_or(Err(BrokerError::Away)) })
    }

    fn subscribe(&self, channel: &Arc<str>) {
        self.shared.state.want(channel, true);
    }

    fn unsubscribe(&self, channel: &Arc<str>) {
        self.shared.state.want(channel, false);
    }

    fn published_alone(&self, channel: &Arc<str>) {
        if !self.shared.state.add_alone(channel) {
            self.shared.note("too many channels wait for others to learn what was lost", None);
        }
    }

    fn history(
        &self,
        channel: &Arc<str>,
        after: Option<Position>,
        limit: u32,
    ) -> BoxFuture<Result<History, BrokerError>> {
        let (shared, channel) = (Arc::clone(&self.shared), Arc::clone(channel));
        Box::pin(async move {
            let deadline = Instant::now() + shared.timeout;
            let mut link = shared.linked(deadline).await?;
            shared.until_live(&channel, deadline).await?;
            let command = shared.scripts.history(&link.life, &channel, after.as_ref(), limit);
            let answers = shared.scripts.run(&mut link.connection, &[command]).await;
            let answer = one(answers)?;
            wire::read_history(answer, after.as_ref(), limit).ok_or_else(unreadable)
        })
    }

    fn join(&self, channel: &Arc<str>, member: Member) {
        self.shared.state.join(channel, member);
    }

    fn leave(&self, channel: &Arc<str>, connection: &str) {
        self.shared.state.leave(channel, connection);
    }

    fn presence(&self, channel: &Arc<str>) -> BoxFuture<Result<Vec<Member>, BrokerError>> {
        let (shared, channel) = (Arc::clone(&self.shared), Arc::clone(channel));
        Box::pin(async move {
            let mut link = shared.linked(Instant::now() + shared.timeout).await?;
            let command = shared.scripts.presence(&channel);
            let answer = one(shared.scripts.run(&mut link.connection, &[command]).await)?;
            let members = <Vec<Vec<u8>>>::from_redis_value(answer).map_err(|_| unreadable())?;
            Ok(members.iter().filter_map(|one| serde_json::from_slice(one).ok()).collect())
        })
    }

    fn consumed(
        &self,
        channel: &Arc<str>,
        consumer: &Arc<str>,
    ) -> BoxFuture<Result<Option<Consumed>, BrokerError>> {
        let mut command = redis::cmd("HGET");
        command.arg(self.shared.scripts.keys.consumers(channel)).arg(&**consumer);
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let mut link = shared.linked(Instant::now() + shared.timeout).await?;
            let written = one(shared.scripts.run(&mut link.connection, &[command]).await)?;
            let written = <Option<String>>::from_redis_value(written).map_err(|_| unreadable())?;
            Ok(written.and_then(|written| wire::read_consumed(&written)))
        })
    }

    fn keep_consumed(
        &self,
        channel: &Arc<str>,
        consumer: &Arc<str>,
        far: &Consumed,
        age_ms: u64,
    ) -> BoxFuture<Result<(), BrokerError>> {
        let key = self.shared.scripts.keys.consumers(channel);
        let mut kept = redis::cmd("HSET");
        kept.arg(&key).arg(&**consumer).arg(wire::consumed(far));
        let mut until = redis::cmd("PEXPIRE");
        until.arg(&key).arg(age_ms);
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let mut link = shared.linked(Instant::now() + shared.timeout).await?;
            one(shared.scripts.run(&mut link.connection, &[kept, until]).await).map(|_| ())
        })
    }

    fn revoke(&self, revocation: Revocation) {
        let expires = revocation.expires;
        let kept = wire::json(&revocation).into();
        self.tell(&Control::Revoked(revocation), Some((kept, expires)));
    }

    fn disconnect(&self, disconnect: Disconnect) {
        self.tell(&Control::Disconnect(disconnect), None);
    }
}

// === impl Shared ===

impl Shared {
    /// One session after another, for ever.
    async fn keep_connected(self: Arc<Self>) {
        let mut attempt = 0;
        loop {
            let (session, pushes) = self.open(&mut attempt).await;
            *self.link.lock() = Some(session.link());
            *self.problem.lock() = None;
            self.linked.notify_waiters();
            if self.away.swap(false, Ordering::AcqRel) {
                self.note("redis is reachable again", None);
                self.emit(Event::Back).await;
            }
            let began = Instant::now();
            let why = session.run(pushes).await;
            *self.link.lock() = None;
            self.state.disconnect();
            self.fail("the connection to redis was lost", &why);
            attempt = if began.elapsed() > GOOD { 0 } else { attempt + 1 };
        }
    }

    /// Tries until a session is open; tells when that takes longer than the hub can wait.
    async fn open(self: &Arc<Self>, attempt: &mut u32) -> (Session, session::Pushes) {
        let mut opening = std::pin::pin!(self.attempt(attempt));
        if self.away.load(Ordering::Acquire) {
            return opening.await;
        }
        if let Ok(opened) = tokio::time::timeout(self.patience, &mut opening).await {
            return opened;
        }
        self.away.store(true, Ordering::Release);
        self.linked.notify_waiters();
        self.note("redis is away: serving alone", None);
        self.emit(Event::Away).await;
        opening.await
    }

    async fn attempt(self: &Arc<Self>, attempt: &mut u32) -> (Session, session::Pushes) {
        loop {
            if *attempt > 0 {
                tokio::time::sleep(session::back_off(*attempt)).await;
            }
            match Session::open(self).await {
                Ok(opened) => return opened,
                Err(error) => {
                    self.state.disconnect();
                    self.fail("redis cannot be reached", &error);
                    *attempt = attempt.saturating_add(1);
                }
            }
        }
    }

    /// The link, waited for while the server is only just gone.
    async fn linked(&self, deadline: Instant) -> Result<Link, BrokerError> {
        loop {
            let mut linked = std::pin::pin!(self.linked.notified());
            linked.as_mut().enable();
            if let Some(link) = self.link.lock().clone() {
                return Ok(link);
            }
            if self.away.load(Ordering::Acquire) {
                return Err(BrokerError::Away);
            }
            tokio::time::timeout_at(deadline.into(), linked)
                .await
                .map_err(|_| BrokerError::Away)?;
        }
    }

    /// Waits until the events of a channel flow, where they are wanted.
    async fn until_live(&self, channel: &str, deadline: Instant) -> Result<(), BrokerError> {
        loop {
            let mut progress = std::pin::pin!(self.state.progress.notified());
            progress.as_mut().enable();
            if !self.state.is_pending(channel) {
                return Ok(());
            }
            tokio::time::timeout_at(deadline.into(), progress)
                .await
                .map_err(|_| BrokerError::Unknown)?;
        }
    }

    async fn emit(&self, event: Event) {
        // The hub is gone: so is whoever would miss it.
        let _ = self.events.send(event).await;
    }

    fn note(&self, message: &str, error: Option<&str>) {
        (self.log)(message, error);
    }

    /// Keeps and logs a problem, but not the same one again and again.
    fn fail(&self, message: &str, error: &RedisError) {
        let said: Arc<str> = said(error).into();
        let known = self.problem.lock().replace(Arc::clone(&said));
        if known.as_deref() != Some(&*said) {
            self.note(message, Some(&said));
        }
    }
}

/// An error of the library in a sentence. What it quotes are the server's words, never our own commands or secrets.
fn said(error: &RedisError) -> String {
    if let ErrorKind::AuthenticationFailed = error.kind() {
        return "the user or the password in the URL is refused".into();
    }
    error.to_string()
}

fn one(
    answers: redis::RedisResult<Vec<redis::RedisResult<redis::Value>>>,
) -> Result<redis::Value, BrokerError> {
    answers
        .map_err(|error| refused(&error))?
        .pop()
        .map_or_else(|| Err(unreadable()), |answer| answer.map_err(|error| refused(&error)))
}

/// Codes of a server that does nothing of what it is asked for, whatever that is: it is as good as away.
const UNAVAILABLE: [&str; 16] = [
    "OOM",
    "READONLY",
    "NOREPLICAS",
    "MISCONF",
    "LOADING",
    "NOAUTH",
    "NOPERM",
    "WRONGPASS",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "MOVED",
    "ASK",
    "TRYAGAIN",
    "CROSSSLOT",
    "BUSY",
    "UNKILLABLE",
];

/// Whether the server refuses to work at all, rather than this one command.
fn is_unavailable(error: &RedisError) -> bool {
    // Before Redis 7 the code of a call within a script is in the sentence.
    let within = |code: &&str| {
        error.detail().is_some_and(|detail| {
            detail.split(" -").skip(1).any(|rest| rest.split(' ').next() == Some(*code))
        })
    };
    UNAVAILABLE.iter().any(|code| error.code() == Some(*code) || within(code))
}

fn refused(error: &RedisError) -> BrokerError {
    if is_unavailable(error) {
        return BrokerError::Away;
    }
    match error.kind() {
        ErrorKind::Server(_) | ErrorKind::Extension => BrokerError::Refused(said(error).into()),
        _ => BrokerError::Unknown,
    }
}

fn unreadable() -> BrokerError {
    BrokerError::Refused("its answer cannot be read".into())
}
