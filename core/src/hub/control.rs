//! Controls: what is asked of the hub over HTTP, or by the program itself, and answered as JSON.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::broker::{BoxFuture, Disconnect, Draft, History, Member, Position};
use super::channel::Channel;
use super::policy::{Namespace, Refused, Want};
use super::socket::reject;
use super::subscriptions::MOST;
use super::wire::Item;
use super::{Hub, Publishing, Touched, refused};
use crate::clock;
use crate::identity::{Claims, Realm, Revocation, Revoked};
use crate::plan::HubOperation;
use crate::reject::{
    CONFLICT, Detail, MALFORMED_BODY, PERMISSION_DENIED, Rejection, SERVICE_UNAVAILABLE,
    VALIDATION_ERROR,
};

/// Channels told at a time.
const CHANNELS: usize = 1_000;
/// Bytes of data in one answer of a history, about.
const HISTORY: usize = 1 << 20;
/// Seconds that a revocation lasts where it does not say: ten years, longer than tokens live. A shorter time would let a
/// revoked token that lives longer come back.
const REVOCATION_DEFAULT_S: u64 = 10 * 365 * 86_400;
/// Characters of a reason: what a close frame holds.
const REASON: usize = 120;

/// Who asks.
#[derive(Clone, Copy)]
pub enum Asker<'a> {
    /// The program itself, which may all.
    Program,
    /// A caller at an address, who may what the channel's namespace says.
    Caller(Option<&'a Claims>, IpAddr),
}

/// A caller's words that make up one of the controls, in one object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    channel: Option<String>,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    cursor: Option<String>,
    #[serde(default)]
    limit: Option<u32>,
    #[serde(default)]
    epoch: Option<Arc<str>>,
    #[serde(default)]
    offset: Option<u64>,
    #[serde(default)]
    subject: Option<Arc<str>>,
    #[serde(default)]
    connection: Option<Arc<str>>,
    #[serde(default)]
    reason: Option<Arc<str>>,
    #[serde(default)]
    jti: Option<Arc<str>>,
    #[serde(default)]
    sub: Option<Arc<str>>,
    #[serde(default)]
    before: Option<u64>,
    #[serde(default)]
    expires: Option<u64>,
    #[serde(default)]
    tenant: Option<Arc<str>>,
    #[serde(default)]
    all_tenants: bool,
}

/// A revocation as it is answered, and read back by the program that has stored it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    expires: u64,
    #[serde(default)]
    jti: Option<Arc<str>>,
    #[serde(default)]
    sub: Option<Arc<str>>,
    #[serde(default)]
    before: u64,
    #[serde(default)]
    tenant: Option<Arc<str>>,
    #[serde(default)]
    all_tenants: bool,
}

/// The body of a publication.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(default)]
    key: Option<Arc<str>>,
}

/// A history. Written as it is: the data of its items is JSON already, and goes through no value.
#[derive(Serialize)]
struct Kept<'a> {
    channel: &'a str,
    epoch: &'a str,
    items: Vec<Item<'a>>,
    offset: u64,
    recovered: bool,
}

/// What an operation answers, once it is done.
pub type Outcome = Result<Vec<u8>, Refused>;

impl Hub {
    /// Publishes the body of a request, or what the program gives.
    pub async fn post(self: &Arc<Self>, channel: &str, body: &[u8], asker: Asker<'_>) -> Outcome {
        let body: Body<'_> = read(body)?;
        let namespace = self.policy.find(channel)?;
        let mut publisher = None;
        if let Asker::Caller(claims, peer) = asker {
            self.policy.check(namespace, channel, Want::Publish, claims)?;
            publisher = claims.map(|claims| Arc::clone(&claims.subject));
            if let Some(rate) = &namespace.rate {
                let taken = match claims {
                    Some(claims) => rate.take(&(claims.tenant.as_deref(), &*claims.subject), 1),
                    None => rate.take(&peer, 1),
                };
                taken.map_err(|wait| super::limits::over("too many publications", wait))?;
            }
        }
        let data = Bytes::copy_from_slice(body.data.get().as_bytes());
        let draft = Draft { data, key: body.key, publisher, traceparent: None };
        let place = match self.publish_now(namespace, channel, draft)? {
            Publishing::Done(place) => place,
            Publishing::Waiting(answer) => answer.await?,
        };
        written(&json!({"channel": channel, "epoch": place.epoch, "offset": place.offset}))
    }

    /// Publishes what the program gives; it is no client, so that no rule but the size holds.
    pub(crate) fn publish_now(
        self: &Arc<Self>,
        namespace: &Arc<Namespace>,
        channel: &str,
        draft: Draft,
    ) -> Result<Publishing, Refused> {
        // Its drop at the end wakes the subscribers.
        self.publish(namespace, channel, draft, &mut Touched::default())
    }

    /// The program's own way to publish; `Ok(Err(..))` is an answer that has to be waited for.
    #[allow(clippy::type_complexity)] // two ways to the same end
    pub fn publish_for_program(
        self: &Arc<Self>,
        channel: &str,
        draft: Draft,
    ) -> Result<Result<Position, BoxFuture<Result<Position, Refused>>>, Refused> {
        let namespace = self.policy.find(channel)?;
        Ok(match self.publish_now(namespace, channel, draft)? {
            Publishing::Done(place) => Ok(place),
            Publishing::Waiting(answer) => Err(answer),
        })
    }

    /// Puts revocations in force here that the program has stored: before the gateway listens, so that it never serves
    /// without them, and later those that others have stored. How many found no room.
    ///
    /// # Errors
    /// They are not a JSON list of revocations.
    pub fn restore(&self, revocations: &[u8]) -> Result<usize, String> {
        let stored: Vec<Stored> =
            serde_json::from_slice(revocations).map_err(|error| error.to_string())?;
        let all = stored.into_iter().map(Stored::read).collect::<Option<Vec<_>>>();
        let all = all.ok_or("expected either a jti or a sub of each")?;
        Ok(all.iter().filter(|one| !self.revoke_here(one)).count())
    }

    /// Does what is asked: `words` is one JSON object of what the path, the query and the body say.
    pub async fn control(
        self: &Arc<Self>,
        operation: HubOperation,
        words: &[u8],
        asker: Asker<'_>,
    ) -> Outcome {
        let asked: Asked = read(words)?;
        match operation {
            HubOperation::Channels => self.tell_channels(&asked, asker),
            HubOperation::Presence => {
                let (channel, namespace) = self.named(&asked, asker)?;
                let members = self.presence(namespace, channel)?.await?;
                written(&json!({"channel": channel, "members": members}))
            }
            HubOperation::History => {
                let (channel, namespace) = self.named(&asked, asker)?;
                let limit = asked.limit.unwrap_or(100).min(MOST);
                let history = self.history(namespace, channel, asked.position()?, limit).await?;
                let items: Vec<Item<'_>> = history.items.iter().filter_map(Item::read).collect();
                written(&Kept {
                    channel,
                    epoch: &history.newest.epoch,
                    items,
                    offset: history.newest.offset,
                    recovered: history.complete,
                })
            }
            HubOperation::Disconnect => self.tell_disconnect(&asked, asker),
            HubOperation::Revoke => {
                let revocation = asked.revocation(self.realm(&asked, asker)?)?;
                let answer = revocation_json(&revocation);
                if !self.revoke(revocation) {
                    let sentence = "there are too many revocations in force: revoke subjects \
                                    instead of tokens, or say with `expires` when they end";
                    return Err(Refused::new(&CONFLICT, sentence));
                }
                written(&answer)
            }
            HubOperation::Revocations => {
                let all = self.revocations.list(clock::now(), self.visible(asker).as_ref());
                let items: Vec<Value> =
                    all.iter().take(CHANNELS * 10).map(revocation_json).collect();
                written(&json!({"items": items, "next_cursor": null}))
            }
            HubOperation::Socket | HubOperation::Events | HubOperation::Publish => {
                Err(Refused::new(&VALIDATION_ERROR, "this is no control"))
            }
        }
    }

    /// Whose tokens or sockets an order concerns; the program's own all, where it does not say.
    fn realm(&self, asked: &Asked, asker: Asker<'_>) -> Result<Realm, Refused> {
        let tenant = asked.tenant.as_deref();
        match asker {
            Asker::Program => Ok(tenant.map_or(Realm::Everyone, |tenant| match tenant {
                "" => Realm::NoTenant,
                tenant => Realm::Tenant(tenant.into()),
            })),
            Asker::Caller(claims, _) => {
                // Who may act everywhere and has no tenant means everywhere.
                let anywhere = claims.is_some_and(|claims| {
                    claims.tenant.is_none() && self.policy.acts_globally(claims)
                });
                self.policy.realm(
                    claims,
                    tenant,
                    asked.all_tenants || (anywhere && tenant.is_none()),
                )
            }
        }
    }

    /// What a caller may list: `None` is everything.
    fn visible(&self, asker: Asker<'_>) -> Option<Realm> {
        match asker {
            Asker::Program => None,
            Asker::Caller(Some(claims), _) if self.policy.acts_globally(claims) => None,
            Asker::Caller(claims, _) => {
                Some(Realm::of(claims.and_then(|claims| claims.tenant.as_deref())))
            }
        }
    }

    fn named<'h, 'a>(
        &'h self,
        asked: &'a Asked,
        asker: Asker<'_>,
    ) -> Result<(&'a str, &'h Arc<Namespace>), Refused> {
        let channel = asked.channel.as_deref().unwrap_or_default();
        let namespace = self.policy.find(channel)?;
        if let Asker::Caller(claims, _) = asker {
            self.policy.check(namespace, channel, Want::Subscribe, claims)?;
        }
        Ok((channel, namespace))
    }

    /// What a channel has kept, wherever that is.
    pub(crate) fn history(
        self: &Arc<Self>,
        namespace: &Arc<Namespace>,
        channel: &str,
        after: Option<Position>,
        limit: u32,
    ) -> BoxFuture<Result<History, Refused>> {
        if let Some(broker) = self.broker(namespace) {
            let answer = broker.history(&channel.into(), after, limit);
            return Box::pin(async move {
                answer.await.map(within_bounds).map_err(|error| refused(&error))
            });
        }
        let found = self
            .channels
            .obtain(channel, namespace, &self.figures)
            .map(|channel| within_bounds(channel.history(after.as_ref(), limit, &self.kept)));
        Box::pin(std::future::ready(found))
    }

    /// Who is in a channel, wherever they are.
    pub(crate) fn presence(
        &self,
        namespace: &Namespace,
        channel: &str,
    ) -> Result<BoxFuture<Result<Vec<Member>, Refused>>, Refused> {
        if !namespace.presence {
            let sentence = "the channel tells nobody who is there";
            return Err(Refused::new(&PERMISSION_DENIED, sentence));
        }
        if let Some(broker) = self.broker(namespace) {
            let answer = broker.presence(&channel.into());
            return Ok(Box::pin(async move { answer.await.map_err(|error| refused(&error)) }));
        }
        let members = self.channels.get(channel).map(|channel| channel.members());
        Ok(Box::pin(std::future::ready(Ok(members.unwrap_or_default()))))
    }

    fn tell_channels(&self, asked: &Asked, asker: Asker<'_>) -> Outcome {
        let limit = (asked.limit.unwrap_or(100) as usize).clamp(1, CHANNELS);
        let mut channels = self.channels.list();
        channels.retain(|channel| {
            channel.name.starts_with(&asked.prefix)
                && asked.cursor.as_deref().is_none_or(|cursor| &*channel.name > cursor)
                && self.may_list(channel, asker)
        });
        channels.sort_by(|a, b| a.name.cmp(&b.name));
        let more = channels.len() > limit;
        channels.truncate(limit);
        let next = channels.last().filter(|_| more).map(|channel| Arc::clone(&channel.name));
        let items: Vec<Value> = channels
            .iter()
            .map(|channel| {
                let (newest, kept, subscribers) = channel.figures();
                json!({"channel": channel.name, "subscribers": subscribers,
                    "epoch": newest.epoch, "offset": newest.offset, "kept": kept})
            })
            .collect();
        written(&json!({"items": items, "next_cursor": next}))
    }

    /// A token that is bound to a tenant sees no names that another tenant or subject is part of.
    fn may_list(&self, channel: &Channel, asker: Asker<'_>) -> bool {
        match asker {
            Asker::Caller(Some(claims), _) if claims.tenant.is_some() => {
                self.policy.acts_globally(claims)
                    || channel.namespace.check_claims(&channel.name, claims).is_ok()
            }
            _ => true,
        }
    }

    fn tell_disconnect(&self, asked: &Asked, asker: Asker<'_>) -> Outcome {
        if asked.subject.is_some() == asked.connection.is_some() {
            let sentence = "expected either a subject or a connection";
            return Err(Refused::new(&VALIDATION_ERROR, sentence));
        }
        let reason = asked.reason.as_deref().unwrap_or("disconnected by an operator");
        // Without a tenant an operator has always been one of all sockets.
        let realm = match asker {
            Asker::Caller(Some(claims), _) if claims.tenant.is_none() && asked.tenant.is_none() => {
                Realm::Everyone
            }
            _ => self.realm(asked, asker)?,
        };
        let sockets = self.disconnect(Disconnect {
            realm,
            subject: asked.subject.clone(),
            connection: asked.connection.clone(),
            code: 4009,
            reason: reason.chars().take(REASON).collect::<String>().into(),
        });
        written(&json!({"sockets": sockets}))
    }
}

impl Asked {
    fn position(&self) -> Result<Option<Position>, Refused> {
        match (&self.epoch, self.offset) {
            (Some(epoch), Some(offset)) => Ok(Some(Position { epoch: Arc::clone(epoch), offset })),
            (None, None) => Ok(None),
            _ => {
                let sentence = "a position has both an epoch and an offset";
                Err(Refused::new(&VALIDATION_ERROR, sentence))
            }
        }
    }

    fn revocation(&self, realm: Realm) -> Result<Revocation, Refused> {
        let now = clock::now();
        let of = match (&self.jti, &self.sub) {
            (Some(id), None) if !id.is_empty() => Revoked::Token(Arc::clone(id)),
            // Times of tokens are in whole seconds: what was issued in this one is meant too.
            (None, Some(subject)) if !subject.is_empty() => Revoked::Subject {
                subject: Arc::clone(subject),
                before: self.before.unwrap_or(now + 1),
            },
            _ => {
                let sentence = "expected either a token's jti or a sub";
                return Err(Refused::new(&VALIDATION_ERROR, sentence));
            }
        };
        let expires = self.expires.unwrap_or(now + REVOCATION_DEFAULT_S);
        if expires <= now {
            let sentence = "expires is past: the tokens have ended by themselves";
            return Err(Refused::new(&VALIDATION_ERROR, sentence));
        }
        Ok(Revocation { of, realm, expires })
    }
}

impl Stored {
    fn read(self) -> Option<Revocation> {
        let of = match (self.jti, self.sub) {
            (Some(id), None) => Revoked::Token(id),
            (None, Some(subject)) => Revoked::Subject { subject, before: self.before },
            _ => return None,
        };
        let realm = match (self.tenant, self.all_tenants) {
            (_, true) => Realm::Everyone,
            (Some(tenant), false) => Realm::Tenant(tenant),
            (None, false) => Realm::NoTenant,
        };
        Some(Revocation { of, realm, expires: self.expires })
    }
}

/// As much of a history as one answer holds, at least a message; who asks goes on after the last.
fn within_bounds(mut history: History) -> History {
    let mut bytes = 0;
    let fits = history.items.iter().take_while(|item| {
        bytes += item.draft.data.len();
        bytes <= HISTORY
    });
    let fits = fits.count().max(1);
    history.items.truncate(fits);
    history
}

fn revocation_json(revocation: &Revocation) -> Value {
    let expires = revocation.expires;
    let mut written = match &revocation.of {
        Revoked::Token(id) => json!({"jti": id, "expires": expires}),
        Revoked::Subject { subject, before } => {
            json!({"sub": subject, "before": before, "expires": expires})
        }
    };
    match &revocation.realm {
        Realm::Everyone => written["all_tenants"] = true.into(),
        Realm::Tenant(tenant) => written["tenant"] = json!(tenant),
        Realm::NoTenant => {}
    }
    written
}

fn read<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Refused> {
    let read = serde_json::from_slice(json).map_err(|error| {
        let kind = if error.is_data() { &VALIDATION_ERROR } else { &MALFORMED_BODY };
        Refused::new(kind, format!("what is asked cannot be read: {error}"))
    })?;
    // Serde takes the fields of a struct out of an array too, by their places.
    if json.trim_ascii_start().first() != Some(&b'{') {
        return Err(Refused::new(&VALIDATION_ERROR, "what is asked must be an object"));
    }
    Ok(read)
}

fn written(answer: &impl Serialize) -> Outcome {
    serde_json::to_vec(answer)
        .map_err(|_| Refused::new(&SERVICE_UNAVAILABLE, "the answer cannot be written"))
}

/// The fields that the body of an operation may have. The schema of its route lists the same ones.
const fn body_fields(operation: HubOperation) -> &'static [&'static str] {
    match operation {
        HubOperation::Disconnect => &["subject", "connection", "reason", "tenant", "all_tenants"],
        HubOperation::Revoke => &["jti", "sub", "before", "expires", "tenant", "all_tenants"],
        _ => &[],
    }
}

/// One object of what a request's path, query and body say; of the query only what is known, as what it is.
pub fn words(
    operation: HubOperation,
    channel: Option<&str>,
    query: Option<&str>,
    body: &[u8],
) -> Result<Vec<u8>, Box<Rejection>> {
    let mut words: Map<String, Value> = match body {
        [] => Map::new(),
        body => read(body).map_err(reject)?,
    };
    let fields = body_fields(operation);
    if let Some(unknown) = words.keys().find(|name| !fields.contains(&name.as_str())) {
        let shown: String = unknown.chars().take(64).collect();
        let sentence = format!("unknown field `{shown}`, expected one of {}", fields.join(", "));
        return Err(reject(Refused::new(&VALIDATION_ERROR, sentence)));
    }
    for (name, value) in query.into_iter().flat_map(crate::percent::pairs) {
        let value = match &*name {
            "prefix" | "cursor" | "epoch" => Value::String(value.into_owned()),
            "limit" => whole::<u32>(&name, &value, "from 0 to 4294967295")?,
            "offset" => whole::<u64>(&name, &value, "from 0 to 18446744073709551615")?,
            _ => continue,
        };
        words.insert(name.into_owned(), value);
    }
    // Each half of a position may be given alone: an offset of no epoch is one that nobody knows, so
    // that `recovered` is false, and an epoch begins with its first message.
    if words.contains_key("epoch") != words.contains_key("offset") {
        words.entry("epoch").or_insert_with(|| "".into());
        words.entry("offset").or_insert_with(|| 0.into());
    }
    if let Some(channel) = channel {
        words.insert("channel".into(), channel.into());
    }
    serde_json::to_vec(&words)
        .map_err(|_| reject(Refused::new(&VALIDATION_ERROR, "it cannot be read")))
}

/// Reads digits; a sign, which `parse` takes, is no number of anything.
fn whole<T: FromStr + Into<Value>>(
    field: &str,
    text: &str,
    limit: &'static str,
) -> Result<Value, Box<Rejection>> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse::<T>().ok().filter(|_| digits).map(Into::into).ok_or_else(|| {
        Rejection::value(Detail {
            location: "query".into(),
            field: field.to_owned().into(),
            kind: "int".into(),
            limit: Some(limit.to_owned()),
            message: format!("expected an int {limit}"),
        })
    })
}
