//! The states of limits, which outlive programs: a plan continues those that it shares with the
//! plan before, by name, rule and owner. Those that it does not have are freed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use ahash::AHashMap;
use parking_lot::Mutex;

use super::metrics::LimitMetrics;
use super::{Limit, LimitState};
use crate::plan::{self, LimitBy, PlanError};

/// Names of limits whose totals are retained after the limits were removed.
const REMOVED_NAMES_MAX: usize = 1_000;

/// What a limit belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    /// Every route that has a limit of the name.
    Shared,
    /// All requests.
    Address,
    /// One route: its methods and path.
    Route(Box<str>),
}

/// What makes limits of two plans the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) owner: Owner,
    pub(super) name: Box<str>,
    /// Requests, milliseconds, burst.
    pub(super) rule: (u32, u64, u32),
    pub(super) by: Option<LimitBy>,
    /// Tells the same limit of a route from its repetitions in the same chain.
    pub(super) repetition: usize,
}

/// The limits of the program in use.
#[derive(Default)]
pub struct LimitRegistry {
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    states: AHashMap<Key, Arc<LimitState>>,
    metrics: Vec<Arc<LimitMetrics>>,
    /// Of removed limits, while an old program may still count.
    removed: Vec<Arc<LimitMetrics>>,
    /// Passed and refused by name, of limits that no program has.
    totals: AHashMap<Box<str>, (u64, u64)>,
}

/// The limits of a plan that is being compiled. Nothing is shared with other programs before
/// [`LimitRegistry::adopt`], except what the registry has already.
#[derive(Default)]
pub struct PlanLimits {
    registry: Arc<LimitRegistry>,
    states: RefCell<AHashMap<Key, Arc<LimitState>>>,
    metrics: RefCell<Vec<Arc<LimitMetrics>>>,
    shared: RefCell<AHashMap<String, (plan::Step, Arc<Limit>)>>,
}

// === impl LimitRegistry ===

impl LimitRegistry {
    /// Takes over the limits of a program that is used from now on. The states of those that it
    /// does not have are cleared: no request will ask them any more. Their totals are retained.
    pub fn adopt(&self, limits: PlanLimits) {
        let mut current = self.current.lock();
        let states = std::mem::replace(&mut current.states, limits.states.into_inner());
        let Current { metrics, removed, .. } = &mut *current;
        let before = std::mem::replace(metrics, limits.metrics.into_inner());
        removed.extend(before);
        removed.retain(|one| !metrics.iter().any(|used| Arc::ptr_eq(used, one)));
        current.fold_removed();
        let removed = states.into_iter().filter(|(key, _)| !current.states.contains_key(key));
        let removed: Vec<_> = removed.map(|(_, state)| state).collect();
        drop(current);
        for state in removed {
            state.clear();
        }
    }

    /// The counters of the program in use.
    pub fn metrics(&self) -> Vec<Arc<LimitMetrics>> {
        self.current.lock().metrics.clone()
    }

    /// Passed and refused by name, with those of removed limits: a name's total never falls while
    /// the name is in use, also where its rule changes.
    pub fn totals(&self) -> BTreeMap<Box<str>, (u64, u64)> {
        let current = self.current.lock();
        let mut all = BTreeMap::<Box<str>, (u64, u64)>::new();
        let own = current.metrics.iter().chain(&current.removed);
        let counted = own.map(|one| (&one.name, one.totals()));
        let folded = current.totals.iter().map(|(name, totals)| (name, *totals));
        for (name, (passed, refused)) in counted.chain(folded) {
            let sums = all.entry(name.clone()).or_default();
            *sums = (sums.0 + passed, sums.1 + refused);
        }
        all
    }

    /// How many limits have a state.
    pub fn len(&self) -> usize {
        self.current.lock().states.len()
    }

    /// Whether no limit has a state.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Current {
    /// Adds up the counters that no program refers to any more.
    fn fold_removed(&mut self) {
        let totals = &mut self.totals;
        self.removed.retain(|one| {
            if Arc::strong_count(one) > 1 {
                return true;
            }
            let (passed, refused) = one.totals();
            if totals.len() < REMOVED_NAMES_MAX || totals.contains_key(&one.name) {
                let sums = totals.entry(one.name.clone()).or_default();
                *sums = (sums.0 + passed, sums.1 + refused);
            }
            false
        });
    }
}

// === impl PlanLimits ===

impl PlanLimits {
    /// No limits yet; those that the registry has are continued.
    pub fn new(registry: &Arc<LimitRegistry>) -> Self {
        Self { registry: Arc::clone(registry), ..Self::default() }
    }

    /// The state of a limit: that of the program in use, or a new one.
    pub(super) fn state(
        &self,
        mut key: Key,
        create: impl FnOnce() -> Result<LimitState, PlanError>,
    ) -> Result<Arc<LimitState>, PlanError> {
        let mut states = self.states.borrow_mut();
        while states.contains_key(&key) {
            key.repetition += 1;
        }
        let known = self.registry.current.lock().states.get(&key).cloned();
        let state = match known {
            Some(state) => {
                self.count(&state.metrics);
                state
            }
            None => Arc::new(create()?),
        };
        states.insert(key, Arc::clone(&state));
        Ok(state)
    }

    /// The counters of the limits with this name and rule, which count together.
    pub(super) fn metrics(&self, name: &str, rule: &str) -> Arc<LimitMetrics> {
        let same = |known: &&Arc<LimitMetrics>| *known.name == *name && *known.rule == *rule;
        if let Some(known) = self.metrics.borrow().iter().find(same) {
            return Arc::clone(known);
        }
        let known = {
            let current = self.registry.current.lock();
            current.metrics.iter().chain(&current.removed).find(same).cloned()
        };
        let found = known.unwrap_or_else(|| Arc::new(LimitMetrics::new(name, rule)));
        self.count(&found);
        found
    }

    fn count(&self, metrics: &Arc<LimitMetrics>) {
        let mut all = self.metrics.borrow_mut();
        if !all.iter().any(|known| Arc::ptr_eq(known, metrics)) {
            all.push(Arc::clone(metrics));
        }
    }

    /// The limit that all routes share by this name.
    pub(super) fn shared(
        &self,
        name: &str,
        step: &plan::Step,
        build: impl FnOnce() -> Result<Arc<Limit>, PlanError>,
    ) -> Result<Arc<Limit>, PlanError> {
        if let Some((first, limit)) = self.shared.borrow().get(name) {
            if first != step {
                return Err(PlanError::new(format!("there are two different limits {name:?}")));
            }
            return Ok(Arc::clone(limit));
        }
        let limit = build()?;
        self.shared.borrow_mut().insert(name.to_owned(), (step.clone(), Arc::clone(&limit)));
        Ok(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    #[test]
    fn limits_with_one_name_and_several_rules_are_one_sample() {
        let registry = Arc::new(LimitRegistry::default());
        let limits = PlanLimits::new(&registry);
        let counters = ["1 per 1 s", "5 per 1 s"].map(|rule| limits.metrics("address", rule));
        counters[0].pass();
        counters[1].pass();
        counters[1].refuse(None, "alice");
        registry.adopt(limits);

        let text = Metrics::new(registry).text(false);

        let samples: Vec<_> =
            text.lines().filter(|line| line.starts_with("nexus_limit_requests_total{")).collect();
        assert_eq!(
            samples,
            [
                "nexus_limit_requests_total{limit=\"address\",outcome=\"passed\"} 2",
                "nexus_limit_requests_total{limit=\"address\",outcome=\"refused\"} 1",
            ]
        );
    }

    #[test]
    fn a_name_keeps_its_total_whatever_becomes_of_its_rule() {
        let registry = Arc::new(LimitRegistry::default());
        let mut last = None;
        for number in 0..100 {
            let limits = PlanLimits::new(&registry);
            let counters = limits.metrics("few", &format!("{} per 1 s", number % 7));
            counters.pass();
            registry.adopt(limits);
            // An old program may count for a while.
            if let Some(old) = last.replace(counters) {
                LimitMetrics::pass(&old);
            }
        }

        assert_eq!(registry.totals().into_iter().collect::<Vec<_>>(), [("few".into(), (199, 0))]);
        assert!(registry.current.lock().removed.len() < 3);
        assert_eq!(registry.metrics().len(), 1);
    }
}
