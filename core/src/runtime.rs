//! The runtime: the state that outlives programs. A new program continues its counters and its log.

use crate::plan::{Level, Plan};
use crate::telemetry::log::Log;
use crate::telemetry::metrics::Metrics;

/// The state that outlives programs.
pub struct Runtime {
    /// Counts every answer.
    pub metrics: Metrics,
    /// Writes a line for every answer.
    pub log: Log,
}

impl Runtime {
    /// The state that a gateway with this plan begins with.
    pub fn new(plan: &Plan) -> Self {
        Self { metrics: Metrics::new(), log: Log::to_stderr(level(plan)) }
    }
}

/// The level of the plan's log. Faults are logged also where requests are not.
fn level(plan: &Plan) -> Level {
    plan.layers.log.as_ref().map_or(Level::Error, |log| log.level)
}
