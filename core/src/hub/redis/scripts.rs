//! The Lua scripts: each is one atomic step of the server, so that what a replica is told and what is kept agree.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult, Script, ServerErrorKind, Value};

use super::keys::Keys;
use crate::hub::broker::{Draft, Keep, Member, Position};
use crate::hub::redis::wire;

/// How long the numbering of a channel outlives its last use: a client that comes back later is told that its place is
/// worth nothing.
const NUMBERING: Duration = Duration::from_secs(24 * 3600);

macro_rules! script {
    ($($file:literal),+) => {
        Script::new(concat!($(include_str!(concat!("scripts/", $file, ".lua"))),+))
    };
}

/// Every script, and the keys that they are called with.
pub(super) struct Scripts {
    pub(super) keys: Keys,
    publish: Script,
    history: Script,
    join: Script,
    leave: Script,
    reconcile: Script,
    beat: Script,
    presence: Script,
    revoke: Script,
    skip: Script,
}

/// This replica, as the scripts of presence are told it.
pub(super) struct Lease {
    pub(super) replica: String,
    pub(super) length: Duration,
}

impl Scripts {
    pub(super) fn new(keys: Keys) -> Self {
        Self {
            keys,
            publish: script!("clock", "numbering", "publish"),
            history: script!("clock", "numbering", "history"),
            join: script!("clock", "sweep", "join"),
            leave: script!("leave"),
            reconcile: script!("clock", "sweep", "reconcile"),
            beat: script!("clock", "sweep", "beat"),
            presence: script!("clock", "sweep", "presence"),
            revoke: script!("clock", "revoke"),
            skip: script!("clock", "numbering", "skip"),
        }
    }

    pub(super) fn publish(&self, life: &str, channel: &str, draft: &Draft, keep: Keep) -> Cmd {
        let outlives = NUMBERING.as_millis() as u64 + keep.age_ms;
        // A message that is kept for no time is not kept.
        let messages = if keep.age_ms == 0 { 0 } else { keep.messages };
        let mut call = self.numbered(&self.publish, life, channel);
        call.arg(wire::body(draft)).arg(messages).arg(keep.age_ms).arg(outlives);
        call.arg(self.keys.events(channel));
        call
    }

    pub(super) fn history(
        &self,
        life: &str,
        channel: &str,
        after: Option<&Position>,
        limit: u32,
    ) -> Cmd {
        let (epoch, offset) = after.map_or(("", 0), |at| (&at.epoch, at.offset));
        let mut call = self.numbered(&self.history, life, channel);
        call.arg(NUMBERING.as_millis() as u64).arg(epoch).arg(offset).arg(limit);
        call
    }

    /// Leaves a hole for messages that this replica has delivered alone.
    pub(super) fn skip(&self, life: &str, channel: &str, count: u64) -> Cmd {
        let mut call = self.numbered(&self.skip, life, channel);
        call.arg(count).arg(NUMBERING.as_millis() as u64).arg(self.keys.events(channel));
        call
    }

    fn numbered(&self, script: &Script, life: &str, channel: &str) -> Cmd {
        let mut call = call(script, &[self.keys.meta(channel), self.keys.stream(channel)]);
        call.arg(life).arg(wire::new_epoch());
        call
    }

    pub(super) fn join(&self, lease: &Lease, channel: &str, member: &Member) -> Cmd {
        let mut call = self.leased(&self.join, lease, channel);
        call.arg(&*member.connection).arg(wire::member(member));
        call
    }

    pub(super) fn leave(&self, lease: &Lease, channel: &str, connection: &str) -> Cmd {
        let mut call = call(&self.leave, &[self.keys.members(channel)]);
        call.arg(&lease.replica).arg(self.keys.events(channel)).arg(connection);
        call
    }

    pub(super) fn reconcile(&self, lease: &Lease, channel: &str, members: &[Member]) -> Cmd {
        let mut call = self.leased(&self.reconcile, lease, channel);
        for member in members {
            call.arg(&*member.connection).arg(wire::member(member));
        }
        call
    }

    pub(super) fn beat(&self, lease: &Lease, channel: &str, has_members: bool) -> Cmd {
        let mut call = self.leased(&self.beat, lease, channel);
        call.arg(u8::from(has_members));
        call
    }

    fn leased(&self, script: &Script, lease: &Lease, channel: &str) -> Cmd {
        let mut call = call(script, &[self.keys.members(channel), self.keys.leases(channel)]);
        call.arg(&lease.replica).arg(lease.length.as_millis() as u64);
        call.arg(self.keys.events(channel));
        call
    }

    pub(super) fn presence(&self, channel: &str) -> Cmd {
        let keys = [self.keys.members(channel), self.keys.leases(channel)];
        let mut call = call(&self.presence, &keys);
        call.arg(self.keys.events(channel));
        call
    }

    pub(super) fn revoke(&self, published: &[u8], kept: &[u8], expires: u64) -> Cmd {
        let mut call = call(&self.revoke, &[self.keys.revoked()]);
        call.arg(self.keys.control()).arg(published).arg(kept).arg(expires);
        call
    }

    /// Sends commands in one write, in their order; an answer for each. A server that has forgotten the scripts is
    /// taught them again.
    pub(super) async fn run(
        &self,
        connection: &mut MultiplexedConnection,
        commands: &[Cmd],
    ) -> RedisResult<Vec<RedisResult<Value>>> {
        let mut answers = send(connection, commands.iter()).await?;
        let forgotten: Vec<_> = (0..answers.len().min(commands.len()))
            .filter(|place| is_forgotten(&answers[*place]))
            .collect();
        if !forgotten.is_empty() {
            self.load(connection).await?;
            let again = send(connection, forgotten.iter().map(|place| &commands[*place])).await?;
            for (place, answer) in forgotten.into_iter().zip(again) {
                answers[place] = answer;
            }
        }
        if answers.len() == commands.len() { Ok(answers) } else { Err(garbled()) }
    }

    /// Teaches the server every script.
    pub(super) async fn load(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        let scripts = [
            (&self.publish),
            &self.history,
            &self.join,
            &self.leave,
            &self.reconcile,
            &self.beat,
            &self.presence,
            &self.revoke,
            &self.skip,
        ];
        for script in scripts {
            script.load_async(connection).await?;
        }
        Ok(())
    }
}

async fn send<'a>(
    connection: &mut MultiplexedConnection,
    commands: impl Iterator<Item = &'a Cmd>,
) -> RedisResult<Vec<RedisResult<Value>>> {
    let mut pipeline = Pipeline::new();
    for command in commands {
        pipeline.add_command(command.clone());
    }
    pipeline.ignore_errors().query_async(connection).await
}

fn is_forgotten(answer: &RedisResult<Value>) -> bool {
    answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
}

/// An answer that is none of a Redis that runs our scripts.
pub(super) fn garbled() -> RedisError {
    (ErrorKind::UnexpectedReturnType, "the answer has another shape than the script gives").into()
}

fn call(script: &Script, keys: &[String]) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(script.get_hash()).arg(keys.len()).arg(keys);
    command
}
