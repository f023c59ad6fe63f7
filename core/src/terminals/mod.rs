//! Terminals: what answers a request that passed its filters.
//!
//! Each is a variant of [`Terminal`], so that the one of a route is called without a pointer to it,
//! and those that answer at once stay plain functions. A terminal reads the exchange, takes its body
//! where it streams it ([`Terminal::streams_body`]), and returns an answer, whose body may be a
//! stream.

pub mod constant;
pub mod echo;
pub mod files;
pub mod hub;
pub mod metrics;
mod python;

use std::sync::Arc;

use crate::exchange::Exchange;
use crate::exchange::around::Outcome;
use crate::hub::Hub;
use crate::plan::PlanError;
use crate::plan::{self, Bounds};
use constant::Constant;
use echo::Echo;
use files::Files;
use hub::HubTerminal;

/// A terminal, compiled.
pub enum Terminal {
    /// A handler in Python, by its index.
    Python(u32),
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
    /// A terminal of the core's own tests.
    #[cfg(test)]
    Test(Box<dyn crate::exchange::tests::TestTerminal>),
}

impl Terminal {
    /// Answers a request.
    pub(crate) async fn answer(&self, exchange: &mut Exchange) -> Outcome {
        match self {
            Self::Python(handler) => python::answer(*handler, exchange).await,
            Self::Constant(constant) => Ok(constant.answer()),
            Self::Files(files) => files.answer(exchange),
            Self::Metrics(format) => Ok(metrics::answer(exchange, *format)),
            Self::Echo(echo) => echo.answer(&exchange.parts),
            Self::Hub(hub) => hub.answer(exchange).await,
            #[cfg(test)]
            Self::Test(terminal) => terminal.answer(exchange).await,
        }
    }

    /// Whether it takes the request's body as it comes. For the others a body is read, or skipped,
    /// before they answer.
    pub(crate) fn streams_body(&self) -> bool {
        match self {
            #[cfg(test)]
            Self::Test(_) => true,
            _ => false,
        }
    }

    /// Whether it may wait for longer than the request's deadline. Calls to Python have the deadline
    /// in their own table.
    pub(crate) fn waits(&self) -> bool {
        match self {
            Self::Hub(_) => true,
            #[cfg(test)]
            Self::Test(_) => true,
            _ => false,
        }
    }

    /// Compiles a terminal.
    pub fn build(
        route: &plan::Route,
        bounds: &Bounds,
        hub: Option<&Arc<Hub>>,
    ) -> Result<Self, PlanError> {
        let terminal = &route.terminal;
        Ok(match terminal {
            plan::Terminal::Python { handler, .. } => Self::Python(*handler),
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
