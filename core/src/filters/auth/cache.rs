//! Verified tokens, remembered: a hit costs a hash and a comparison instead of a signature.
//!
//! Only tokens that verified are kept, each under its whole text, so that a forged token that
//! collides with a real one is not taken for it. Two generations bound the memory: when the young
//! one is full it becomes the old one, and what was not used since is dropped at once.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use parking_lot::Mutex;

use crate::identity::Claims;

type Generation = HashMap<Box<str>, Arc<Claims>, RandomState>;

pub(super) struct Cache {
    /// Tokens in one generation.
    half: usize,
    generations: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    young: Generation,
    old: Generation,
}

// === impl Cache ===

impl Cache {
    /// A cache of at most `capacity` tokens, but at least two.
    pub(super) fn new(capacity: usize) -> Self {
        Self { half: (capacity / 2).max(1), generations: Mutex::default() }
    }

    /// The claims of a token that has verified before. A token of the old generation becomes young
    /// again.
    pub(super) fn get(&self, token: &str) -> Option<Arc<Claims>> {
        let mut generations = self.generations.lock();
        if let Some(claims) = generations.young.get(token) {
            return Some(Arc::clone(claims));
        }
        let (text, claims) = generations.old.remove_entry(token)?;
        let dropped = generations.insert(text, Arc::clone(&claims), self.half);
        drop(generations);
        drop(dropped);
        Some(claims)
    }

    /// Remembers a token that has verified.
    pub(super) fn put(&self, token: &str, claims: &Arc<Claims>) {
        let text = token.into();
        let dropped = self.generations.lock().insert(text, Arc::clone(claims), self.half);
        // Freeing thousands of tokens must not hold up those who wait for the lock.
        drop(dropped);
    }

    /// Forgets one token.
    pub(super) fn forget(&self, token: &str) {
        let mut generations = self.generations.lock();
        let found = generations.young.remove(token).or_else(|| generations.old.remove(token));
        drop(generations);
        drop(found);
    }

    /// Forgets all tokens.
    pub(super) fn clear(&self) {
        let dropped = std::mem::take(&mut *self.generations.lock());
        drop(dropped);
    }
}

// === impl Generations ===

impl Generations {
    /// Inserts a token and returns the generation that had to go, for the caller to drop outside
    /// the lock.
    fn insert(&mut self, token: Box<str>, claims: Arc<Claims>, half: usize) -> Option<Generation> {
        let full = self.young.len() >= half && !self.young.contains_key(&token);
        let dropped = full.then(|| {
            let young = std::mem::take(&mut self.young);
            std::mem::replace(&mut self.old, young)
        });
        self.young.insert(token, claims);
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Arc<Claims> {
        Arc::new(Claims::of("alice", None))
    }

    fn len(cache: &Cache) -> usize {
        let generations = cache.generations.lock();
        generations.young.len() + generations.old.len()
    }

    #[test]
    fn the_cache_never_holds_more_than_its_capacity() {
        let cache = Cache::new(10);

        for token in 0..1000 {
            cache.put(&token.to_string(), &claims());
            assert!(len(&cache) <= 10);
        }
    }

    #[test]
    fn a_token_in_use_outlives_the_others() {
        let cache = Cache::new(4);
        cache.put("used", &claims());

        for token in 0..100 {
            cache.put(&token.to_string(), &claims());
            assert!(cache.get("used").is_some(), "after {token}");
        }

        assert!(cache.get("0").is_none());
    }

    #[test]
    fn putting_a_token_twice_drops_no_other() {
        let cache = Cache::new(4);
        cache.put("a", &claims());
        cache.put("b", &claims());
        for _ in 0..10 {
            cache.put("b", &claims());
        }

        assert!(cache.get("a").is_some() && cache.get("b").is_some());
    }

    #[test]
    fn what_is_forgotten_is_gone() {
        let cache = Cache::new(4);
        for token in ["a", "b", "c"] {
            cache.put(token, &claims());
        }

        cache.forget("a");
        assert!(cache.get("a").is_none() && cache.get("c").is_some());
        cache.clear();
        assert_eq!(len(&cache), 0);
    }
}
