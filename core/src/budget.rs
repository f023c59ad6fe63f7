//! A budget: what a peer may cost beyond the use that it makes of its connection. It is a token
//! bucket that useful work fills too, so that a client that does something is never near its end.

/// Units that a connection has at first and at most.
const UNITS_MAX: u32 = 2_000;
/// Units that come back in a second.
const UNITS_PER_SECOND: u64 = 200;

/// What is left of a peer's budget.
#[derive(Debug)]
pub(crate) struct Budget {
    left: u32,
    /// Until when time was counted, milliseconds of the caller's clock.
    counted: u64,
}

impl Budget {
    /// A full budget.
    pub(crate) fn new(now: u64) -> Self {
        Self { left: UNITS_MAX, counted: now }
    }

    /// Takes `cost` units; false when the budget is used up.
    #[must_use]
    pub(crate) fn take(&mut self, cost: u32, now: u64) -> bool {
        if self.left < cost {
            let elapsed = now.saturating_sub(self.counted);
            self.counted = now;
            self.refund((elapsed * UNITS_PER_SECOND / 1_000).min(u64::from(UNITS_MAX)) as u32);
        }
        let enough = self.left >= cost;
        self.left = self.left.saturating_sub(cost);
        enough
    }

    /// Gives units back for useful work.
    pub(crate) fn refund(&mut self, units: u32) {
        self.left = self.left.saturating_add(units).min(UNITS_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_uses_it_up_and_time_and_work_fill_it() {
        let mut budget = Budget::new(1_000);
        assert_eq!((0..9_999).take_while(|_| budget.take(1, 1_000)).count(), 2_000);
        assert_eq!((0..9_999).take_while(|_| budget.take(1, 2_000)).count(), 200);
        budget.refund(10);
        assert_eq!((0..9_999).take_while(|_| budget.take(5, 2_000)).count(), 2);
    }

    #[test]
    fn as_much_as_time_gives_back_is_never_too_much() {
        let mut budget = Budget::new(0);
        assert!((0..100_000_u64).all(|count| budget.take(1, count * 5)));
    }
}
