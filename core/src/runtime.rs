//! The runtime: the state that outlives programs. A new program continues it.
//!
//! Counters continue by route and method, limits by name and rule, verified tokens while the keys
//! are the same, revocations and the hub always. `docs/decisions/` says what a swap may change.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock};

use ahash::RandomState;

use crate::filters::limit::LimitRegistry;
use crate::hub::Hub;
use crate::identity::Revocations;
use crate::plan::{self, Level, Plan, PlanError, Secrets};
use crate::telemetry::log::Log;
use crate::telemetry::metrics::Metrics;

/// The state that outlives programs.
pub struct Runtime {
    /// Counts every answer.
    pub metrics: Metrics,
    /// Writes a line for every answer.
    pub log: Log,
    /// Tokens that are refused before their time.
    pub revocations: Arc<Revocations>,
    /// What callers have used of their limits.
    pub limits: Arc<LimitRegistry>,
    hub: OnceLock<RunningHub>,
    /// Keyed at random: a fingerprint says nothing of the secrets in it.
    hashers: [RandomState; 2],
}

/// The hub with what it was configured with.
struct RunningHub {
    hub: Arc<Hub>,
    config: HubConfig,
}

/// What a hub is configured with.
pub(crate) struct HubConfig {
    plan: serde_json::Value,
    secret: Fingerprint,
}

/// Identifies a value without storing it.
pub(crate) type Fingerprint = [u64; 2];

impl Runtime {
    /// The state that a gateway with this plan begins with.
    pub fn new(plan: &Plan) -> Self {
        let limits = Arc::new(LimitRegistry::default());
        Self {
            metrics: Metrics::new(Arc::clone(&limits)),
            log: Log::to_stderr(log_level(plan)),
            revocations: Arc::new(Revocations::new(leeway(plan))),
            limits,
            hub: OnceLock::new(),
            hashers: [RandomState::new(), RandomState::new()],
        }
    }

    /// The hub, where the first plan has one.
    pub fn hub(&self) -> Option<&Arc<Hub>> {
        self.hub.get().map(|running| &running.hub)
    }

    pub(crate) fn set_hub(&self, hub: &Arc<Hub>, config: HubConfig) {
        let _ = self.metrics.realtime.set(Arc::clone(&hub.figures));
        let _ = self.hub.set(RunningHub { hub: Arc::clone(hub), config });
    }

    /// What the hub of a plan is configured with.
    pub(crate) fn hub_config(&self, hub: &plan::Hub, secrets: &Secrets) -> HubConfig {
        let secret = hub.redis.as_ref().and_then(|redis| secrets.get(&redis.secret));
        let plan = serde_json::to_value(hub).unwrap_or_default();
        HubConfig { plan, secret: self.fingerprint(|state| secret.hash(state)) }
    }

    /// The running hub for a further plan. Its sockets stay open, so that its configuration must
    /// be that of the first plan.
    pub(crate) fn continue_hub(
        &self,
        plan: Option<&plan::Hub>,
        secrets: &Secrets,
    ) -> Result<Option<Arc<Hub>>, PlanError> {
        let refuse = |what: &str| {
            Err(PlanError::new(format!(
                "hub: {what} while the gateway runs, for its sockets stay open; restart the gateway"
            )))
        };
        match (self.hub.get(), plan) {
            (None, None) => Ok(None),
            (None, Some(_)) => refuse("it cannot be added"),
            (Some(_), None) => refuse("it cannot be removed"),
            (Some(running), Some(plan)) => {
                let config = self.hub_config(plan, secrets);
                match running.config.difference(&config) {
                    Some(name) => refuse(&format!("`{name}` cannot change")),
                    None => Ok(Some(Arc::clone(&running.hub))),
                }
            }
        }
    }

    /// Identifies how a plan has tokens verified.
    pub(crate) fn tokens_fingerprint(
        &self,
        tokens: &plan::Tokens,
        secrets: &Secrets,
    ) -> Fingerprint {
        let described = serde_json::to_vec(tokens).unwrap_or_default();
        self.fingerprint(|state| {
            described.hash(state);
            for key in &tokens.keys {
                secrets.get(&key.secret).hash(state);
            }
        })
    }

    fn fingerprint(&self, write: impl Fn(&mut ahash::AHasher)) -> Fingerprint {
        self.hashers.each_ref().map(|hasher| {
            let mut state = hasher.build_hasher();
            write(&mut state);
            state.finish()
        })
    }
}

impl HubConfig {
    /// The first part that differs.
    fn difference(&self, other: &Self) -> Option<String> {
        let (Some(own), Some(new)) = (self.plan.as_object(), other.plan.as_object()) else {
            return Some("hub".into());
        };
        let name = own.iter().find(|(name, value)| new.get(*name) != Some(*value));
        name.map(|(name, _)| name.clone())
            .or_else(|| (self.secret != other.secret).then(|| "redis".into()))
    }
}

/// The level of the plan's log. Faults are logged also where requests are not.
pub(crate) fn log_level(plan: &Plan) -> Level {
    plan.layers.log.as_ref().map_or(Level::Error, |log| log.level)
}

/// Seconds of clock difference that the plan forgives to tokens.
pub(crate) fn leeway(plan: &Plan) -> u64 {
    plan.tokens.as_ref().map_or(0, |tokens| tokens.leeway)
}
