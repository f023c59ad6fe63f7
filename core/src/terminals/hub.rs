//! `hub`: a socket of the hub, a stream of a channel's events, or one of the controls.

use std::sync::Arc;

use http::StatusCode;
use http::header::{HeaderName, HeaderValue};

use crate::answer::Answer;
use crate::exchange::Exchange;
use crate::exchange::around::Outcome;
use crate::hub::control::{Asker, words};
use crate::hub::policy::wrong_name;
use crate::hub::socket::{Asking, Demands, reject};
use crate::hub::{Hub, events, socket};
use crate::plan::PlanError;
use crate::plan::{HubOperation, Step};
use crate::reject::{Detail, Rejection};
use crate::value::Value;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: (HeaderName, HeaderValue) =
    (http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// The terminal, compiled.
pub struct HubTerminal {
    hub: Arc<Hub>,
    operation: HubOperation,
    demands: Arc<Demands>,
}

impl HubTerminal {
    /// Compiles the terminal; `steps` are those of its route.
    pub fn build(
        operation: HubOperation,
        steps: &[Step],
        hub: Option<&Arc<Hub>>,
    ) -> Result<Self, PlanError> {
        let hub = hub.ok_or_else(|| PlanError::new("`hub` needs `hub` in the plan"))?;
        let mut demands = Demands::default();
        for step in steps {
            if let Step::Auth { scopes, .. } = step {
                demands.required = true;
                demands.scopes.extend(scopes.iter().map(|scope| scope.as_str().into()));
            }
        }
        Ok(Self { hub: Arc::clone(hub), operation, demands: Arc::new(demands) })
    }

    /// Answers a request.
    pub(crate) async fn answer(&self, exchange: &mut Exchange) -> Outcome {
        exchange.endless = true;
        let claims = exchange.claims.clone();
        let (parts, trace, values) = (&exchange.parts, &exchange.trace, &exchange.values[..]);
        let (gateway, peer) = (&exchange.worker.gateway, exchange.peer);
        let channel = values.iter().find_map(|value| match value {
            Value::Text(text) => Some(&**text),
            _ => None,
        });
        if let Some(message) = channel.and_then(wrong_name) {
            return Err(Rejection::value(Detail {
                location: "path".into(),
                field: "channel".into(),
                kind: "str".into(),
                limit: None,
                message,
            }));
        }
        let asking = |claims| Asking {
            hub: &self.hub,
            gateway,
            parts,
            peer,
            trace,
            claims,
            channel,
            demands: &self.demands,
        };
        match self.operation {
            HubOperation::Socket => return socket::open(asking(claims)),
            HubOperation::Events => return events::open(asking(claims)).await,
            _ => {}
        }
        let asker = Asker::Caller(claims.as_deref(), peer);
        let answer = self.control(channel, parts.uri.query(), values, asker).await?;
        let mut answer = Answer::full(StatusCode::OK, JSON, answer.into());
        answer.headers.push(NO_STORE);
        Ok(answer)
    }

    async fn control(
        &self,
        channel: Option<&str>,
        query: Option<&str>,
        values: &[Value],
        asker: Asker<'_>,
    ) -> Result<Vec<u8>, Box<Rejection>> {
        let body = values.iter().find_map(|value| match value {
            Value::Body(bytes) => Some(&bytes[..]),
            _ => None,
        });
        let body = body.unwrap_or_default();
        if self.operation == HubOperation::Publish {
            return self.hub.post(channel.unwrap_or_default(), body, asker).await.map_err(reject);
        }
        let words = words(self.operation, channel, query, body)?;
        self.hub.control(self.operation, &words, asker).await.map_err(reject)
    }
}
