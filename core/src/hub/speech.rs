//! What clients say: frames, one by one or in batches, in either spelling; each is limited, checked, done, and answered.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::Publishing;
use super::broker::Draft;
use super::client_frame::{ClientFrame, ID, Nameless, is_id, malformed, missing, read};
use super::consumers::not_subscribed;
use super::limits::over;
use super::policy::{Refused, Want};
use super::seat::{Note, Order, Told};
use super::sitting::Sitting;
use super::subscriptions::{Asked, MOST};
use super::wire::{Format, ServerFrame};
use crate::clock;
use crate::json;
use crate::plan::Level;
use crate::reject::{
    AUTHENTICATION_FAILED, MALFORMED_BODY, PERMISSION_DENIED, SERVICE_UNAVAILABLE, TOKEN_INVALID,
    VALIDATION_ERROR,
};
use crate::trace::Trace;
use crate::websocket::{Message, Socket};

/// Frames in one batch.
const BATCH: usize = 1_000;
/// Bytes of answers that may wait; between batches less, see `sitting`.
const WAITING: usize = 4 << 20;
/// Bytes of a key.
const KEY: usize = 256;
/// Answers of the broker that one socket may wait for.
const ASKED: usize = 1_024;
/// Messages of a history that are told where no limit is given.
const USUAL: u32 = 100;

impl Sitting {
    /// Hears a message; what the socket is to end with, if it is.
    pub(crate) fn hear(&mut self, socket: &mut Socket, message: &Message) -> Option<Order> {
        let order = |code, reason: &str| Some(Order { code, reason: reason.into() });
        match (message, self.wire.format) {
            (Message::Ping(_) | Message::Pong(_), _) => None,
            (Message::Text(_), Format::Msgpack) => order(1003, "expected binary frames"),
            (Message::Text(text), _) => self.hear_all(socket, text),
            (Message::Binary(bytes), Format::Msgpack) => {
                // Read as JSON from here on, so that there is one way for both.
                let mut json = Vec::with_capacity(bytes.len() + bytes.len() / 2);
                match json::from_messagepack(bytes, &mut json) {
                    Ok(()) => self.hear_all(socket, &json),
                    Err(fault) => {
                        let sentence = format!("the frame is not MessagePack of JSON: {fault}");
                        self.wrong(socket, None, &Refused::new(&MALFORMED_BODY, sentence))
                    }
                }
            }
            (Message::Binary(_), _) => order(1003, "expected text frames"),
        }
    }

    fn hear_all(&mut self, socket: &mut Socket, json: &[u8]) -> Option<Order> {
        if json.trim_ascii_start().first() != Some(&b'[') {
            return self.hear_one(socket, json, json.len());
        }
        match serde_json::from_slice::<Vec<&RawValue>>(json) {
            Ok(frames) if frames.len() <= BATCH => frames.into_iter().find_map(|frame| {
                let frame = frame.get().as_bytes();
                self.hear_one(socket, frame, frame.len())
            }),
            Ok(_) => {
                let sentence = format!("a batch has {BATCH} frames at most");
                self.wrong(socket, None, &Refused::new(&VALIDATION_ERROR, sentence))
            }
            Err(error) => self.wrong(socket, None, &malformed(&error)),
        }
    }

    fn hear_one(&mut self, socket: &mut Socket, json: &[u8], bytes: usize) -> Option<Order> {
        self.frames += 1;
        let (frame, seed) = match read(json) {
            Ok(read) => read,
            Err(refused) => {
                let id = serde_json::from_slice::<Nameless<'_>>(json).ok().and_then(|one| one.id);
                return self.wrong(socket, id.filter(|id| is_id(id)), &refused);
            }
        };
        if self.wire.format != Format::Msgpack {
            self.spell(socket, if seed { Format::Seed } else { Format::Json });
        }
        if let Some(demands) = self.awaited() {
            if frame.kind != "auth" {
                return Some(Order { code: 4003, reason: "expected the token first".into() });
            }
            return self.first_token(socket, &frame, &demands.scopes);
        }
        if frame.kind == "pong" {
            return None;
        }
        let claims = self.seat.claims();
        let hub = Arc::clone(&self.hub);
        hub.figures.frames.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let done = match frame.id.filter(|id| !is_id(id)) {
            Some(_) => Err(Refused::new(
                &VALIDATION_ERROR,
                format!("an id is a string or an integer of at most {ID} characters"),
            )),
            None => hub
                .limits
                .take(claims.as_deref(), self.seat.peer, bytes)
                .and_then(|()| check_waiting(socket))
                .and_then(|()| self.act(socket, &frame)),
        };
        self.log(&frame, done.as_ref().err());
        let id = frame.id.filter(|id| is_id(id));
        let refused = done.err()?;
        if self.refuse(socket, id, Some(&frame.channel), &refused) {
            return None;
        }
        Some(Order { code: 4029, reason: "too many frames were refused".into() })
    }

    /// Refuses what is no frame.
    fn wrong(
        &mut self,
        socket: &mut Socket,
        id: Option<&RawValue>,
        refused: &Refused,
    ) -> Option<Order> {
        if self.awaited().is_some() {
            return Some(Order { code: 4003, reason: "expected the token first".into() });
        }
        // It counts, so that rubbish is not cheaper than frames.
        let claims = self.seat.claims();
        let limited = self.hub.limits.take(claims.as_deref(), self.seat.peer, 1);
        if self.refuse(socket, id, None, limited.as_ref().err().unwrap_or(refused)) {
            return None;
        }
        Some(Order { code: 4029, reason: "too many frames were refused".into() })
    }

    fn act(&mut self, socket: &mut Socket, frame: &ClientFrame<'_>) -> Result<(), Refused> {
        let (id, channel) = (frame.id, &*frame.channel);
        match &*frame.kind {
            "publish" => self.publish(socket, frame),
            "subscribe" => {
                let since = frame.position()?;
                let asked =
                    Asked { since, presence: frame.presence, consumer: frame.consumer.as_deref() };
                self.subscribe(socket, channel, id, asked)
            }
            "unsubscribe" => {
                if !self.unsubscribe(channel) {
                    return Err(not_subscribed());
                }
                if id.is_some() {
                    self.say(
                        socket,
                        ServerFrame {
                            kind: "ack",
                            id,
                            channel: Some(channel),
                            subscribed: Some(false),
                            ..ServerFrame::default()
                        },
                    );
                }
                Ok(())
            }
            "ack" => self.hear_ack(socket, frame),
            "history" => self.history(socket, frame),
            "presence" => self.presence(socket, frame),
            "ping" => {
                self.say(socket, ServerFrame { kind: "pong", id, ..ServerFrame::default() });
                Ok(())
            }
            "auth" => self.renew(socket, frame),
            other => {
                let other: String = other.chars().take(40).collect();
                Err(Refused::new(&VALIDATION_ERROR, format!("there is no frame of type {other:?}")))
            }
        }
    }

    fn publish(&mut self, socket: &mut Socket, frame: &ClientFrame<'_>) -> Result<(), Refused> {
        let (hub, name) = (Arc::clone(&self.hub), &*frame.channel);
        let data = frame.data.ok_or_else(|| missing("data"))?;
        let namespace = hub.policy.find(name)?;
        let claims = self.seat.claims();
        hub.policy.check(namespace, name, Want::Publish, claims.as_deref())?;
        if frame.key.as_ref().is_some_and(|key| key.len() > KEY) {
            let sentence = format!("a key has {KEY} bytes at most");
            return Err(Refused::new(&VALIDATION_ERROR, sentence));
        }
        if let Some(rate) = &namespace.rate {
            let taken = match &claims {
                Some(claims) => rate.take(&(claims.tenant.as_deref(), &*claims.subject), 1),
                None => rate.take(&self.seat.peer, 1),
            };
            taken.map_err(|wait| over("too many publications", wait))?;
        }
        let draft = Draft {
            data: Bytes::copy_from_slice(data.get().as_bytes()),
            key: frame.key.clone(),
            publisher: claims.map(|claims| Arc::clone(&claims.subject)),
            traceparent: frame.traceparent.clone().filter(|text| text.len() <= 128),
        };
        self.check_asked()?;
        match hub.publish(namespace, name, draft, &mut self.touched)? {
            Publishing::Done(place) => {
                if frame.id.is_some() {
                    self.acknowledge(socket, frame.id, name, Some(&place));
                }
            }
            Publishing::Waiting(answer) => {
                let id: Option<Box<str>> = frame.id.map(|id| id.get().into());
                let (seat, channel, asked) =
                    (Arc::clone(&self.seat), Arc::from(name), Arc::clone(&self.asked));
                tokio::spawn(async move {
                    let outcome = answer.await;
                    // Who did not ask for an answer is told of a failure all the same.
                    if id.is_some() || outcome.is_err() {
                        seat.note(Note::Published { id, channel, outcome });
                    }
                    drop(asked);
                });
            }
        }
        Ok(())
    }

    fn check_asked(&self) -> Result<(), Refused> {
        if Arc::strong_count(&self.asked) <= ASKED {
            return Ok(());
        }
        let sentence = "too much waits for the broker";
        Err(Refused { retry_after: Some(1), ..Refused::new(&SERVICE_UNAVAILABLE, sentence) })
    }

    fn history(&mut self, socket: &mut Socket, frame: &ClientFrame<'_>) -> Result<(), Refused> {
        self.check_asked()?;
        let (hub, name) = (Arc::clone(&self.hub), &*frame.channel);
        let namespace = hub.policy.find(name)?;
        let claims = self.seat.claims();
        hub.policy.check(namespace, name, Want::Subscribe, claims.as_deref())?;
        let (after, limit) = (frame.position()?, frame.limit.unwrap_or(USUAL).min(MOST));
        let answer = hub.history(namespace, name, after, limit);
        self.answer_later(socket, frame, async move { Told::History(answer.await) });
        Ok(())
    }

    fn presence(&mut self, socket: &mut Socket, frame: &ClientFrame<'_>) -> Result<(), Refused> {
        self.check_asked()?;
        let (hub, name) = (Arc::clone(&self.hub), &*frame.channel);
        let namespace = hub.policy.find(name)?;
        let claims = self.seat.claims();
        hub.policy.check(namespace, name, Want::Subscribe, claims.as_deref())?;
        let answer = hub.presence(namespace, name)?;
        self.answer_later(socket, frame, async move { Told::Presence(answer.await) });
        Ok(())
    }

    /// Answers at once where nothing has to be waited for.
    fn answer_later(
        &mut self,
        socket: &mut Socket,
        frame: &ClientFrame<'_>,
        answer: impl Future<Output = Told> + Send + 'static,
    ) {
        let mut answer = Box::pin(answer);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let id: Option<Box<str>> = frame.id.map(|id| id.get().into());
        if let std::task::Poll::Ready(told) = answer.as_mut().poll(&mut context) {
            return self.tell(socket, id.as_deref(), &frame.channel, told);
        }
        let (seat, channel, asked) =
            (Arc::clone(&self.seat), Arc::from(&*frame.channel), Arc::clone(&self.asked));
        tokio::spawn(async move {
            let told = answer.await;
            seat.note(Note::Told { id, channel, told });
            drop(asked);
        });
    }

    /// The token that was announced with the handshake.
    fn first_token(
        &mut self,
        socket: &mut Socket,
        frame: &ClientFrame<'_>,
        scopes: &[Box<str>],
    ) -> Option<Order> {
        let order = |reason: &str| Some(Order { code: 4003, reason: reason.into() });
        let Some(verifier) = self.hub.verifier() else {
            return order("this gateway takes no tokens");
        };
        let claims = match verifier.verify(frame.token.as_deref().unwrap_or(""), clock::now()) {
            Ok(claims) => claims,
            Err(rejection) => return order(&rejection.message),
        };
        // Known to the log, whatever becomes of it.
        self.denied = Some(Arc::clone(&claims.subject));
        if scopes.iter().any(|scope| !claims.allows(scope)) {
            return order(PERMISSION_DENIED.sentence);
        }
        match self.identify(socket, &claims) {
            Ok(()) => None,
            Err(refused) => {
                self.refuse(socket, frame.id, None, &refused);
                Some(Order { code: 4029, reason: refused.message.as_ref().into() })
            }
        }
    }

    /// A fresh token for the same subject.
    fn renew(&mut self, socket: &mut Socket, frame: &ClientFrame<'_>) -> Result<(), Refused> {
        let token = frame.token.as_deref().ok_or_else(|| missing("token"))?;
        let verifier = self.hub.verifier();
        let verifier = verifier
            .ok_or_else(|| Refused::new(&AUTHENTICATION_FAILED, "this gateway takes no tokens"))?;
        let claims = verifier
            .verify(token, clock::now())
            .map_err(|rejection| Refused::new(rejection.kind, rejection.message))?;
        let same = self.seat.claims().is_some_and(|before| {
            before.subject == claims.subject && before.tenant == claims.tenant
        });
        if !same {
            return Err(Refused::new(&TOKEN_INVALID, "the token is not of the socket's subject"));
        }
        self.identify(socket, &claims)?;
        if frame.id.is_some() {
            self.say(socket, ServerFrame { kind: "ack", id: frame.id, ..ServerFrame::default() });
        }
        Ok(())
    }

    /// One line for a frame: refused ones as requests are, those with a trace, and all where it is asked for.
    fn log(&self, frame: &ClientFrame<'_>, refused: Option<&Refused>) {
        let level = match (refused, &frame.traceparent) {
            (Some(_), _) => Level::Warning,
            (None, Some(_)) => Level::Info,
            (None, None) => Level::Debug,
        };
        let log = &self.gateway.runtime.log;
        if !log.takes(level) {
            return;
        }
        let trace = Trace::of_message(frame.traceparent.as_deref());
        let text = |hex: &[u8]| String::from_utf8_lossy(hex).into_owned();
        let claims = self.seat.claims();
        log.write(
            level,
            &serde_json::json!({
                "message": "frame", "type": frame.kind.chars().take(40).collect::<String>(),
                "channel": frame.channel.chars().take(256).collect::<String>(),
                "code": refused.map(|one| one.kind.code), "error": refused.map(|one| &one.message),
                "connection": self.seat.name,
                "subject": claims.as_ref().map(|claims| &claims.subject),
                "request_id": self.origin.request,
                "trace_id": text(&trace.trace_id), "span_id": text(&trace.span_id),
                "parent_id": trace.parent_id.as_ref().map(|id| text(id)),
                "linked_trace_id": text(&self.origin.trace),
                "linked_span_id": text(&self.origin.span),
            }),
        );
    }
}

/// Refuses further frames of a batch while the client has not read the answers to those before.
fn check_waiting(socket: &Socket) -> Result<(), Refused> {
    if socket.pending_bytes() <= WAITING {
        return Ok(());
    }
    Err(over("too many answers wait to be read", 1))
}
