//! Steps around a terminal: each can answer by itself, or have the terminal answer and see its
//! response as far as the end of the body. Caches, idempotency and leases of concurrency are such
//! steps. They run after the filters, so that what a client may not ask is refused before.

use std::future::Future;
use std::pin::Pin;

use super::Exchange;
use crate::answer::Answer;
use crate::reject::Rejection;
use crate::terminals::Terminal;

/// What a terminal, or a step around it, ends with.
pub(crate) type Outcome = Result<Answer, Box<Rejection>>;

/// An answer that is being made. Allocated once for each step around a terminal.
pub(crate) type Answering<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// A step around a terminal.
///
/// The future is dropped where the client leaves or the deadline of the request passes before the
/// head of the response is there: what it holds must be released by `Drop`. For what comes behind
/// the head, the step observes the body ([`crate::answer::Content::observe`]).
pub(crate) trait Around: Send + Sync {
    /// Answers, or has `inner` answer; both may change the request before and the answer after.
    fn answer<'a>(&'a self, exchange: &'a mut Exchange, inner: Inner<'a>) -> Answering<'a>;
}

/// What a step is around: further steps, then the terminal. A step that tries again calls it again.
#[derive(Clone, Copy)]
pub(crate) struct Inner<'r> {
    around: &'r [Box<dyn Around>],
    terminal: &'r Terminal,
}

impl<'r> Inner<'r> {
    pub(crate) fn new(around: &'r [Box<dyn Around>], terminal: &'r Terminal) -> Self {
        Self { around, terminal }
    }

    /// Has the next step answer, or the terminal.
    pub(crate) async fn answer(self, exchange: &mut Exchange) -> Outcome {
        match self.around.split_first() {
            Some((step, around)) => {
                step.answer(exchange, Inner { around, terminal: self.terminal }).await
            }
            None => self.terminal.answer(exchange).await,
        }
    }
}
