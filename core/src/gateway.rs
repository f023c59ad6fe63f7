//! The gateway: a program, the runtime that outlives it, and the way to the handlers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::filters::limit::PlanLimits;
use crate::handler::{CallExecutor, Handler, HandlerTable, Queue, TableId};
use crate::plan::{Plan, PlanError, Secrets};
use crate::program::Program;
use crate::runtime::{Runtime, leeway, log_level};
use crate::server::Completion;

/// A program, the runtime that outlives it, and the way to its handlers.
pub struct Gateway {
    program: ArcSwap<Program>,
    /// The state that outlives programs.
    pub runtime: Runtime,
    /// Calls on their way to the handlers of this process.
    pub queue: Arc<Queue<Completion>>,
    /// What calls are submitted to.
    pub executor: Arc<dyn CallExecutor>,
    tables: AtomicU32,
    /// Held from the compilation of a program to its use: each continues the one before.
    swapping: Mutex<()>,
}

impl Gateway {
    /// The table of handlers of the first program.
    pub const FIRST_TABLE: TableId = TableId(0);

    /// Compiles a plan, and begins with it.
    pub fn build(
        plan: &Plan,
        secrets: &Secrets,
        handler: Arc<dyn Handler>,
    ) -> Result<Self, PlanError> {
        let runtime = Runtime::new(plan);
        let queue = Arc::new(Queue::new(handler, plan.bounds.queue));
        let executor: Arc<dyn CallExecutor> = Arc::clone(&queue) as Arc<dyn CallExecutor>;
        let handlers = HandlerTable::new(Self::FIRST_TABLE, Arc::clone(&executor));
        let limits = PlanLimits::new(&runtime.limits);
        let program = Program::build(plan, secrets, (&runtime, None), &limits, handlers)?;
        if let (Some(hub), Some(hub_plan)) = (&program.hub, &plan.hub) {
            runtime.set_hub(hub, runtime.hub_config(hub_plan, secrets));
        }
        runtime.limits.adopt(limits);
        Ok(Self {
            program: ArcSwap::from_pointee(program),
            runtime,
            queue,
            executor,
            tables: AtomicU32::new(Self::FIRST_TABLE.0 + 1),
            swapping: Mutex::new(()),
        })
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

    /// Replaces the program as a whole: exchanges that have begun keep theirs, those that begin
    /// from now on have the new one. `register` is called with the names of the tables of
    /// handlers, of the program before and of the new one, before the first call of the new one.
    ///
    /// # Errors
    /// The plan cannot be executed, or changes what cannot change at run time. Nothing has changed
    /// then.
    pub fn swap(
        &self,
        plan: &Plan,
        secrets: &Secrets,
        register: impl FnOnce(TableId, TableId),
    ) -> Result<(), PlanError> {
        let _swapping = self.swapping.lock();
        let runtime = &self.runtime;
        let id = TableId(self.tables.fetch_add(1, Ordering::Relaxed));
        let handlers = HandlerTable::new(id, Arc::clone(&self.executor));
        let limits = PlanLimits::new(&runtime.limits);
        let before = self.program();
        let previous = Some(&*before);
        let program = Program::build(plan, secrets, (runtime, previous), &limits, handlers)?;
        register(before.handlers.id, id);
        runtime.log.set_level(log_level(plan));
        runtime.revocations.set_leeway(leeway(plan));
        if let Some(hub) = &program.hub {
            hub.set_verifier(program.verifier.as_ref());
        }
        self.queue.set_bound(program.bounds.queue);
        self.program.store(Arc::new(program));
        drop(before);
        // After the new program is in use: no request asks the limits that it does not have.
        runtime.limits.adopt(limits);
        runtime.metrics.prune_series();
        Ok(())
    }
}
