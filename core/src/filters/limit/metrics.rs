//! What a limit did: how many it let pass and refused, and whom it refused most.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::Serialize;

use crate::telemetry::metrics::top::{Caller, Top};

/// Callers remembered of each limit, and listed of them.
const CALLERS_MAX: usize = 64;
const CALLERS_LISTED_MAX: usize = 10;

/// The counters of a limit; limits with the same name and rule count together.
pub struct LimitMetrics {
    /// The policy's name.
    pub name: Box<str>,
    /// The policy in words.
    pub rule: Box<str>,
    passed: AtomicU64,
    refused: AtomicU64,
    callers: Mutex<Top>,
}

/// The counters as they are written.
#[derive(Serialize)]
pub struct LimitSnapshot<'m> {
    /// The policy's name.
    pub name: &'m str,
    /// The policy in words.
    pub rule: &'m str,
    /// Requests that passed.
    pub passed: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Who was refused most.
    pub top: Vec<Caller>,
}

impl LimitMetrics {
    /// Counters at zero.
    pub fn new(name: &str, rule: &str) -> Self {
        Self {
            name: name.into(),
            rule: rule.into(),
            passed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            callers: Mutex::new(Top::new(CALLERS_MAX)),
        }
    }

    /// Counts a request that passed.
    pub fn pass(&self) {
        self.passed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that was refused.
    #[cold]
    pub fn refuse(&self, tenant: Option<&str>, subject: &str) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.callers.lock().count(tenant, subject);
    }

    /// How many passed, and how many were refused.
    pub fn totals(&self) -> (u64, u64) {
        (self.passed.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }

    /// The counters as they stand.
    pub fn read(&self) -> LimitSnapshot<'_> {
        LimitSnapshot {
            name: &self.name,
            rule: &self.rule,
            passed: self.passed.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            top: self.callers.lock().list(CALLERS_LISTED_MAX),
        }
    }
}
