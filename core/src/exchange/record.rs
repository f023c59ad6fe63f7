//! What is recorded of an exchange: its metrics, its line in the log.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Exchange;
use crate::plan;
use crate::telemetry::log::{self, Access};

impl Exchange {
    pub(super) fn log_panic(&self, message: &str) {
        let fields = serde_json::json!({
            "message": "panic", "error": message, "path": self.parts.uri.path(),
            "request_id": self.trace.request_id,
        });
        self.worker.gateway.runtime.log.write(plan::Level::Error, &fields);
    }

    fn log(&self, elapsed: Duration) {
        let ids = (
            String::from_utf8_lossy(&self.trace.trace_id),
            String::from_utf8_lossy(&self.trace.span_id),
        );
        let endpoint = self.endpoint.map(|place| &*self.program.router.endpoints()[place].template);
        let access = Access {
            message: "request",
            method: self.parts.method.as_str(),
            path: self.parts.uri.path(),
            route: endpoint.unwrap_or("unmatched"),
            status: self.status,
            code: self.refusal.as_ref().map(|(code, _)| *code),
            error: self.refusal.as_ref().map(|(_, message)| message.as_str()),
            duration_ms: (elapsed.as_secs_f64() * 1e6).round() / 1e3,
            bytes: self.bytes,
            peer: &self.peer.to_string(),
            subject: self.claims.as_ref().map(|claims| &*claims.subject),
            request_id: &self.trace.request_id,
            trace_id: &ids.0,
            span_id: &ids.1,
        };
        self.worker.gateway.runtime.log.write(log::level_of(self.status), &access);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let runtime = &self.worker.gateway.runtime;
        let elapsed = self.started.elapsed();
        let metrics = &runtime.metrics;
        metrics.in_flight.fetch_sub(1, Ordering::Relaxed);
        let series = self.program.series(self.endpoint, &self.parts.method);
        let answer = (self.status, self.answered_by);
        series.observe(answer, elapsed, self.bytes, &self.trace.trace_id);
        if let Some(claims) = &self.claims {
            metrics.call(claims.tenant.as_deref(), &claims.subject);
        }
        if runtime.log.takes(log::level_of(self.status)) {
            self.log(elapsed);
        }
    }
}
