//! The policy: which namespace a channel is of, and who may do what in it.

use std::borrow::Cow;
use std::sync::Arc;

use super::broker::Keep;
use super::figures::Counters;
use super::rates::RateLimiter;
use super::wire::{LOG, METRICS};
use crate::identity::{Claims, Realm};
use crate::plan::PlanError;
use crate::plan::{self, Delivery, Overflow};
use crate::reject::{AUTHENTICATION_FAILED, Kind, NOT_FOUND, PERMISSION_DENIED, VALIDATION_ERROR};

/// Bytes of a channel's name.
const NAME_BYTES: usize = 256;

/// Why something is not done: what an error frame, or an answer, says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its kind.
    pub kind: &'static Kind,
    /// A sentence.
    pub message: Cow<'static, str>,
    /// Seconds after which it may be tried again.
    pub retry_after: Option<u64>,
}

impl Refused {
    /// A refusal with a sentence of its own.
    pub fn new(kind: &'static Kind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into(), retry_after: None }
    }
}

/// The rules of the channels that a name matches.
pub struct Namespace {
    /// As in the plan.
    pub name: Box<str>,
    segments: Vec<Segment>,
    /// Whether more may follow the segments.
    open: bool,
    subscribe: Option<plan::Access>,
    publish: Option<plan::Access>,
    pub(super) keep: Keep,
    pub(super) presence: bool,
    pub(super) max_bytes: usize,
    pub(super) rate: Option<RateLimiter>,
    pub(super) overflow: Overflow,
    pub(super) queue: usize,
    pub(super) queue_bytes: usize,
    /// Whether replicas share the channels.
    pub(super) shared: bool,
    delivery: Delivery,
    pub(super) counters: Counters,
}

enum Segment {
    Literal(Box<str>),
    Tenant,
    Subject,
}

/// What somebody wants with a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Receive, and look at what was.
    Subscribe,
    /// Publish.
    Publish,
}

/// The namespaces of a hub.
pub struct Policy {
    namespaces: Vec<Arc<Namespace>>,
    operator: Box<str>,
    /// The scope that is needed to act beyond one's tenant.
    global: Box<str>,
}

// === impl Policy ===

impl Policy {
    /// Compiles the rules.
    pub fn build(hub: &plan::Hub) -> Result<Self, PlanError> {
        let namespaces: Result<Vec<_>, PlanError> =
            hub.namespaces.iter().map(|one| Namespace::build(one).map(Arc::new)).collect();
        Ok(Self {
            namespaces: namespaces?,
            operator: hub.operator.as_str().into(),
            global: hub.global_operator.as_str().into(),
        })
    }

    /// All of them, as they stand in the plan.
    pub fn namespaces(&self) -> &[Arc<Namespace>] {
        &self.namespaces
    }

    /// The rules of a channel: of those that match, the ones that say most.
    pub fn find(&self, channel: &str) -> Result<&Arc<Namespace>, Refused> {
        check_name(channel)?;
        self.namespaces
            .iter()
            .filter(|namespace| namespace.matches(channel))
            .max_by_key(|namespace| namespace.weight())
            .ok_or_else(|| Refused::new(&NOT_FOUND, "there is no such channel"))
    }

    /// Whether a caller may act beyond its tenant.
    pub(super) fn acts_globally(&self, claims: &Claims) -> bool {
        claims.acts_globally(&self.global)
    }

    /// The realm that an operator's order concerns: its own, or the one that it asks for and may reach.
    pub(super) fn realm(
        &self,
        claims: Option<&Claims>,
        asked: Option<&str>,
        all: bool,
    ) -> Result<Realm, Refused> {
        let tenant = claims.and_then(|claims| claims.tenant.as_deref());
        let asked = match (asked, all) {
            (Some(_), true) => {
                let sentence = "expected either a tenant or all_tenants";
                return Err(Refused::new(&VALIDATION_ERROR, sentence));
            }
            (None, true) => Realm::Everyone,
            (Some(tenant), false) => Realm::of(Some(tenant)),
            (None, false) => Realm::of(tenant),
        };
        if asked == Realm::of(tenant) || claims.is_some_and(|claims| self.acts_globally(claims)) {
            return Ok(asked);
        }
        let sentence = format!("to act beyond one's tenant needs the scope `{}`", self.global);
        Err(Refused::new(&PERMISSION_DENIED, sentence))
    }

    /// Whether a caller may do something in a channel of a namespace.
    pub fn check(
        &self,
        namespace: &Namespace,
        channel: &str,
        want: Want,
        claims: Option<&Claims>,
    ) -> Result<(), Refused> {
        // What the gateway says of itself is not an operator's to say.
        let own = matches!(want, Want::Publish) && [METRICS, LOG].contains(&channel);
        if let Some(claims) = claims.filter(|claims| !own && claims.allows(&self.operator)) {
            if claims.tenant.is_none() || self.acts_globally(claims) {
                return Ok(());
            }
            // An operator of a tenant: everything in its own channels.
            return namespace.check_claims(channel, claims).map_err(|whose| {
                let sentence = format!(
                    "the channel is {whose}, and the token lacks the scope `{}`",
                    self.global
                );
                Refused::new(&PERMISSION_DENIED, sentence)
            });
        }
        let (access, verb) = match want {
            Want::Subscribe => (&namespace.subscribe, "subscribe to"),
            Want::Publish => (&namespace.publish, "publish to"),
        };
        let denied = |why: &str| {
            Err(Refused::new(
                &PERMISSION_DENIED,
                format!("the token may not {verb} this channel: {why}"),
            ))
        };
        let Some(access) = access else { return denied("nobody may from outside") };
        let Some(claims) = claims else {
            return if access.anonymous && namespace.segments.iter().all(Segment::is_literal) {
                Ok(())
            } else {
                Err(Refused::new(&AUTHENTICATION_FAILED, "the channel needs a token"))
            };
        };
        if let Some(scope) = access.scopes.iter().find(|scope| !claims.allows(scope)) {
            return denied(&format!("it lacks the scope `{scope}`"));
        }
        namespace.check_claims(channel, claims).or_else(|whose| denied(&format!("it is {whose}")))
    }
}

/// A claim as a segment of a channel's name: a colon would begin another segment, so it is escaped, and so is what
/// escapes. Every claim has exactly one segment, and every segment is of one claim.
fn segment_of(claim: &str) -> Cow<'_, str> {
    if !claim.contains([':', '%']) {
        return Cow::Borrowed(claim);
    }
    Cow::Owned(claim.replace('%', "%25").replace(':', "%3A"))
}

/// What is wrong with a name, which must be one that can be shown, logged and written anywhere.
pub(crate) fn wrong_name(channel: &str) -> Option<String> {
    let fits = (1..=NAME_BYTES).contains(&channel.len()) && !channel.chars().any(char::is_control);
    (!fits)
        .then(|| format!("a channel's name has 1 to {NAME_BYTES} bytes and no control characters"))
}

fn check_name(channel: &str) -> Result<(), Refused> {
    wrong_name(channel).map_or(Ok(()), |wrong| Err(Refused::new(&VALIDATION_ERROR, wrong)))
}

// === impl Namespace ===

impl Namespace {
    fn build(namespace: &plan::Namespace) -> Result<Self, PlanError> {
        let name = namespace.name.as_str();
        let wrong = |why: &str| PlanError::new(format!("the namespace {name:?} {why}"));
        let (stem, open) = match name.strip_suffix('*') {
            Some("") => ("", true),
            Some(stem) => {
                (stem.strip_suffix(':').ok_or_else(|| wrong("must end in `:*`, or be `*`"))?, true)
            }
            None => (name, false),
        };
        if name.is_empty() || stem.contains('*') {
            return Err(wrong("must be a channel's name, end in `:*`, or be `*`"));
        }
        let segments = stem.split(':').filter(|_| !stem.is_empty()).map(Segment::read);
        if namespace.queue == 0 || namespace.queue_bytes == 0 || namespace.max_bytes == 0 {
            return Err(wrong("needs a queue and messages of at least 1"));
        }
        let acknowledged = namespace.delivery == Delivery::AtLeastOnce;
        if acknowledged && (namespace.history == 0 || namespace.history_ms == 0) {
            return Err(wrong("needs a history, to deliver at least once"));
        }
        if acknowledged && namespace.subscribe.as_ref().is_some_and(|access| access.anonymous) {
            return Err(wrong("needs tokens of its subscribers, to deliver at least once"));
        }
        Ok(Self {
            name: name.into(),
            segments: segments.collect::<Result<_, _>>().map_err(wrong)?,
            open,
            subscribe: namespace.subscribe.clone(),
            publish: namespace.publish.clone(),
            keep: Keep { messages: namespace.history, age_ms: namespace.history_ms },
            presence: namespace.presence,
            max_bytes: usize::try_from(namespace.max_bytes).unwrap_or(usize::MAX),
            rate: namespace.rate.map(RateLimiter::build).transpose().map_err(|why| wrong(&why))?,
            overflow: namespace.overflow,
            queue: namespace.queue as usize,
            queue_bytes: usize::try_from(namespace.queue_bytes).unwrap_or(usize::MAX),
            shared: namespace.shared,
            delivery: namespace.delivery,
            counters: Counters::default(),
        })
    }

    /// Whether subscribers acknowledge what they were sent.
    pub(super) fn is_acknowledged(&self) -> bool {
        self.delivery == Delivery::AtLeastOnce
    }

    /// Whether the claims in the name are the caller's; the error says whose they are.
    pub(super) fn check_claims(&self, channel: &str, claims: &Claims) -> Result<(), String> {
        for (segment, text) in self.segments.iter().zip(channel.split(':')) {
            let (own, other) = match segment {
                Segment::Literal(_) => continue,
                Segment::Tenant => (claims.tenant.as_deref(), "another tenant's"),
                Segment::Subject => (Some(&*claims.subject), "another subject's"),
            };
            let own = own.map(segment_of);
            if own.as_deref() != Some(text) {
                let hint = own.map(|own| format!(" (of this token it is {own:?})"));
                return Err(format!("{other}{}", hint.unwrap_or_default()));
            }
        }
        Ok(())
    }

    fn matches(&self, channel: &str) -> bool {
        let mut texts = channel.split(':');
        let all = self.segments.iter().all(|segment| {
            texts.next().is_some_and(|text| match segment {
                Segment::Literal(literal) => **literal == *text,
                Segment::Tenant | Segment::Subject => !text.is_empty(),
            })
        });
        all && (if self.open { texts.next().is_some() } else { texts.next().is_none() })
    }

    /// How much the name says.
    fn weight(&self) -> usize {
        let segments = self.segments.iter().map(|segment| if segment.is_literal() { 3 } else { 2 });
        segments.sum::<usize>() + usize::from(!self.open)
    }
}

// === impl Segment ===

impl Segment {
    fn read(text: &str) -> Result<Self, &'static str> {
        match text {
            "{tenant}" => Ok(Self::Tenant),
            "{sub}" => Ok(Self::Subject),
            text if text.contains(['{', '}']) => Err("knows the claims {tenant} and {sub} only"),
            text => Ok(Self::Literal(text.into())),
        }
    }

    fn is_literal(&self) -> bool {
        matches!(self, Self::Literal(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(names: &[&str]) -> Policy {
        let namespaces = names
            .iter()
            .map(|name| plan::Namespace {
                name: (*name).into(),
                subscribe: Some(plan::Access { scopes: vec!["a:read".into()], anonymous: false }),
                publish: None,
                history: 0,
                history_ms: 0,
                presence: false,
                max_bytes: 100,
                rate: None,
                overflow: Overflow::DropOldest,
                queue: 10,
                queue_bytes: 1000,
                shared: true,
                delivery: Delivery::default(),
            })
            .collect();
        Policy::build(&plan::Hub { namespaces, ..crate::hub::tests::plan() }).unwrap()
    }

    fn found<'p>(policy: &'p Policy, channel: &str) -> Option<&'p str> {
        policy.find(channel).ok().map(|namespace| &*namespace.name)
    }

    #[test]
    fn the_namespace_that_says_most_has_a_channel() {
        let policy = policy(&["*", "graph:*", "graph:{tenant}:*", "graph:all:*", "metrics"]);

        assert_eq!(found(&policy, "metrics"), Some("metrics"));
        assert_eq!(found(&policy, "metrics:x"), Some("*"));
        assert_eq!(found(&policy, "graph:acme"), Some("graph:*"));
        assert_eq!(found(&policy, "graph:acme:x"), Some("graph:{tenant}:*"));
        assert_eq!(found(&policy, "graph:all:x:y"), Some("graph:all:*"));
        assert_eq!(policy.find("").err().unwrap().kind.code, "validation_error");
        assert_eq!(policy.find("a\nb").err().unwrap().kind.code, "validation_error");
    }

    #[test]
    fn a_claim_in_the_name_must_be_the_callers() {
        let policy = policy(&["graph:{tenant}:*", "user:{sub}"]);
        let mut claims = Claims::of("alice", Some("acme"));
        let check = |claims: &Claims, channel: &str, want| {
            let namespace = policy.find(channel).unwrap();
            policy.check(namespace, channel, want, Some(claims)).map_err(|why| why.kind.code)
        };

        assert_eq!(check(&claims, "graph:acme:x", Want::Subscribe), Err("permission_denied"));
        claims.scopes = vec!["a:read".into()];
        assert_eq!(check(&claims, "graph:acme:x", Want::Subscribe), Ok(()));
        assert_eq!(check(&claims, "graph:other:x", Want::Subscribe), Err("permission_denied"));
        assert_eq!(check(&claims, "user:alice", Want::Subscribe), Ok(()));
        assert_eq!(check(&claims, "user:bob", Want::Subscribe), Err("permission_denied"));
        assert_eq!(check(&claims, "user:alice", Want::Publish), Err("permission_denied"));
        claims.scopes = vec!["realtime:admin".into()];
        assert_eq!(check(&claims, "user:bob", Want::Publish), Err("permission_denied"));
        claims.tenant = None;
        assert_eq!(check(&claims, "user:bob", Want::Publish), Ok(()));
    }

    #[test]
    fn a_claim_with_a_colon_is_one_segment() {
        let policy = policy(&["graph:{tenant}:*", "user:{sub}", "room:{tenant}"]);
        let names =
            ["acme", "acme:eu", "acme%3Aeu", "acme:", ":acme", "*", "{tenant}", "ACME", "a/b"];
        let may = |tenant: &str, channel: &str| {
            let mut claims = Claims::of(tenant, Some(tenant));
            claims.scopes = vec!["a:read".into()];
            policy.find(channel).is_ok_and(|namespace| {
                policy.check(namespace, channel, Want::Subscribe, Some(&claims)).is_ok()
            })
        };
        for owner in names {
            let own = segment_of(owner);
            for channel in
                [format!("graph:{own}:changes"), format!("user:{own}"), format!("room:{own}")]
            {
                for other in names {
                    assert_eq!(may(other, &channel), other == owner, "{other} in {channel}");
                }
            }
        }
        assert!(!may("acme:eu", "graph:acme:eu:changes"));
        assert!(!may("acme:eu", "graph:acme%3aeu:changes"));
    }

    #[test]
    fn an_operator_of_a_tenant_is_one_of_its_channels_only() {
        let policy = policy(&["graph:{tenant}:*", "user:{sub}", "news"]);
        let check = |claims: &Claims, channel: &str| {
            policy
                .check(policy.find(channel).unwrap(), channel, Want::Publish, Some(claims))
                .is_ok()
        };
        let operator = |tenant, scopes: &[&str]| {
            let mut claims = Claims::of("bob", tenant);
            claims.scopes = scopes.iter().map(|scope| Box::from(*scope)).collect();
            claims.scopes.sort();
            claims
        };

        for scopes in [&["realtime:admin"][..], &["*"]] {
            let own = operator(Some("acme"), scopes);
            assert!(check(&own, "graph:acme:x") && check(&own, "news") && check(&own, "user:bob"));
            assert!(!check(&own, "graph:other:x") && !check(&own, "user:alice"));
            let platform = operator(None, scopes);
            assert!(check(&platform, "graph:acme:x") && check(&platform, "user:alice"));
        }
        let global = operator(Some("acme"), &["realtime:admin", "admin:global"]);
        assert!(check(&global, "graph:other:x") && check(&global, "user:alice"));
    }

    #[test]
    fn who_has_no_token_may_what_is_open_to_all() {
        let policy = policy(&["metrics"]);
        let namespace = policy.find("metrics").unwrap();

        let refused = policy.check(namespace, "metrics", Want::Subscribe, None).unwrap_err();

        assert_eq!(refused.kind.code, "authentication_failed");
    }
}
