//! What a socket is told beside messages: answers, refusals, and why it is closed.

use bytes::BytesMut;
use serde_json::value::RawValue;

use super::broker::Position;
use super::policy::Refused;
use super::seat::{Order, Told};
use super::sitting::Sitting;
use super::wire::{Item, ServerFrame};
use crate::websocket::Socket;

/// Milliseconds over which clients of a gateway that drains come back.
const SPREAD: u64 = 5_000;
/// Refused frames that a socket may send; one is forgiven each second.
const STRIKES: u32 = 30;

impl Sitting {
    pub(crate) fn say(&self, socket: &mut Socket, frame: ServerFrame<'_>) {
        let mut out = BytesMut::new();
        self.wire.put_frame(&mut out, frame);
        socket.queue(out.freeze());
    }

    pub(crate) fn acknowledge(
        &self,
        socket: &mut Socket,
        id: Option<&RawValue>,
        channel: &str,
        place: Option<&Position>,
    ) {
        self.say(
            socket,
            ServerFrame {
                kind: "ack",
                id,
                channel: Some(channel),
                epoch: place.map(|place| &*place.epoch),
                offset: place.map(|place| place.offset),
                ..ServerFrame::default()
            },
        );
    }

    /// Refuses a frame; the socket lives on, unless it does nothing else. Whether it may.
    pub(crate) fn refuse(
        &mut self,
        socket: &mut Socket,
        id: Option<&RawValue>,
        channel: Option<&str>,
        refused: &Refused,
    ) -> bool {
        self.hub.figures.refuse(refused.kind.code);
        self.say(
            socket,
            ServerFrame {
                kind: "error",
                id,
                channel: channel.filter(|channel| !channel.is_empty()),
                code: Some(refused.kind.code),
                error: Some(&refused.message),
                retry_after: refused.retry_after,
                ..ServerFrame::default()
            },
        );
        let now = self.hub.now();
        let forgiven = now.saturating_sub(self.struck) / 1000;
        self.strikes = self.strikes.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX)) + 1;
        self.struck = now;
        self.strikes <= STRIKES
    }

    /// Says why, and what to do, before the socket is closed.
    pub(crate) fn take_leave(&self, socket: &mut Socket, order: &Order) {
        let back = order.code == 4012 || order.code == 4009 && order.reason.contains("reconnect");
        if back && self.awaited.is_none() {
            self.say(
                socket,
                ServerFrame {
                    kind: "reconnect",
                    delay_ms: Some(SPREAD),
                    reason: Some(&order.reason),
                    ..ServerFrame::default()
                },
            );
        }
    }

    /// Answers with what a broker, or the channel itself, has told.
    pub(crate) fn tell(
        &mut self,
        socket: &mut Socket,
        id: Option<&str>,
        channel: &str,
        told: Told,
    ) {
        let id = raw(id);
        let id = id.as_deref();
        match told {
            Told::History(Ok(history)) => self.say(
                socket,
                ServerFrame {
                    kind: "history",
                    id,
                    channel: Some(channel),
                    epoch: Some(&history.newest.epoch),
                    offset: Some(history.newest.offset),
                    items: Some(history.items.iter().filter_map(Item::read).collect()),
                    recovered: Some(history.complete),
                    ..ServerFrame::default()
                },
            ),
            Told::Presence(Ok(members)) => self.say(
                socket,
                ServerFrame {
                    kind: "presence",
                    id,
                    channel: Some(channel),
                    members: Some(&members),
                    ..ServerFrame::default()
                },
            ),
            Told::History(Err(refused)) | Told::Presence(Err(refused)) => {
                self.refuse(socket, id, Some(channel), &refused);
            }
        }
    }
}

/// An id as it is written back.
pub(crate) fn raw(id: Option<&str>) -> Option<Box<RawValue>> {
    RawValue::from_string(id?.to_owned()).ok()
}
