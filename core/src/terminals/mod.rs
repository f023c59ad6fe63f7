//! Terminals: what answers a request that passed its filters.

pub mod constant;
pub mod echo;
pub mod files;
pub mod hub;
pub mod metrics;

use std::sync::Arc;

use crate::hub::Hub;
use crate::plan::PlanError;
use crate::plan::{self, Bounds};
use constant::Constant;
use echo::Echo;
use files::Files;
use hub::HubTerminal;

/// A terminal, compiled.
pub enum Terminal {
    /// A handler in Python.
    Python {
        /// Its index.
        handler: u32,
    },
    /// The same answer every time.
    Constant(Constant),
    /// Files of a folder.
    Files(Files),
    /// The core's counters.
    Metrics(plan::MetricsFormat),
    /// A WebSocket that sends back what it gets.
    Echo(Echo),
    /// The hub.
    Hub(HubTerminal),
}

impl Terminal {
    /// Compiles a terminal.
    pub fn build(
        route: &plan::Route,
        bounds: &Bounds,
        hub: Option<&Arc<Hub>>,
    ) -> Result<Self, PlanError> {
        let terminal = &route.terminal;
        Ok(match terminal {
            plan::Terminal::Python { handler, .. } => Self::Python { handler: *handler },
            plan::Terminal::Answer { status, content_type, body, headers } => {
                Self::Constant(Constant::build(*status, content_type, body, headers)?)
            }
            plan::Terminal::Files { .. } => Self::Files(Files::build(terminal)?),
            plan::Terminal::Metrics { format } => Self::Metrics(*format),
            plan::Terminal::Echo { max_bytes } => {
                Self::Echo(Echo::build(*max_bytes, bounds.idle_timeout_ms))
            }
            plan::Terminal::Hub { operation } => {
                Self::Hub(HubTerminal::build(*operation, &route.steps, hub)?)
            }
        })
    }
}
