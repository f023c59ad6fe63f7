//! What the filters of a route are built with.

use std::sync::Arc;

use super::auth::Verifier;
use super::limit::PlanLimits;
use crate::plan::Bounds;

/// What the filters of a route are built with.
pub struct BuildContext<'p> {
    /// What verifies tokens; `None` where the plan has no keys.
    pub verifier: Option<&'p Arc<Verifier>>,
    /// What a request may be at most.
    pub bounds: &'p Bounds,
    /// The limits of the plan.
    pub limits: &'p PlanLimits,
    /// The methods and path of the route.
    pub route: &'p str,
    /// Whether the route is a socket of the hub.
    pub socket: bool,
}

impl BuildContext<'_> {
    /// What filters inside others are built with: there a token must come with the request itself.
    #[must_use]
    pub fn inside(&self) -> Self {
        Self { socket: false, ..*self }
    }
}
