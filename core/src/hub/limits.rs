//! Limits on what clients say: frames and bytes, of each subject and of each tenant.

use std::net::IpAddr;
use std::sync::Arc;

use super::policy::Refused;
use super::rates::RateLimiter;
use crate::filters::limit::{Limit, PlanLimits};
use crate::identity::Claims;
use crate::plan::{self, PlanError};
use crate::reject::RATE_LIMIT_EXCEEDED;

/// What the limit of frames belongs to, where it is not one that routes share.
pub(crate) const MESSAGES_OWNER: &str = "hub";

/// The limits of a hub, compiled.
pub(crate) struct Limits {
    messages: Option<Arc<Limit>>,
    tenant_messages: Option<RateLimiter>,
    bytes: Option<RateLimiter>,
    tenant_bytes: Option<RateLimiter>,
}

impl Limits {
    pub(crate) fn build(hub: &plan::Hub, limits: &PlanLimits) -> Result<Self, PlanError> {
        let limiter = |name: &str, rate: Option<plan::Rate>| {
            let wrong = |why| PlanError::new(format!("hub: {name} {why}"));
            rate.map(RateLimiter::build).transpose().map_err(wrong)
        };
        let messages = hub.messages.as_ref().map(|step| Limit::build(step, MESSAGES_OWNER, limits));
        Ok(Self {
            messages: messages.transpose()?,
            tenant_messages: limiter("tenant_messages", hub.tenant_messages)?,
            bytes: limiter("bytes", hub.bytes)?,
            tenant_bytes: limiter("tenant_bytes", hub.tenant_bytes)?,
        })
    }

    /// Counts a frame of so many bytes.
    pub(crate) fn take(
        &self,
        claims: Option<&Claims>,
        peer: IpAddr,
        bytes: usize,
    ) -> Result<(), Refused> {
        if let Some(limit) = &self.messages {
            limit.count(claims, peer).map_err(|wait| over("too many frames", wait))?;
        }
        let bytes = bytes as u64;
        match claims {
            Some(claims) => {
                let tenant = claims.tenant.as_deref();
                let caller = (tenant, &*claims.subject);
                take(self.bytes.as_ref(), &caller, bytes, "too many bytes")?;
                if tenant.is_some() {
                    let frames = self.tenant_messages.as_ref();
                    take(frames, &tenant, 1, "too many frames of the tenant")?;
                    let all = self.tenant_bytes.as_ref();
                    take(all, &tenant, bytes, "too many bytes of the tenant")?;
                }
                Ok(())
            }
            None => take(self.bytes.as_ref(), &peer, bytes, "too many bytes"),
        }
    }
}

fn take(
    limiter: Option<&RateLimiter>,
    caller: &impl std::hash::Hash,
    cost: u64,
    what: &'static str,
) -> Result<(), Refused> {
    let Some(limiter) = limiter else { return Ok(()) };
    limiter.take(caller, cost).map_err(|wait| over(what, wait))
}

/// A refusal by a rate.
pub(crate) fn over(what: &'static str, wait: u64) -> Refused {
    let sentence = format!("{what}: try again in {wait} s");
    Refused { retry_after: Some(wait), ..Refused::new(&RATE_LIMIT_EXCEEDED, sentence) }
}
