//! Revocations: tokens that are worth nothing before their time. Every request with a token asks, so that without any
//! it costs one load. Each belongs to the tenant whose operator made it, or to all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ahash::AHashMap;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use super::Claims;

/// Revocations that one tenant may have in force. None is dropped before its end, so that more are refused.
const TENANT_REVOCATIONS_MAX: usize = 50_000;
/// Revocations of all tenants together.
const REVOCATIONS_MAX: usize = 500_000;
/// Below so many, ended ones are not looked for.
const PRUNE_MIN: usize = 64;

/// Whose tokens and sockets an operator's order concerns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Realm {
    /// Those of every tenant, and of none.
    #[default]
    Everyone,
    /// Those that name no tenant.
    NoTenant,
    /// Those of one tenant.
    Tenant(Arc<str>),
}

impl Realm {
    /// The realm of a caller.
    pub fn of(tenant: Option<&str>) -> Self {
        tenant.map_or(Self::NoTenant, |tenant| Self::Tenant(tenant.into()))
    }

    /// Whether a tenant's tokens are in it.
    pub fn has(&self, tenant: Option<&str>) -> bool {
        match self {
            Self::Everyone => true,
            Self::NoTenant => tenant.is_none(),
            Self::Tenant(name) => tenant == Some(name),
        }
    }

    pub(crate) fn is_everyone(&self) -> bool {
        *self == Self::Everyone
    }
}

/// Tokens that are no longer worth anything; kept by every replica until `expires`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub struct Revocation {
    /// What is revoked.
    pub of: Revoked,
    /// Whose tokens.
    #[serde(default, skip_serializing_if = "Realm::is_everyone")]
    pub realm: Realm,
    /// Seconds since 1970 when the last token that it concerns has expired by itself.
    pub expires: u64,
}

/// What a revocation concerns.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Revoked {
    /// One token, by its `jti`.
    Token(Arc<str>),
    /// Every token of a subject that was issued before a moment, seconds since 1970.
    Subject {
        /// `sub` of the tokens.
        subject: Arc<str>,
        /// Tokens issued from then on are good.
        before: u64,
    },
}

/// What is revoked.
#[derive(Default)]
pub struct Revocations {
    any: AtomicBool,
    /// Seconds that clocks may differ: a token may say that it was issued so much later than it was.
    leeway: AtomicU64,
    lists: RwLock<Realms>,
}

#[derive(Default)]
struct Realms {
    everyone: Lists,
    no_tenant: Lists,
    tenants: AHashMap<Arc<str>, Lists>,
    count: usize,
    /// The count at which ended ones are looked for.
    prune_at: usize,
}

#[derive(Default)]
struct Lists {
    /// By `jti`: until when.
    tokens: AHashMap<Arc<str>, u64>,
    /// By subject: tokens issued before, and until when.
    subjects: AHashMap<Arc<str>, (u64, u64)>,
}

// === impl Revocations ===

impl Revocations {
    /// Of a gateway that forgives so many seconds of clock difference.
    pub fn new(leeway: u64) -> Self {
        Self { leeway: leeway.into(), ..Self::default() }
    }

    /// Changes how many seconds of clock difference are forgiven.
    pub fn set_leeway(&self, leeway: u64) {
        self.leeway.store(leeway, Ordering::Relaxed);
    }

    /// Adds one, or extends the one of the same; whether there was room.
    pub fn add(&self, revocation: &Revocation, now: u64) -> bool {
        if revocation.expires <= now {
            return true;
        }
        let mut realms = self.lists.write();
        realms.prune(now);
        let full = realms.count >= REVOCATIONS_MAX;
        let lists = realms.lists_mut(&revocation.realm);
        if !lists.has(&revocation.of) && (full || lists.len() >= TENANT_REVOCATIONS_MAX) {
            return false;
        }
        let is_new = lists.add(&revocation.of, revocation.expires);
        realms.count += usize::from(is_new);
        self.any.store(true, Ordering::Release);
        true
    }

    /// Whether a token is revoked.
    pub fn has(&self, claims: &Claims) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let realms = self.lists.read();
        let own = match claims.tenant.as_deref() {
            Some(tenant) => realms.tenants.get(tenant),
            None => Some(&realms.no_tenant),
        };
        let leeway = self.leeway.load(Ordering::Relaxed);
        realms.everyone.concerns(claims, leeway)
            || own.is_some_and(|lists| lists.concerns(claims, leeway))
    }

    /// Whether one revocation concerns a token.
    pub(crate) fn concerns(&self, revocation: &Revocation, claims: &Claims) -> bool {
        revocation.realm.has(claims.tenant.as_deref())
            && match &revocation.of {
                Revoked::Token(id) => claims.token_id.as_deref() == Some(id),
                Revoked::Subject { subject, before } => {
                    claims.subject == *subject
                        && is_old(claims, *before, self.leeway.load(Ordering::Relaxed))
                }
            }
    }

    /// All that have not ended, those that end first at first: of every realm, or of one.
    pub fn list(&self, now: u64, of: Option<&Realm>) -> Vec<Revocation> {
        let realms = self.lists.read();
        let mut all: Vec<_> = realms
            .each()
            .filter(|(realm, _)| of.is_none_or(|of| of == realm))
            .flat_map(|(realm, lists)| lists.list(&realm))
            .filter(|one| one.expires > now)
            .collect();
        all.sort_by_key(|one| one.expires);
        all
    }
}

/// Whether a token is one of those issued before a moment. One that does not say when it was issued is taken for old;
/// what is forgiven to clocks is not given to a token that was revoked.
fn is_old(claims: &Claims, before: u64, leeway: u64) -> bool {
    claims.issued.is_none_or(|issued| issued < before.saturating_add(leeway))
}

// === impl Realms ===

impl Realms {
    fn lists_mut(&mut self, realm: &Realm) -> &mut Lists {
        match realm {
            Realm::Everyone => &mut self.everyone,
            Realm::NoTenant => &mut self.no_tenant,
            Realm::Tenant(name) => self.tenants.entry(Arc::clone(name)).or_default(),
        }
    }

    fn each(&self) -> impl Iterator<Item = (Realm, &Lists)> {
        let tenants =
            self.tenants.iter().map(|(name, lists)| (Realm::Tenant(Arc::clone(name)), lists));
        [(Realm::Everyone, &self.everyone), (Realm::NoTenant, &self.no_tenant)]
            .into_iter()
            .chain(tenants)
    }

    /// Drops what has ended, each time that the number has doubled, or all places are taken.
    fn prune(&mut self, now: u64) {
        if self.count < self.prune_at.clamp(PRUNE_MIN, REVOCATIONS_MAX) {
            return;
        }
        self.everyone.prune(now);
        self.no_tenant.prune(now);
        self.tenants.retain(|_, lists| {
            lists.prune(now);
            lists.len() > 0
        });
        self.count = self.each().map(|(_, lists)| lists.len()).sum();
        self.prune_at = self.count * 2;
    }
}

// === impl Lists ===

impl Lists {
    fn len(&self) -> usize {
        self.tokens.len() + self.subjects.len()
    }

    fn has(&self, of: &Revoked) -> bool {
        match of {
            Revoked::Token(id) => self.tokens.contains_key(id),
            Revoked::Subject { subject, .. } => self.subjects.contains_key(subject),
        }
    }

    fn add(&mut self, of: &Revoked, expires: u64) -> bool {
        let count = self.len();
        match of {
            Revoked::Token(id) => {
                let ends = self.tokens.entry(Arc::clone(id)).or_insert(0);
                *ends = expires.max(*ends);
            }
            Revoked::Subject { subject, before } => {
                let entry = self.subjects.entry(Arc::clone(subject)).or_insert((0, 0));
                *entry = ((*before).max(entry.0), expires.max(entry.1));
            }
        }
        self.len() > count
    }

    fn concerns(&self, claims: &Claims, leeway: u64) -> bool {
        let token = claims.token_id.as_deref().is_some_and(|id| self.tokens.contains_key(id));
        token
            || self
                .subjects
                .get(&*claims.subject)
                .is_some_and(|(before, _)| is_old(claims, *before, leeway))
    }

    fn list(&self, realm: &Realm) -> Vec<Revocation> {
        let tokens = self.tokens.iter().map(|(id, ends)| (Revoked::Token(Arc::clone(id)), *ends));
        let subjects = self.subjects.iter().map(|(subject, (before, ends))| {
            (Revoked::Subject { subject: Arc::clone(subject), before: *before }, *ends)
        });
        tokens
            .chain(subjects)
            .map(|(of, expires)| Revocation { of, realm: realm.clone(), expires })
            .collect()
    }

    fn prune(&mut self, now: u64) {
        self.tokens.retain(|_, ends| *ends > now);
        self.subjects.retain(|_, (_, ends)| *ends > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(id: &str, expires: u64) -> Revocation {
        Revocation { of: Revoked::Token(id.into()), realm: Realm::Everyone, expires }
    }

    fn subject(name: &str, before: u64, realm: Realm) -> Revocation {
        let of = Revoked::Subject { subject: name.into(), before };
        Revocation { of, realm, expires: 3000 }
    }

    #[test]
    fn a_token_or_all_old_ones_of_a_subject_are_revoked() {
        let revocations = Revocations::default();
        let mut claims = Claims::of("alice", None);
        claims.token_id = Some("t1".into());
        claims.issued = Some(100);
        assert!(!revocations.has(&claims));

        revocations.add(&token("t1", 2000), 1000);
        assert!(revocations.has(&claims));
        claims.token_id = None;
        assert!(!revocations.has(&claims));

        revocations.add(&subject("alice", 101, Realm::Everyone), 1000);
        assert!(revocations.has(&claims));
        claims.issued = Some(101);
        assert!(!revocations.has(&claims));
        claims.issued = None;
        assert!(revocations.has(&claims));
        assert_eq!(revocations.list(1000, None).len(), 2);
        assert_eq!(revocations.list(2500, None).len(), 1);
    }

    #[test]
    fn a_revocation_concerns_the_tokens_of_its_realm_only() {
        let realms = [
            Realm::Everyone,
            Realm::NoTenant,
            Realm::Tenant("a".into()),
            Realm::Tenant("b".into()),
        ];
        for realm in &realms {
            let revocations = Revocations::default();
            let revocation = subject("alice", 101, realm.clone());
            revocations.add(&revocation, 1000);

            for tenant in [None, Some("a"), Some("b"), Some("A"), Some("a:b")] {
                let claims = Claims::of("alice", tenant);
                assert_eq!(revocations.has(&claims), realm.has(tenant), "{realm:?} {tenant:?}");
                assert_eq!(revocations.concerns(&revocation, &claims), realm.has(tenant));
            }
            for other in &realms {
                let listed = revocations.list(1000, Some(other)).len();
                assert_eq!(listed, usize::from(other == realm));
            }
        }
    }

    #[test]
    fn a_later_issue_within_the_leeway_does_not_survive() {
        let revocations = Revocations::new(60);
        let mut claims = Claims::of("alice", None);
        revocations.add(&subject("alice", 101, Realm::Everyone), 100);

        claims.issued = Some(160);
        assert!(revocations.has(&claims));
        claims.issued = Some(161);
        assert!(!revocations.has(&claims));
    }

    #[test]
    fn what_has_ended_is_dropped_and_what_has_not_never() {
        let revocations = Revocations::default();

        for number in 0..10_000 {
            assert!(revocations.add(&token(&number.to_string(), number + 10), number));
        }

        assert!(revocations.lists.read().count <= 2 * PRUNE_MIN);
        assert_eq!(revocations.list(10_000, None).len(), 9);
    }

    #[test]
    fn a_tenant_that_has_too_many_keeps_all_and_disturbs_no_other() {
        let revocations = Revocations::default();
        let of = |id: usize, tenant: &str| Revocation {
            realm: Realm::Tenant(tenant.into()),
            ..token(&id.to_string(), 9_000)
        };
        for id in 0..TENANT_REVOCATIONS_MAX {
            assert!(revocations.add(&of(id, "a"), 1));
        }

        assert!(!revocations.add(&of(TENANT_REVOCATIONS_MAX, "a"), 1));
        assert!(revocations.add(&of(0, "a"), 1), "one that it has is extended");
        assert!(revocations.add(&of(0, "b"), 1));
        let mut first = Claims::of("alice", Some("a"));
        first.token_id = Some("0".into());
        assert!(revocations.has(&first));
    }
}
