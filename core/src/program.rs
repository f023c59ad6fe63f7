//! The program: a plan compiled, which is all that requests are answered from.

use std::collections::HashMap;
use std::sync::Arc;

use crate::filters::auth::Verifier;
use crate::plan::Bounds;

/// Why a plan cannot be executed: a sentence that names the part of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanError(String);

impl PlanError {
    /// An error with its sentence.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl std::fmt::Display for PlanError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PlanError {}

/// The secrets that travel beside a plan, by the names that it uses.
pub type Secrets = HashMap<String, Vec<u8>>;

/// What the filters of a route are built with.
pub struct Build<'p> {
    /// What verifies tokens; `None` where the plan has no keys.
    pub verifier: Option<&'p Arc<Verifier>>,
    /// What a request may be at most.
    pub bounds: &'p Bounds,
}
