//! Who asks most, in bounded memory: the space-saving counters of Metwally, Agrawal and El Abbadi (2005).
//!
//! Of `n` requests, everybody who made more than `n / capacity` is in the list, and no count is too high by more than
//! its `over`. Names come from peers: they cost at most `capacity` places, whatever is sent.

use std::collections::HashMap;

use ahash::RandomState;
use serde::Serialize;

/// Bytes of a name that are kept, so that a long one cannot take the memory that their number may not.
const NAME_BYTES: usize = 256;

/// The counters of the callers that were seen most.
#[derive(Default)]
pub struct Top {
    capacity: usize,
    hasher: RandomState,
    callers: Vec<Caller>,
    places: HashMap<u64, usize, RandomState>,
}

/// A caller and what was counted of them.
#[derive(Clone, Serialize)]
pub struct Caller {
    #[serde(skip)]
    key: u64,
    /// The token's subject, or an address where there is no token.
    pub subject: Box<str>,
    /// The token's tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Box<str>>,
    /// How often they were counted, at most.
    pub count: u64,
    /// How much of that may be somebody else's.
    pub over: u64,
}

impl Top {
    /// Counters for at most this many callers, at least one.
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), ..Self::default() }
    }

    /// Counts a caller once.
    pub fn count(&mut self, tenant: Option<&str>, subject: &str) {
        // Keyed randomly at start: nobody can choose a name that falls on another's.
        let key = self.hasher.hash_one((tenant, subject));
        if let Some(caller) = self.places.get(&key).and_then(|place| self.callers.get_mut(*place)) {
            caller.count += 1;
            return;
        }
        let caller =
            Caller { key, subject: cut(subject), tenant: tenant.map(cut), count: 1, over: 0 };
        if self.callers.len() < self.capacity {
            self.places.insert(key, self.callers.len());
            self.callers.push(caller);
        } else {
            self.replace_least(caller);
        }
    }

    /// A newcomer takes the place of the least, and its count as what may be too much.
    fn replace_least(&mut self, mut caller: Caller) {
        let least = self.callers.iter_mut().enumerate().min_by_key(|(_, caller)| caller.count);
        if let Some((place, least)) = least {
            self.places.remove(&least.key);
            self.places.insert(caller.key, place);
            caller.over = least.count;
            caller.count = least.count + 1;
            *least = caller;
        }
    }

    /// The `most` callers that were counted most, the first of them first.
    pub fn list(&self, most: usize) -> Vec<Caller> {
        let mut sorted: Vec<&Caller> = self.callers.iter().collect();
        sorted.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.subject.cmp(&b.subject)));
        sorted.into_iter().take(most).cloned().collect()
    }
}

fn cut(name: &str) -> Box<str> {
    let end = (0..=name.len().min(NAME_BYTES)).rev().find(|end| name.is_char_boundary(*end));
    name[..end.unwrap_or_default()].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_exact_while_there_is_room() {
        let mut top = Top::new(4);
        for name in ["a", "b", "a", "c", "a", "b"] {
            top.count(None, name);
        }

        let found: Vec<_> =
            top.list(2).into_iter().map(|c| (c.subject.into_string(), c.count, c.over)).collect();
        assert_eq!(found, [("a".to_owned(), 3, 0), ("b".to_owned(), 2, 0)]);
    }

    #[test]
    fn whoever_asks_more_than_their_share_is_found_among_any_number_of_names() {
        let mut top = Top::new(16);
        for round in 0..2000 {
            top.count(Some("acme"), "heavy");
            for other in 0..4 {
                top.count(None, &format!("{round}-{other}"));
            }
        }

        let [first] = &top.list(1)[..] else { panic!("nobody was found") };
        assert_eq!((&*first.subject, first.tenant.as_deref()), ("heavy", Some("acme")));
        assert!(first.count >= 2000 && first.count - first.over <= 2000, "{}", first.count);
        assert_eq!((top.callers.len(), top.places.len()), (16, 16));
    }

    #[test]
    fn the_same_subject_of_two_tenants_is_two_callers() {
        let mut top = Top::new(4);
        top.count(Some("a"), "alice");
        top.count(Some("b"), "alice");

        assert_eq!(top.list(9).len(), 2);
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let mut top = Top::new(1);
        top.count(None, &"ä".repeat(1000));

        assert!(top.list(1)[0].subject.len() <= NAME_BYTES);
    }
}
