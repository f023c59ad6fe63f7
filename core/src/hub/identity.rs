//! Who a socket belongs to, and for how long: its welcome, its token's end, a fresh token, and signs of life.

use std::sync::Arc;

use super::policy::Refused;
use super::seat::Order;
use super::sitting::Sitting;
use super::subscriptions::Asked;
use super::wire::ServerFrame;
use crate::clock;
use crate::identity::Claims;
use crate::websocket::Socket;

/// Seconds before the token's end at which that is told, at most.
const WARNING: u64 = 30;

impl Sitting {
    pub(super) fn welcome(&mut self, socket: &mut Socket) {
        // By the clock itself: the hub's own, which is read now and then, could promise a second that is over.
        let left = self.seat.claims().map(|claims| claims.expires.saturating_sub(clock::now()));
        let name = Arc::clone(&self.seat.name);
        self.say(
            socket,
            ServerFrame {
                kind: "welcome",
                connection: Some(&name),
                session_seconds: left,
                ping_seconds: Some(self.hub.heartbeat_ms as f64 / 1e3),
                max_bytes: Some(self.hub.max_bytes),
                ..ServerFrame::default()
            },
        );
        if let Some(channel) = self.first.take()
            && let Err(refused) = self.subscribe(socket, &channel, None, Asked::default())
        {
            self.refuse(socket, None, Some(&channel), &refused);
        }
    }

    /// A token has come that is good: for the first time, or instead of the one before.
    pub(crate) fn identify(
        &mut self,
        socket: &mut Socket,
        claims: &Arc<Claims>,
    ) -> Result<(), Refused> {
        let first = self.awaited.is_some();
        if first {
            self.place = self.hub.seats.reserve(Some(claims), self.seat.peer)?;
        }
        self.seat.identify(Arc::clone(claims));
        self.hub.close_if_revoked(&self.seat);
        self.warned = false;
        if first {
            self.awaited = None;
            self.welcome(socket);
        } else {
            self.check_again(socket, claims);
        }
        let now = self.hub.now();
        self.seat.wake_at(self.next_due(now));
        Ok(())
    }

    pub(super) fn look_at_clock(&mut self, socket: &mut Socket, now: u64) -> Option<Order> {
        let order = |code, reason: &str| Some(Order { code, reason: reason.into() });
        if self.awaited.as_ref().is_some_and(|(until, _)| *until <= now) {
            return order(4003, "no token came in time");
        }
        if let Some(claims) = self.seat.claims() {
            let ends = self.hub.end_of(&claims);
            if ends <= now {
                return order(4001, "the token has expired");
            }
            if !self.warned && warning(&claims) <= now {
                self.warned = true;
                let left = (ends - now).div_ceil(1000);
                self.say(
                    socket,
                    ServerFrame { kind: "expiring", seconds: Some(left), ..ServerFrame::default() },
                );
            }
        }
        let (beat, quiet) = (self.hub.heartbeat_ms, now.saturating_sub(self.heard));
        if quiet >= 2 * beat {
            return order(4010, "no sign of life within two heartbeats");
        }
        if quiet >= beat && self.pinged <= self.heard {
            self.pinged = now;
            socket.ping(b"");
        }
        None
    }

    pub(super) fn next_due(&self, now: u64) -> u64 {
        let beat = self.hub.heartbeat_ms;
        let sign = if self.pinged > self.heard { self.heard + 2 * beat } else { self.heard + beat };
        let token = self.seat.claims().map_or(u64::MAX, |claims| {
            let ends = self.hub.end_of(&claims);
            if self.warned { ends } else { warning(&claims).min(ends) }
        });
        let first = self.awaited.as_ref().map_or(u64::MAX, |(until, _)| *until);
        sign.min(token).min(first).max(now + 1)
    }
}

/// When the end of a token is told: half a minute before, of a shorter life half of it.
fn warning(claims: &Claims) -> u64 {
    let life = claims.issued.map_or(WARNING * 2, |issued| claims.expires.saturating_sub(issued));
    claims.expires.saturating_sub(WARNING.min(life / 2)).saturating_mul(1000)
}
