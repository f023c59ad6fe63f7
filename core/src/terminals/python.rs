//! `python`: calls a handler and waits for its answer.

use std::sync::Arc;

use crate::exchange::around::Outcome;
use crate::exchange::{Exchange, Progress};
use crate::handler::Calling;

/// Calls the handler of this index with the values that the filters extracted. Where the client
/// leaves or the deadline passes, the call is cancelled.
pub(super) async fn answer(handler: u32, exchange: &mut Exchange) -> Outcome {
    exchange.progress = Progress::Queue;
    let values = std::mem::take(&mut exchange.values);
    let id = Arc::clone(&exchange.trace.request_id);
    let times = (exchange.started, exchange.deadline);
    let worker = &exchange.worker;
    let call = Calling::start(&worker.gateway.queue, &worker.replies, handler, values, id, times)?;
    exchange.progress = Progress::Terminal;
    call.await
}
