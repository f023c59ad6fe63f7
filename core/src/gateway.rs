//! The gateway: a program, the runtime that outlives it, and the way to the handlers.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::handler::{Handler, Queue};
use crate::plan::{Plan, PlanError, Secrets};
use crate::program::Program;
use crate::runtime::Runtime;
use crate::server::Resolved;

/// A program, the runtime that outlives it, and the way to its handlers.
pub struct Gateway {
    program: ArcSwap<Program>,
    /// The state that outlives programs.
    pub runtime: Runtime,
    /// Calls on their way to handlers.
    pub queue: Arc<Queue<Resolved>>,
}

impl Gateway {
    /// Compiles a plan, and begins with it.
    pub fn build(
        plan: &Plan,
        secrets: &Secrets,
        handler: Arc<dyn Handler>,
    ) -> Result<Self, PlanError> {
        let runtime = Runtime::new(plan);
        let program = Program::build(plan, secrets, &runtime)?;
        let queue = Arc::new(Queue::new(handler, program.bounds.queue));
        Ok(Self { program: ArcSwap::from_pointee(program), runtime, queue })
    }

    /// Compiles a plan from its JSON.
    pub fn read(
        plan: &[u8],
        secrets: &Secrets,
        handler: Arc<dyn Handler>,
    ) -> Result<Self, PlanError> {
        Self::build(&Plan::read(plan)?, secrets, handler)
    }

    /// The program that requests are answered from now. An exchange takes it once and keeps it to
    /// its last byte.
    pub fn program(&self) -> Arc<Program> {
        self.program.load_full()
    }
}
