//! `python`: calls a handler and waits for its answer.

use std::sync::Arc;

use crate::exchange::around::Outcome;
use crate::exchange::{Exchange, Progress};
use crate::handler::{CallParts, PendingCall};

/// Calls the handler of this index with the values that the filters extracted. Where the client
/// leaves or the deadline passes, the call is cancelled.
pub(super) async fn answer(handler: u32, exchange: &mut Exchange) -> Outcome {
    exchange.progress = Progress::Queue;
    let parts = CallParts {
        table: exchange.program.handlers.id,
        handler,
        values: std::mem::take(&mut exchange.values),
        request_id: Arc::clone(&exchange.trace.request_id),
        at: exchange.started,
        deadline: exchange.deadline,
    };
    let worker = &exchange.worker;
    let call = PendingCall::submit(&worker.gateway.executor, &worker.pending_calls, parts)?;
    exchange.progress = Progress::Terminal;
    call.await
}
