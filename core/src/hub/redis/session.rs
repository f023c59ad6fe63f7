//! A session with the server: two connections, one that is asked and one that listens, from their opening until one of
//! them breaks. At its beginning the server is told everything that this replica wants and has, and the replica reads
//! what it missed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, PushInfo, PushKind, RedisError, RedisResult,
    Value,
};
use tokio::sync::{Notify, mpsc};

use super::follow::{Arrival, arrival, catch_up};
use super::scripts::garbled;
use super::state::Work;
use super::wire::{self, Control, Told};
use super::{Link, Shared};
use crate::hub::broker::Event;

/// Messages that wait to be delivered at most, and their bytes: what comes above is read from the history again.
const INBOX: usize = 16_384;
const INBOX_BYTES: usize = 32 << 20;
/// Channels that are asked about in one write.
const CHUNK: usize = 128;
/// Messages of a channel that are read from the history at once, and how often, before the rest is told as missed.
const PAGE: u32 = 256;
const PAGES: usize = 64;
/// Revocations that are read at once.
const REVOCATIONS: usize = 1_000;

/// A message as it came: the channel of Redis, and what was published.
struct Push {
    events: String,
    payload: Bytes,
}

/// What the listening connection puts messages into. It cannot wait, so that it has to be able to refuse.
struct Inbox {
    sender: mpsc::Sender<Push>,
    bytes: AtomicUsize,
    overflowed: AtomicBool,
    broken: Arc<Notify>,
}

impl Inbox {
    fn take(&self, push: PushInfo) {
        match push.kind {
            PushKind::Disconnection => self.broken.notify_one(),
            PushKind::Message => {
                let Some(push) = read_push(push.data) else { return };
                let size = push.payload.len();
                let waiting = self.bytes.fetch_add(size, Ordering::Relaxed);
                if waiting + size > INBOX_BYTES || self.sender.try_send(push).is_err() {
                    self.bytes.fetch_sub(size, Ordering::Relaxed);
                    self.overflowed.store(true, Ordering::Release);
                }
            }
            _ => {}
        }
    }
}

fn read_push(data: Vec<Value>) -> Option<Push> {
    let [Value::BulkString(events), Value::BulkString(payload)] =
        <[Value; 2]>::try_from(data).ok()?
    else {
        return None;
    };
    Some(Push { events: String::from_utf8(events).ok()?, payload: payload.into() })
}

/// An open session.
pub(super) struct Session {
    shared: Arc<Shared>,
    link: Link,
    listening: MultiplexedConnection,
    inbox: Arc<Inbox>,
    /// Held while what was last delivered is looked at, changed and told, so that two do not tell the same.
    delivering: tokio::sync::Mutex<()>,
}

impl Session {
    /// Opens both connections and makes the two sides equal; what the listening one hears is in the receiver's order.
    pub(super) async fn open(shared: &Arc<Shared>) -> RedisResult<(Self, Pushes)> {
        let (sender, receiver) = mpsc::channel(INBOX);
        let broken = Arc::new(Notify::new());
        let inbox = Arc::new(Inbox {
            sender,
            bytes: AtomicUsize::new(0),
            overflowed: AtomicBool::new(false),
            broken: Arc::clone(&broken),
        });
        let mut commands = connect(shared, &inbox).await?;
        let listening = connect(shared, &inbox).await?;
        let life = server(&mut commands).await?;
        probe(shared, &mut commands).await?;
        shared.scripts.load(&mut commands).await?;
        let session = Self {
            shared: Arc::clone(shared),
            link: Link { connection: commands, life, broken },
            listening,
            inbox,
            delivering: tokio::sync::Mutex::new(()),
        };
        session.settle().await?;
        Ok((session, Pushes(receiver)))
    }

    pub(super) fn link(&self) -> Link {
        self.link.clone()
    }

    /// Tells the server everything, and reads what was missed.
    async fn settle(&self) -> RedisResult<()> {
        self.listening.clone().subscribe(self.shared.scripts.keys.control()).await?;
        self.load_revocations().await?;
        self.shared.state.connect();
        self.work().await
    }

    /// Serves until a connection breaks; why it ended.
    pub(super) async fn run(&self, mut pushes: Pushes) -> RedisError {
        let ended = tokio::select! {
            ended = self.listen(&mut pushes) => ended,
            ended = self.keep_equal() => ended,
            ended = self.beat() => ended,
            () = self.link.broken.notified() => Err(lost()),
        };
        ended.err().unwrap_or_else(lost)
    }

    async fn ask(&self, commands: &[Cmd]) -> RedisResult<Vec<RedisResult<Value>>> {
        self.shared.scripts.run(&mut self.link.connection.clone(), commands).await
    }

    async fn load_revocations(&self) -> RedisResult<()> {
        let key = self.shared.scripts.keys.revoked();
        for page in 0.. {
            let mut command = redis::cmd("ZRANGEBYSCORE");
            command.arg(&key).arg(crate::clock::now()).arg("+inf");
            command.arg("LIMIT").arg(page * REVOCATIONS).arg(REVOCATIONS);
            let kept: Vec<Vec<u8>> = command.query_async(&mut self.link.connection.clone()).await?;
            for written in &kept {
                if let Ok(revocation) = serde_json::from_slice(written) {
                    self.shared.emit(Event::Revoked(revocation)).await;
                }
            }
            if kept.len() < REVOCATIONS {
                break;
            }
        }
        Ok(())
    }
}

// === what is heard ===

/// The messages of a session.
pub(super) struct Pushes(mpsc::Receiver<Push>);

impl Session {
    async fn listen(&self, pushes: &mut Pushes) -> RedisResult<()> {
        while let Some(push) = pushes.0.recv().await {
            self.inbox.bytes.fetch_sub(push.payload.len(), Ordering::Relaxed);
            self.hear(push).await?;
            if self.inbox.overflowed.swap(false, Ordering::AcqRel) {
                self.shared.note("messages came faster than they were delivered", None);
                self.load_revocations().await?;
                self.catch_up(self.shared.state.live()).await?;
            }
        }
        Ok(())
    }

    async fn hear(&self, push: Push) -> RedisResult<()> {
        let keys = &self.shared.scripts.keys;
        let Some(channel) = keys.channel_of(&push.events) else {
            if push.events == keys.control() {
                self.hear_control(&push.payload).await;
            }
            return Ok(());
        };
        // It is unsubscribed meanwhile, or was never ours.
        let Some((channel, _)) = self.shared.state.last(&channel) else { return Ok(()) };
        match wire::read(&push.payload) {
            Some(Told::Publication(publication)) => self.deliver(channel, publication).await?,
            Some(Told::Skipped(position)) => {
                let last = self.shared.state.last(&channel).and_then(|(_, last)| last);
                if last.is_some() && arrival(last.as_ref(), &position) != Arrival::Known {
                    self.catch_up(vec![channel]).await?;
                }
            }
            Some(Told::Join(member)) => {
                self.shared.state.set_peopled(&channel);
                self.shared.emit(Event::Join { channel, member }).await;
            }
            Some(Told::Leave(member)) => self.shared.emit(Event::Leave { channel, member }).await,
            None => self.shared.note("a message that no gateway writes", None),
        }
        Ok(())
    }

    async fn hear_control(&self, payload: &Bytes) {
        match serde_json::from_slice(payload) {
            Ok(Control::Revoked(revocation)) => {
                self.shared.emit(Event::Revoked(revocation)).await;
            }
            Ok(Control::Disconnect(disconnect)) => {
                self.shared.emit(Event::Disconnect(disconnect)).await;
            }
            Err(_) => self.shared.note("a message that no gateway writes", None),
        }
    }

    async fn deliver(
        &self,
        channel: Arc<str>,
        publication: crate::hub::broker::Publication,
    ) -> RedisResult<()> {
        let position = &publication.position;
        let came = {
            let _delivering = self.delivering.lock().await;
            let came = self.shared.state.follow(&channel, |last| {
                let came = arrival(last.as_ref(), position);
                if came == Arrival::Next {
                    *last = Some(position.clone());
                }
                came
            });
            if came == Some(Arrival::Next) {
                let channel = Arc::clone(&channel);
                self.shared.emit(Event::Publication { channel, publication }).await;
            }
            came
        };
        // After it, this one is delivered, or told as missed.
        if came == Some(Arrival::Gap) { self.catch_up(vec![channel]).await } else { Ok(()) }
    }

    /// Delivers what the history has after what was delivered last.
    async fn catch_up(&self, mut channels: Vec<Arc<str>>) -> RedisResult<()> {
        for page in 0..=PAGES {
            // The last time nothing is read any more: the rest is told as missed.
            let limit = if page == PAGES { 0 } else { PAGE };
            let mut unfinished = Vec::new();
            for chunk in channels.chunks(CHUNK) {
                unfinished.extend(self.read_page(chunk, limit).await?);
            }
            if unfinished.is_empty() {
                break;
            }
            channels = unfinished;
        }
        Ok(())
    }

    /// One page of each; those that have more.
    async fn read_page(&self, channels: &[Arc<str>], limit: u32) -> RedisResult<Vec<Arc<str>>> {
        let asked: Vec<_> =
            channels.iter().filter_map(|channel| self.shared.state.last(channel)).collect();
        let commands: Vec<_> = asked
            .iter()
            .map(|(channel, last)| {
                let limit = if last.is_some() { limit } else { 0 };
                self.shared.scripts.history(&self.link.life, channel, last.as_ref(), limit)
            })
            .collect();
        let answers = self.ask(&commands).await?;
        let mut unfinished = Vec::new();
        for ((channel, last), answer) in asked.into_iter().zip(answers) {
            let limit = if last.is_some() { limit } else { 0 };
            let history = wire::read_history(answer?, last.as_ref(), limit).ok_or_else(garbled)?;
            let _delivering = self.delivering.lock().await;
            let unheard = self.shared.state.take_unheard(&channel) && last.is_none();
            let newest = history.newest.clone();
            let caught =
                self.shared.state.follow(&channel, |last| catch_up(&channel, last, history, limit));
            let Some((mut events, more)) = caught else { continue };
            if unheard {
                // Who subscribed meanwhile does not know what others have published since.
                let channel = Arc::clone(&channel);
                events.push(Event::Missed { channel, count: None, position: newest });
            }
            for event in events {
                self.shared.emit(event).await;
            }
            if more {
                unfinished.push(channel);
            }
        }
        Ok(unfinished)
    }
}

// === what is told ===

impl Session {
    async fn keep_equal(&self) -> RedisResult<()> {
        loop {
            self.shared.state.work.notified().await;
            self.work().await?;
        }
    }

    async fn work(&self) -> RedisResult<()> {
        loop {
            let work = self.shared.state.take_work(CHUNK);
            let outgoing = self.shared.state.outgoing(CHUNK);
            let alone = self.shared.state.alone(CHUNK);
            if work.is_empty() && outgoing.is_empty() && alone.is_empty() {
                return Ok(());
            }
            self.subscribe(&work).await?;
            // After what was missed here is read, so that the hole is not taken for one of ours.
            self.skip(&alone).await?;
            self.tell_presence(work).await?;
            self.tell_all(outgoing).await?;
        }
    }

    async fn subscribe(&self, work: &[Work]) -> RedisResult<()> {
        let keys = &self.shared.scripts.keys;
        let events = |of: fn(&Work) -> bool| -> Vec<String> {
            work.iter().filter(|one| of(one)).map(|one| keys.events(&one.channel)).collect()
        };
        let mut listening = self.listening.clone();
        let unsubscribed = events(|one| one.unsubscribe);
        if !unsubscribed.is_empty() {
            listening.unsubscribe(&unsubscribed).await?;
        }
        let subscribed = events(|one| one.subscribe);
        if !subscribed.is_empty() {
            listening.subscribe(&subscribed).await?;
            let new = work.iter().filter(|one| one.subscribe).map(|one| Arc::clone(&one.channel));
            let new: Vec<_> = new.collect();
            self.catch_up(new.clone()).await?;
            for channel in &new {
                self.shared.state.set_live(channel);
            }
        }
        Ok(())
    }

    /// Leaves holes for messages that were delivered here alone; those of this replica have them.
    async fn skip(&self, alone: &[(Arc<str>, u64)]) -> RedisResult<()> {
        if alone.is_empty() {
            return Ok(());
        }
        let scripts = &self.shared.scripts;
        let commands: Vec<_> = alone
            .iter()
            .map(|(channel, count)| scripts.skip(&self.link.life, channel, *count))
            .collect();
        let answers = self.ask(&commands).await?;
        for ((channel, count), answer) in alone.iter().zip(answers) {
            let position = wire::read_position(answer?).ok_or_else(garbled)?;
            self.shared.state.reported(channel, *count);
            let _delivering = self.delivering.lock().await;
            self.shared.state.follow(channel, |last| {
                if let Some(last) = last
                    && last.epoch == position.epoch
                    && last.offset + count == position.offset
                {
                    *last = position;
                }
            });
        }
        Ok(())
    }

    async fn tell_presence(&self, work: Vec<Work>) -> RedisResult<()> {
        let (scripts, lease) = (&self.shared.scripts, &self.shared.lease);
        let mut commands = Vec::new();
        for Work { channel, reconcile, changes, .. } in work {
            commands.extend(reconcile.map(|all| scripts.reconcile(lease, &channel, &all)));
            commands.extend(changes.into_iter().map(|(connection, member)| match member {
                Some(member) => scripts.join(lease, &channel, &member),
                None => scripts.leave(lease, &channel, &connection),
            }));
        }
        self.ask_all(&commands).await
    }

    async fn tell_all(&self, outgoing: Vec<super::state::Outgoing>) -> RedisResult<()> {
        let scripts = &self.shared.scripts;
        let count = outgoing.len();
        let commands: Vec<_> = outgoing
            .into_iter()
            .map(|one| {
                if let Some((kept, expires)) = one.kept {
                    return scripts.revoke(&one.published, &kept, expires);
                }
                let mut publish = redis::cmd("PUBLISH");
                publish.arg(scripts.keys.control()).arg(&*one.published);
                publish
            })
            .collect();
        self.ask_all(&commands).await?;
        self.shared.state.told(count);
        Ok(())
    }

    async fn ask_all(&self, commands: &[Cmd]) -> RedisResult<()> {
        for chunk in commands.chunks(CHUNK) {
            for answer in self.ask(chunk).await? {
                answer?;
            }
        }
        Ok(())
    }

    /// Renews the leases of this replica's members, notices replicas that died, and connections that hang.
    async fn beat(&self) -> RedisResult<()> {
        loop {
            let third = self.shared.lease.length / 3;
            tokio::time::sleep(third.mul_f64(0.8 + 0.2 * fastrand::f64())).await;
            let ping = redis::cmd("PING");
            let _: Value = ping.query_async(&mut self.listening.clone()).await?;
            let known = probe(&self.shared, &mut self.link.connection.clone()).await?;
            let watched = self.shared.state.watched();
            if !known {
                let here = watched.iter().filter(|(_, has_members)| *has_members);
                here.for_each(|(channel, _)| self.shared.state.reconcile(channel));
            }
            for chunk in watched.chunks(CHUNK) {
                self.beat_for(chunk).await?;
            }
        }
    }

    async fn beat_for(&self, watched: &[(Arc<str>, bool)]) -> RedisResult<()> {
        let (scripts, lease) = (&self.shared.scripts, &self.shared.lease);
        let commands: Vec<_> = watched
            .iter()
            .map(|(channel, has_members)| scripts.beat(lease, channel, *has_members))
            .collect();
        for ((channel, _), answer) in watched.iter().zip(self.ask(&commands).await?) {
            if answer? == Value::Int(0) {
                self.shared.state.reconcile(channel);
            }
        }
        Ok(())
    }
}

// === connecting ===

async fn connect(shared: &Shared, inbox: &Arc<Inbox>) -> RedisResult<MultiplexedConnection> {
    let inbox = Arc::clone(inbox);
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(shared.timeout))
        .set_response_timeout(Some(shared.timeout))
        .set_push_sender(move |push: PushInfo| {
            inbox.take(push);
            Ok::<(), ()>(())
        });
    let client = Client::open(shared.server.clone())?;
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// Refuses a server that channels cannot be shared through, and names its life: one that starts again has another.
async fn server(connection: &mut MultiplexedConnection) -> RedisResult<Arc<str>> {
    let info: String = redis::cmd("INFO").arg("server").query_async(connection).await?;
    let field = |name: &str| {
        let mut fields = info.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(known, _)| *known == name).map(|(_, value)| value.trim())
    };
    let refused = |why: &'static str| Err((ErrorKind::InvalidClientConfig, why).into());
    match field("redis_mode") {
        Some("cluster") => {
            return refused("it is a node of a Redis Cluster, which is not supported");
        }
        Some("sentinel") => return refused("it is a Sentinel, not the Redis that it watches"),
        _ => {}
    }
    let major = field("redis_version").and_then(|version| version.split('.').next()?.parse().ok());
    if major.is_some_and(|major: u32| major < 6) {
        return refused("it is older than Redis 6");
    }
    match field("run_id") {
        Some(id) => Ok(id.into()),
        None => refused("INFO says no run_id: this server is none that can be shared"),
    }
}

/// Writes something, so that a server that answers and refuses writes is noticed as one that is away. Whether it was
/// there from the last time: otherwise the server has lost its data, by `FLUSHALL` say.
async fn probe(shared: &Shared, connection: &mut MultiplexedConnection) -> RedisResult<bool> {
    let key = shared.scripts.keys.replica(&shared.lease.replica);
    let length = shared.lease.length.as_millis() as u64 * 4;
    let mut read = redis::cmd("EXISTS");
    let known = read.arg(&key).query_async(connection).await?;
    let mut write = redis::cmd("SET");
    let _: Value = write.arg(&key).arg(1).arg("PX").arg(length).query_async(connection).await?;
    Ok(known)
}

fn lost() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::ConnectionAborted).into()
}

/// How long to wait before the next attempt: random, so that replicas do not come all at once.
pub(super) fn back_off(attempt: u32) -> Duration {
    let most = Duration::from_millis(50 << attempt.min(6));
    most.mul_f64(0.5 + 0.5 * fastrand::f64())
}
