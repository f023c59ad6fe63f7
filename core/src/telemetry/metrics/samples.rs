//! What happened in each of the last seconds: differences of the counters, kept in a ring.
//!
//! A page that is opened later still has its charts, and an operator the minutes before the call.

use std::collections::VecDeque;

use serde::Serialize;

use super::{BUCKETS, quantile};

/// Seconds that are kept: a quarter of an hour, in about 210 KB.
const KEPT: usize = 900;

/// The counters at one moment.
#[derive(Clone, Copy, Default)]
pub struct Totals {
    /// Answers.
    pub requests: u64,
    /// Answers of 400 to 499.
    pub client_errors: u64,
    /// Answers of 500 and above.
    pub server_errors: u64,
    /// Bytes of bodies.
    pub response_bytes: u64,
    /// Answers of routes by time.
    pub answered: [u64; BUCKETS.len() + 1],
    /// Refusals of the gateway by time.
    pub refused: [u64; BUCKETS.len() + 1],
    /// Seconds of CPU time.
    pub cpu_seconds: f64,
}

/// The gauges at one moment.
#[derive(Clone, Copy, Default)]
pub struct Gauges {
    /// Requests being answered.
    pub in_flight: i64,
    /// Connections open.
    pub connections_open: i64,
    /// Resident memory.
    pub resident_bytes: u64,
}

/// One step of the ring. Counts of a second fit 32 bits, which halves what is kept.
struct Sample {
    millis: u64,
    seconds: f32,
    requests: u32,
    client_errors: u32,
    server_errors: u32,
    response_bytes: u64,
    answered: [u32; BUCKETS.len() + 1],
    refused: [u32; BUCKETS.len() + 1],
    cpu_seconds: f32,
    gauges: Gauges,
}

/// A step, written.
#[derive(Serialize)]
struct Item {
    timestamp: String,
    seconds: f32,
    requests: u32,
    client_errors: u32,
    server_errors: u32,
    response_bytes: u64,
    p50_seconds: f64,
    p95_seconds: f64,
    p99_seconds: f64,
    refused: u64,
    refused_p50_seconds: f64,
    refused_p99_seconds: f64,
    buckets: [u32; BUCKETS.len() + 1],
    refused_buckets: [u32; BUCKETS.len() + 1],
    cpu_seconds: f32,
    in_flight: i64,
    connections_open: i64,
    resident_bytes: u64,
}

/// The last steps, the oldest first.
#[derive(Default)]
pub struct Samples {
    ring: VecDeque<Sample>,
    before: Totals,
}

impl Samples {
    /// Keeps what was counted since the last step. `millis` since 1970, `seconds` since the last step.
    pub fn push(&mut self, millis: u64, seconds: f32, totals: Totals, gauges: Gauges) {
        let before = std::mem::replace(&mut self.before, totals);
        if self.ring.len() == KEPT {
            self.ring.pop_front();
        }
        self.ring.push_back(Sample {
            millis,
            seconds,
            requests: narrow(totals.requests, before.requests),
            client_errors: narrow(totals.client_errors, before.client_errors),
            server_errors: narrow(totals.server_errors, before.server_errors),
            response_bytes: totals.response_bytes.saturating_sub(before.response_bytes),
            answered: std::array::from_fn(|i| narrow(totals.answered[i], before.answered[i])),
            refused: std::array::from_fn(|i| narrow(totals.refused[i], before.refused[i])),
            cpu_seconds: (totals.cpu_seconds - before.cpu_seconds) as f32,
            gauges,
        });
    }

    /// The steps as JSON.
    pub fn json(&self) -> Vec<u8> {
        let items: Vec<Item> = self.ring.iter().map(Sample::item).collect();
        super::json(&serde_json::json!({ "bounds_seconds": BUCKETS, "items": items }))
    }
}

impl Sample {
    fn item(&self) -> Item {
        let (answered, refused) = (self.answered.map(u64::from), self.refused.map(u64::from));
        Item {
            timestamp: crate::clock::timestamp_of(self.millis),
            seconds: self.seconds,
            requests: self.requests,
            client_errors: self.client_errors,
            server_errors: self.server_errors,
            response_bytes: self.response_bytes,
            p50_seconds: quantile(0.50, &answered),
            p95_seconds: quantile(0.95, &answered),
            p99_seconds: quantile(0.99, &answered),
            refused: refused.iter().sum(),
            refused_p50_seconds: quantile(0.50, &refused),
            refused_p99_seconds: quantile(0.99, &refused),
            buckets: std::array::from_fn(|i| self.answered[i].saturating_add(self.refused[i])),
            refused_buckets: self.refused,
            cpu_seconds: self.cpu_seconds,
            in_flight: self.gauges.in_flight,
            connections_open: self.gauges.connections_open,
            resident_bytes: self.gauges.resident_bytes,
        }
    }
}

fn narrow(now: u64, before: u64) -> u32 {
    now.saturating_sub(before).try_into().unwrap_or(u32::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn totals(requests: u64) -> Totals {
        let mut totals = Totals { requests, ..Totals::default() };
        totals.answered[4] = requests;
        totals
    }

    fn items(samples: &Samples) -> Vec<serde_json::Value> {
        let written: serde_json::Value = serde_json::from_slice(&samples.json()).unwrap();
        written["items"].as_array().unwrap().clone()
    }

    #[test]
    fn a_step_holds_what_came_since_the_one_before() {
        let mut samples = Samples::default();
        samples.push(1_000, 1.0, totals(5), Gauges::default());
        samples.push(2_000, 1.0, totals(12), Gauges { in_flight: 3, ..Gauges::default() });

        let found = items(&samples);
        assert_eq!(found[0]["requests"], 5);
        assert_eq!(found[1]["requests"], 7);
        assert_eq!(found[1]["in_flight"], 3);
        assert_eq!(found[1]["timestamp"], "1970-01-01T00:00:02.000Z");
        let p99 = found[1]["p99_seconds"].as_f64().unwrap();
        assert!((BUCKETS[3]..=BUCKETS[4]).contains(&p99), "{p99}");
    }

    #[test]
    fn the_oldest_step_goes_when_the_ring_is_full() {
        let mut samples = Samples::default();
        for second in 0..KEPT as u64 + 10 {
            samples.push(second * 1000, 1.0, totals(second), Gauges::default());
        }

        let found = items(&samples);
        assert_eq!(found.len(), KEPT);
        assert_eq!(found[0]["timestamp"], "1970-01-01T00:00:10.000Z");
    }
}
