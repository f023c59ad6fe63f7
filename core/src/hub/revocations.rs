//! Revocations: tokens that are worth nothing before their time. Every request with a token asks, so that without any
//! it costs one load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ahash::AHashMap;
use parking_lot::RwLock;

use super::broker::{Revocation, Revoked};
use crate::filters::auth::Claims;

/// Revocations kept of each sort; beyond, those that end first go.
const CAPACITY: usize = 100_000;

/// What is revoked.
#[derive(Default)]
pub struct Revocations {
    any: AtomicBool,
    lists: RwLock<Lists>,
}

#[derive(Default)]
struct Lists {
    /// By `jti`: until when.
    tokens: AHashMap<Arc<str>, u64>,
    /// By subject: tokens issued before, and until when.
    subjects: AHashMap<Arc<str>, (u64, u64)>,
}

/// Whether a revocation concerns a token. One that does not say when it was issued is taken for old.
pub(crate) fn concerns(revoked: &Revoked, claims: &Claims) -> bool {
    match revoked {
        Revoked::Token(id) => claims.token_id.as_deref() == Some(id),
        Revoked::Subject { subject, before } => {
            claims.subject == *subject && claims.issued.is_none_or(|issued| issued < *before)
        }
    }
}

// === impl Revocations ===

impl Revocations {
    /// Adds one, and drops those that have ended.
    pub fn add(&self, revocation: &Revocation, now: u64) {
        let expires = revocation.expires;
        let mut lists = self.lists.write();
        lists.tokens.retain(|_, ends| *ends > now);
        lists.subjects.retain(|_, (_, ends)| *ends > now);
        match &revocation.of {
            Revoked::Token(id) => {
                make_room(&mut lists.tokens, |ends| *ends);
                let ends = lists.tokens.entry(Arc::clone(id)).or_insert(0);
                *ends = expires.max(*ends);
            }
            Revoked::Subject { subject, before } => {
                make_room(&mut lists.subjects, |(_, ends)| *ends);
                let entry = lists.subjects.entry(Arc::clone(subject)).or_insert((0, 0));
                *entry = ((*before).max(entry.0), expires.max(entry.1));
            }
        }
        self.any.store(true, Ordering::Release);
    }

    /// Whether a token is revoked.
    pub fn has(&self, claims: &Claims) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let lists = self.lists.read();
        let token = claims.token_id.as_deref().is_some_and(|id| lists.tokens.contains_key(id));
        token
            || lists
                .subjects
                .get(&*claims.subject)
                .is_some_and(|(before, _)| claims.issued.is_none_or(|issued| issued < *before))
    }

    /// All that have not ended, those that end first at first.
    pub fn list(&self, now: u64) -> Vec<Revocation> {
        let lists = self.lists.read();
        let tokens = lists.tokens.iter().map(|(id, expires)| Revocation {
            of: Revoked::Token(Arc::clone(id)),
            expires: *expires,
        });
        let subjects = lists.subjects.iter().map(|(subject, (before, expires))| Revocation {
            of: Revoked::Subject { subject: Arc::clone(subject), before: *before },
            expires: *expires,
        });
        let mut all: Vec<_> = tokens.chain(subjects).filter(|one| one.expires > now).collect();
        all.sort_by_key(|one| one.expires);
        all
    }
}

fn make_room<V>(list: &mut AHashMap<Arc<str>, V>, ends: impl Fn(&V) -> u64) {
    if list.len() < CAPACITY {
        return;
    }
    let first = list.iter().min_by_key(|(_, value)| ends(value)).map(|(name, _)| Arc::clone(name));
    if let Some(first) = first {
        list.remove(&first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(id: &str, expires: u64) -> Revocation {
        Revocation { of: Revoked::Token(id.into()), expires }
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

        let of = Revoked::Subject { subject: "alice".into(), before: 101 };
        revocations.add(&Revocation { of, expires: 3000 }, 1000);
        assert!(revocations.has(&claims));
        claims.issued = Some(101);
        assert!(!revocations.has(&claims));
        claims.issued = None;
        assert!(revocations.has(&claims));
        assert_eq!(revocations.list(1000).len(), 2);
        assert_eq!(revocations.list(2500).len(), 1);
    }

    #[test]
    fn what_has_ended_is_dropped() {
        let revocations = Revocations::default();

        for number in 0..100 {
            revocations.add(&token(&number.to_string(), number + 1), number);
        }

        assert_eq!(revocations.lists.read().tokens.len(), 1);
    }
}
