//! The series by route and method. They outlive programs: a program with the same route continues
//! its series, and the totals of removed routes stay, so that no sum over them falls.

use std::sync::Arc;

use ahash::AHashMap;

use super::Series;

/// Series of removed routes. Beyond, the oldest are added to the series of the route `removed`.
const REMOVED_SERIES_MAX: usize = 1_000;
const REMOVED: &str = "removed";

/// All series.
#[derive(Default)]
pub(super) struct SeriesSet {
    /// In the order in which plans named them.
    all: Vec<Arc<Series>>,
    by_route: AHashMap<Box<str>, Vec<Arc<Series>>>,
}

impl SeriesSet {
    /// Every series.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Series>> {
        self.all.iter()
    }

    /// The series of a route and method, created at zero unless it exists.
    pub(super) fn obtain(&mut self, route: &str, method: &str) -> Arc<Series> {
        let known = self.by_route.get(route).and_then(|of_route| {
            of_route.iter().find(|series| *series.method == *method).map(Arc::clone)
        });
        known.unwrap_or_else(|| {
            let series = Arc::new(Series::new(route, method));
            self.all.push(Arc::clone(&series));
            self.by_route.entry(route.into()).or_default().push(Arc::clone(&series));
            series
        })
    }

    /// Drops the series that no program has and nothing was counted in, and the oldest of those
    /// that no program has beyond their bound.
    pub(super) fn prune(&mut self) {
        // Two references are those of this set: without a further one nothing can be counted.
        let is_removed =
            |series: &Arc<Series>| Arc::strong_count(series) == 2 && *series.route != *REMOVED;
        let removed = self.all.iter().filter(|one| is_removed(one) && one.is_used()).count();
        let mut excess = removed.saturating_sub(REMOVED_SERIES_MAX);
        let sum = (excess > 0).then(|| self.obtain(REMOVED, "other"));
        self.all.retain(|series| {
            if !is_removed(series) {
                return true;
            }
            match &sum {
                _ if !series.is_used() => {}
                Some(sum) if excess > 0 => {
                    sum.absorb(series);
                    excess -= 1;
                }
                _ => return true,
            }
            // What `by_route` alone refers to has been dropped.
            false
        });
        self.by_route.retain(|_, of_route| {
            of_route.retain(|series| Arc::strong_count(series) > 1);
            !of_route.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Outcome;
    use super::*;

    fn count(series: &Series) {
        series.observe((200, Outcome::Answered), Duration::from_millis(1), 7, &[b'a'; 32]);
    }

    fn total(set: &SeriesSet) -> u64 {
        set.iter().flat_map(|series| series.counts()).map(|(_, count)| count).sum()
    }

    #[test]
    fn a_route_that_returns_continues_its_series() {
        let mut set = SeriesSet::default();
        count(&set.obtain("/a", "GET"));

        set.prune();

        count(&set.obtain("/a", "GET"));
        assert_eq!((set.all.len(), total(&set)), (1, 2));
    }

    #[test]
    fn series_of_no_program_without_a_count_are_dropped() {
        let mut set = SeriesSet::default();
        let used = set.obtain("/a", "GET");
        set.obtain("/a", "HEAD");
        set.obtain("/b", "GET");

        set.prune();

        assert_eq!(set.all.len(), 1);
        assert_eq!(set.by_route.len(), 1);
        assert!(Arc::ptr_eq(&used, &set.obtain("/a", "GET")));
    }

    #[test]
    fn removed_series_are_bounded_and_no_count_is_lost() {
        let mut set = SeriesSet::default();
        let used = set.obtain("/used", "GET");
        for number in 0..3 * REMOVED_SERIES_MAX {
            count(&set.obtain(&format!("/{number}"), "GET"));
            count(&used);
            set.prune();
        }

        assert_eq!(set.all.len(), REMOVED_SERIES_MAX + 2);
        assert_eq!(set.by_route.len(), REMOVED_SERIES_MAX + 2);
        assert_eq!(total(&set), 6 * REMOVED_SERIES_MAX as u64);
        assert!(set.by_route.contains_key("/2999") && !set.by_route.contains_key("/0"));
    }
}
