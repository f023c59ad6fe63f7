//! `socket`: a WebSocket of the hub, from its handshake to its end.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use http::request::Parts;

use super::Hub;
use super::handshake::Offer;
use super::policy::{Refused, Want};
use super::seat::Seat;
use super::sitting::{Sitting, Turn};
use super::wire::Wire;
use crate::answer::Answer;
use crate::filters::auth;
use crate::gateway::Gateway;
use crate::identity::Claims;
use crate::plan::Level;
use crate::reject::Rejection;
use crate::trace::Trace;
use crate::websocket::{Closed, Handshake, Session, Socket};

/// How long a client may take to bring its token, where it comes with the first frame; milliseconds.
const PATIENCE: u64 = 5_000;

/// What a route asks of those who bring their token later.
#[derive(Debug, Default)]
pub struct Demands {
    /// Scopes of the route's own `auth`.
    pub scopes: Vec<Box<str>>,
    /// Whether the route has one.
    pub required: bool,
}

/// Who asks for a socket or a stream, and how.
pub struct Asking<'a> {
    /// Where.
    pub hub: &'a Arc<Hub>,
    /// Whose log is written.
    pub gateway: &'a Arc<Gateway>,
    /// The request.
    pub parts: &'a Parts,
    /// Who connected.
    pub peer: IpAddr,
    /// The request's ids.
    pub trace: &'a Trace,
    /// Who it is, where `auth` has said so.
    pub claims: Option<Arc<Claims>>,
    /// The channel of the path.
    pub channel: Option<&'a str>,
    /// What the route asks.
    pub demands: &'a Arc<Demands>,
}

/// What is logged of a socket, and what its messages are linked to.
pub(crate) struct Origin {
    pub(crate) request: Arc<str>,
    pub(crate) trace: [u8; 32],
    pub(crate) span: [u8; 16],
}

/// Accepts or refuses a handshake; identity is checked before the 101.
pub fn open(asking: Asking<'_>) -> Result<Answer, Box<Rejection>> {
    let Asking { hub, gateway, parts, peer, trace, .. } = asking;
    let offer = Offer::read(&parts.headers);
    let handshake = Handshake::read(parts, |_| Ok(offer.answer()))?;
    let claims = match (asking.claims, hub.verifier()) {
        (None, Some(verifier)) => auth::offered(&verifier, &parts.headers, &offer)?,
        (claims, _) => claims,
    };
    let later = claims.is_none() && offer.later;
    if let Some(channel) = asking.channel {
        let namespace = hub.policy.find(channel).map_err(reject)?;
        if !later {
            hub.policy
                .check(namespace, channel, Want::Subscribe, claims.as_deref())
                .map_err(reject)?;
        }
    }
    let place = hub.seats.reserve(claims.as_deref(), peer).map_err(reject)?;
    let wire = Wire { format: offer.format(), deflate: handshake.deflate };
    let origin = Origin {
        request: Arc::clone(&trace.request_id),
        trace: trace.trace_id,
        span: trace.span_id,
    };
    let mut sitting = Sitting::new(hub, gateway, Seat::new(peer, claims), (wire, place), origin);
    if later {
        sitting.wait_for_token(hub.now() + PATIENCE, Arc::clone(asking.demands));
    }
    let channel: Option<Arc<str>> = asking.channel.map(Into::into);
    let max_bytes = hub.max_bytes;
    let session = Session::new(handshake.deflate, max_bytes, move |socket| {
        Box::pin(live(socket, Box::new(sitting), channel))
    });
    Ok(Answer::upgrade(handshake.headers, session))
}

/// A refusal before the 101.
pub(crate) fn reject(refused: Refused) -> Box<Rejection> {
    let rejection = Rejection::because(refused.kind, refused.message);
    match refused.retry_after {
        Some(seconds) => rejection.with(http::header::RETRY_AFTER, seconds.into()),
        None => rejection,
    }
}

async fn live(socket: &mut Socket, mut sitting: Box<Sitting>, channel: Option<Arc<str>>) {
    let began = Instant::now();
    let figures = Arc::clone(&sitting.hub.figures);
    figures.sockets.fetch_add(1, Ordering::Relaxed);
    let open = Open(&figures.sockets);
    sitting.begin(socket, channel);
    let closed = loop {
        let turn = std::future::poll_fn(|context| sitting.poll_turn(socket, context)).await;
        let order = match turn {
            Turn::Message(message) => sitting.hear(socket, &message),
            Turn::Ended(closed) => break closed,
            Turn::Ordered(order) => Some(order),
        };
        if let Some(order) = order {
            sitting.leave_all();
            sitting.take_leave(socket, &order);
            break socket.close(order.code, &order.reason).await;
        }
    };
    drop(open);
    log(&sitting, &closed, began);
}

/// Counts a socket for as long as it is open, also where it is killed.
struct Open<'f>(&'f std::sync::atomic::AtomicI64);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn log(sitting: &Sitting, closed: &Closed, began: Instant) {
    let log = &sitting.gateway.runtime.log;
    if !log.takes(Level::Info) {
        return;
    }
    let claims = sitting.seat.claims();
    let subject = claims.as_ref().map(|claims| &*claims.subject).or(sitting.denied.as_deref());
    log.write(
        Level::Info,
        &serde_json::json!({
            "message": "socket", "connection": sitting.seat.name, "code": closed.code,
            "reason": closed.reason, "clean": closed.clean,
            "duration_ms": began.elapsed().as_millis() as u64, "frames": sitting.frames,
            "peer": sitting.seat.peer, "subject": subject,
            "request_id": sitting.origin.request,
            "trace_id": String::from_utf8_lossy(&sitting.origin.trace),
        }),
    );
}
