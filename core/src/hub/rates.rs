//! Rates of the hub: GCRA over amounts, messages or bytes, with one number for each caller.

use std::time::Instant;

use ahash::{AHashMap, RandomState};
use parking_lot::Mutex;

use crate::plan::Rate;

/// Callers that one rate remembers.
const CAPACITY: usize = 100_000;
const SHARDS: usize = 8;

/// How much callers have taken.
pub(crate) struct RateLimiter {
    /// Nanoseconds in which `amount` is allowed again.
    period: u128,
    amount: u128,
    /// Nanoseconds that a caller may be ahead.
    tolerance: u64,
    began: Instant,
    hasher: RandomState,
    /// By caller: when the allowance is full again, in nanoseconds after the beginning.
    shards: Box<[Mutex<AHashMap<u64, u64>>]>,
}

impl RateLimiter {
    /// A limiter of a rate; the error says what is wrong with it.
    pub(crate) fn build(rate: Rate) -> Result<Self, String> {
        if rate.amount == 0 || rate.period_ms == 0 || rate.burst == 0 {
            return Err("has a rate without an amount, a period or a burst".into());
        }
        let (period, amount) = (u128::from(rate.period_ms) * 1_000_000, u128::from(rate.amount));
        let tolerance = u64::try_from(u128::from(rate.burst) * period / amount)
            .map_err(|_| "has a rate that is too slow to be counted".to_owned())?;
        Ok(Self {
            period,
            amount,
            tolerance,
            began: Instant::now(),
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        })
    }

    /// Takes `cost` for a caller; the error is how many seconds it has to wait, at least 1. What is more than the burst
    /// passes where nothing was taken before, and is paid for afterwards.
    pub(crate) fn take(&self, caller: &impl std::hash::Hash, cost: u64) -> Result<(), u64> {
        self.take_at(caller, cost, self.began.elapsed().as_nanos() as u64)
    }

    fn take_at(&self, caller: &impl std::hash::Hash, cost: u64, now: u64) -> Result<(), u64> {
        let key = self.hasher.hash_one(caller);
        let cost = u64::try_from(u128::from(cost) * self.period / self.amount).unwrap_or(u64::MAX);
        let mut shard = self.shards[key as usize % SHARDS].lock();
        if shard.len() >= CAPACITY / SHARDS && !shard.contains_key(&key) {
            shard.retain(|_, full| *full > now);
            if shard.len() >= CAPACITY / SHARDS {
                shard.clear(); // everybody is at work: better a moment too generous than more memory
            }
        }
        let full = shard.entry(key).or_insert(now);
        let ahead = full.saturating_sub(now);
        let then = ahead.saturating_add(cost);
        if then > self.tolerance && ahead > 0 {
            return Err((then - self.tolerance.min(then)).div_ceil(1_000_000_000).max(1));
        }
        *full = now.saturating_add(then);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn limiter(amount: u64, burst: u64) -> RateLimiter {
        RateLimiter::build(Rate { amount, period_ms: 1000, burst }).unwrap()
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let limiter = limiter(10, 5);

        let passed = (0..20).filter(|_| limiter.take_at(&"a", 1, 0).is_ok()).count();

        assert_eq!(passed, 5);
        assert_eq!(limiter.take_at(&"b", 1, 0), Ok(()));
        assert_eq!(limiter.take_at(&"a", 1, SECOND / 10), Ok(()));
        assert_eq!(limiter.take_at(&"a", 1, SECOND / 10), Err(1));
    }

    #[test]
    fn more_than_the_burst_passes_once_and_is_paid_for() {
        let limiter = limiter(1000, 1000);

        assert_eq!(limiter.take_at(&"a", 5000, 0), Ok(()));

        assert_eq!(limiter.take_at(&"a", 1, 0), Err(5));
        assert_eq!(limiter.take_at(&"a", 1, 4 * SECOND + SECOND / 2), Ok(()));
    }
}
