//! `metrics`: the core's counters, written where they are counted.

use std::sync::atomic::Ordering;

use http::StatusCode;
use http::header::{ACCEPT, HeaderValue};

use crate::answer::Answer;
use crate::exchange::Exchange;
use crate::plan::MetricsFormat;

const PROMETHEUS: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Writes the counters in the form of the route.
pub(crate) fn answer(exchange: &Exchange, format: MetricsFormat) -> Answer {
    let gateway = &exchange.worker.gateway;
    let metrics = &gateway.runtime.metrics;
    metrics.log_lost.store(gateway.runtime.log.lost(), Ordering::Relaxed);
    metrics.python_calls.store(gateway.queue.calls(), Ordering::Relaxed);
    let request = &exchange.parts.headers;
    let (content_type, body) = match format {
        MetricsFormat::Prometheus => {
            let open = request
                .get(ACCEPT)
                .and_then(|value| value.to_str().ok())
                .is_some_and(|value| value.contains("application/openmetrics-text"));
            let content_type = if open { OPEN_METRICS } else { PROMETHEUS };
            (content_type, metrics.text(open).into_bytes())
        }
        MetricsFormat::Summary => (JSON, metrics.summary()),
        MetricsFormat::Routes => (JSON, metrics.routes()),
        MetricsFormat::Subjects => (JSON, metrics.subjects()),
        MetricsFormat::Timeseries => (JSON, metrics.timeseries()),
    };
    Answer::full(StatusCode::OK, content_type, body.into())
}
