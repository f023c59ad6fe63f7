//! `hub`: a socket of the hub, a stream of its events, or one of its controls.

use crate::answer::Answer;
use crate::plan::HubOperation;
use crate::reject::{Rejection, SERVICE_UNAVAILABLE};

/// The terminal, compiled.
pub struct HubTerminal {
    operation: HubOperation,
}

impl HubTerminal {
    /// Compiles the terminal.
    pub fn build(operation: HubOperation) -> Self {
        Self { operation }
    }

    /// Answers.
    pub fn answer(&self) -> Result<Answer, Box<Rejection>> {
        let sentence = format!("the hub does not do {:?} yet", self.operation);
        Err(Rejection::because(&SERVICE_UNAVAILABLE, sentence))
    }
}
