//! The interface to business logic: a call is submitted to a [`CallExecutor`], and its answer completes a
//! [`PendingCall`].
//!
//! A [`Call`] is plain data with a serialised form, so that an executor may run it in another process. The executor of
//! this process is [`Queue`], which passes calls on as they are. It decides when to [`Handler::wake`] the other side:
//! when the core's thread is about to sleep, when [`CALLS_WAITING_MAX`] calls wait, or after [`WAKE_DELAY_MAX`] or
//! [`REQUESTS_UNTIL_WAKE_MAX`] requests where the thread never sleeps. The other side takes the whole queue at once and
//! delivers answers as a batch per thread, so that one wake-up serves many requests.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use slab::Slab;
use tokio::sync::Notify;

use crate::answer::Answer;
use crate::reject::{DEADLINE_EXCEEDED, Rejection, SERVICE_UNAVAILABLE};
use crate::value::Value;

/// Calls that wait at most before the other side is woken.
const CALLS_WAITING_MAX: usize = 64;
/// How long a call waits at most before the other side is woken, while further requests keep the thread busy.
const WAKE_DELAY_MAX: Duration = Duration::from_micros(500);
/// Further requests at most before the other side is woken.
const REQUESTS_UNTIL_WAKE_MAX: u32 = 64;

/// Business logic, wherever it runs.
pub trait Handler: Send + Sync + 'static {
    /// Says that jobs wait in the queue. Called from any thread; must not block.
    fn wake(&self);

    /// Gives memory that the calling thread has no use for back to the system; where that is done by
    /// itself, nothing. Called by a worker after connections have ended.
    fn trim(&self) {}
}

/// Executes calls, in this process or in another.
///
/// An answer reaches the core by [`PendingCalls::deliver`] of the thread that the call names.
pub trait CallExecutor: Send + Sync + 'static {
    /// Submits the call of a request that came at `at`. `None` refuses it: too many calls wait.
    fn submit(&self, call: Call, at: Instant) -> Option<Submitted>;

    /// Says that nobody waits for the answer of a call any more.
    fn cancel(&self, id: CallId, submitted: Submitted);

    /// Says that no further call names this table of handlers. Calls that were submitted before may still run.
    fn retire(&self, table: TableId);
}

/// What an executor returns for a call, to find it again when it is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submitted {
    batch: u64,
    index: usize,
}

/// Names a table of handlers; each program has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TableId(pub u32);

/// The table of handlers of one program. The executor keeps it until this is dropped with the program, so that the
/// calls of an old program find their handlers while a new one runs.
pub struct HandlerTable {
    /// Its name in calls.
    pub id: TableId,
    executor: Arc<dyn CallExecutor>,
}

impl HandlerTable {
    /// A table that the executor keeps from now on.
    pub fn new(id: TableId, executor: Arc<dyn CallExecutor>) -> Self {
        Self { id, executor }
    }
}

impl Drop for HandlerTable {
    fn drop(&mut self) {
        self.executor.retire(self.id);
    }
}

/// Names a call until it is answered: the thread that waits, a slot in its table, and how often that was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CallId {
    thread: u16,
    generation: u16,
    slot: u32,
}

impl CallId {
    /// The thread that waits, an index into what [`Queue`] was built for.
    pub fn thread(self) -> usize {
        usize::from(self.thread)
    }
}

/// A call to a handler with checked values.
#[derive(Debug, Serialize, Deserialize)]
pub struct Call {
    /// Names it in the answer.
    pub id: CallId,
    /// The handlers of its program.
    pub table: TableId,
    /// Index of the handler in the table.
    pub handler: u32,
    /// What the filters extracted.
    pub values: Vec<Value>,
    /// Of the request, for what is logged about the call.
    pub request_id: Arc<str>,
}

/// What the other side takes from the queue.
#[derive(Debug)]
pub enum Job<R> {
    /// Call a handler.
    Call(Call),
    /// The client has gone, or the deadline has passed: stop the call.
    Cancel(CallId),
    /// Something that the other side asked for is done.
    Resolve(u64, R),
    /// No further call names this table of handlers.
    Retire(TableId),
    /// A call that was cancelled before it was taken.
    Nothing,
}

struct Waiting<R> {
    jobs: Vec<Job<R>>,
    /// Counts the times that the queue was taken: an index in `jobs` is valid for one of them.
    batch: u64,
    /// Whether the other side was woken for what waits.
    woken: bool,
    /// When the first of them came.
    first: Instant,
    /// Requests since.
    further: u32,
}

/// The calls on their way to the other side. `R` is what it can ask the core for.
pub struct Queue<R> {
    waiting: Mutex<Waiting<R>>,
    /// Whether anything waits unannounced; read for every request without the lock.
    unannounced: AtomicBool,
    handler: Arc<dyn Handler>,
    bound: AtomicUsize,
    calls: AtomicU64,
}

impl<R> Queue<R> {
    /// A queue that refuses calls beyond `bound`.
    pub fn new(handler: Arc<dyn Handler>, bound: usize) -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                jobs: Vec::with_capacity(64),
                batch: 0,
                woken: false,
                first: Instant::now(),
                further: 0,
            }),
            unannounced: AtomicBool::new(false),
            handler,
            bound: AtomicUsize::new(bound),
            calls: AtomicU64::new(0),
        }
    }

    /// Changes the number of jobs beyond which calls are refused; those that wait are not.
    pub fn set_bound(&self, bound: usize) {
        self.bound.store(bound, Ordering::Relaxed);
    }

    /// Swaps what waits into `jobs`, which must be empty; whether there is anything. The other side asks again when it
    /// has worked that off: it counts as awake until nothing waits, or until it [`Queue::leave`]s, so that what comes
    /// meanwhile costs no wake-up.
    pub fn take(&self, jobs: &mut Vec<Job<R>>) -> bool {
        let mut waiting = self.waiting.lock();
        self.unannounced.store(false, Ordering::Relaxed);
        if waiting.jobs.is_empty() {
            waiting.woken = false;
            return false;
        }
        std::mem::swap(&mut waiting.jobs, jobs);
        waiting.batch += 1;
        true
    }

    /// Says that the other side turns to something else; it is woken at once where more waits.
    pub fn leave(&self) {
        let mut waiting = self.waiting.lock();
        waiting.woken = false;
        if !waiting.jobs.is_empty() {
            self.wake(&mut waiting);
        }
    }

    /// Says that something the other side asked for is done, and wakes it at once.
    pub fn resolve(&self, token: u64, result: R) {
        self.waiting.lock().jobs.push(Job::Resolve(token, result));
        self.announce();
    }

    /// Says that nobody waits for what a call does any more; for calls that were answered with a stream.
    pub fn abandon(&self, id: CallId) {
        self.waiting.lock().jobs.push(Job::Cancel(id));
        self.announce();
    }

    /// How many calls were queued since the start.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Counts a request that is not a call: a busy thread never parks, and must not hold calls back.
    pub fn tick(&self) {
        if self.unannounced.load(Ordering::Relaxed) {
            let mut waiting = self.waiting.lock();
            waiting.further += 1;
            if waiting.further >= REQUESTS_UNTIL_WAKE_MAX
                || waiting.first.elapsed() >= WAKE_DELAY_MAX
            {
                self.wake(&mut waiting);
            }
        }
    }

    /// [`Handler::trim`].
    pub(crate) fn trim(&self) {
        self.handler.trim();
    }

    /// Wakes the other side if anything waits; the runtime calls it before its thread sleeps.
    pub fn announce(&self) {
        let mut waiting = self.waiting.lock();
        if !waiting.jobs.is_empty() {
            self.wake(&mut waiting);
        }
    }

    fn wake(&self, waiting: &mut Waiting<R>) {
        if !waiting.woken {
            waiting.woken = true;
            self.unannounced.store(false, Ordering::Relaxed);
            self.handler.wake();
        }
    }
}

impl<R: Send + 'static> CallExecutor for Queue<R> {
    fn submit(&self, call: Call, at: Instant) -> Option<Submitted> {
        let mut waiting = self.waiting.lock();
        let index = waiting.jobs.len();
        if index >= self.bound.load(Ordering::Relaxed) {
            return None;
        }
        if index == 0 {
            waiting.first = at;
            waiting.further = 0;
        }
        waiting.jobs.push(Job::Call(call));
        self.calls.fetch_add(1, Ordering::Relaxed);
        // The time of the request, so that the clock is not read again.
        if index + 1 >= CALLS_WAITING_MAX
            || at.saturating_duration_since(waiting.first) >= WAKE_DELAY_MAX
        {
            self.wake(&mut waiting);
        } else if !waiting.woken {
            self.unannounced.store(true, Ordering::Relaxed);
        }
        Some(Submitted { batch: waiting.batch, index })
    }

    /// Takes a call back where it still waits, so that no work is done for a client that has gone; otherwise has it
    /// stopped.
    fn cancel(&self, id: CallId, submitted: Submitted) {
        let mut waiting = self.waiting.lock();
        if waiting.batch == submitted.batch {
            if let Some(job) = waiting.jobs.get_mut(submitted.index) {
                *job = Job::Nothing;
            }
        } else {
            waiting.jobs.push(Job::Cancel(id));
            self.unannounced.store(true, Ordering::Relaxed);
        }
    }

    /// Behind every call that names the table: these were queued before their exchanges released the program.
    fn retire(&self, table: TableId) {
        self.waiting.lock().jobs.push(Job::Retire(table));
        self.announce();
    }
}

/// What a call is answered with.
pub type Outcome = Result<Answer, Box<Rejection>>;

struct Slot {
    generation: u16,
    deadline: Instant,
    overdue: bool,
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

/// The calls of one thread that are not answered yet.
pub struct PendingCalls {
    thread: u16,
    slots: Mutex<Slab<Slot>>,
    generation: Mutex<u16>,
    arrived: Mutex<Vec<(CallId, Outcome)>>,
    notify: Notify,
}

impl PendingCalls {
    /// The table of the thread with this index.
    pub fn new(thread: u16) -> Self {
        Self {
            thread,
            slots: Mutex::new(Slab::new()),
            generation: Mutex::new(0),
            arrived: Mutex::new(Vec::new()),
            notify: Notify::new(),
        }
    }

    /// Hands a batch of answers to the thread, which is woken once. Empties `answers`.
    pub fn deliver(&self, answers: &mut Vec<(CallId, Outcome)>) {
        self.arrived.lock().append(answers);
        self.notify.notify_one();
    }

    /// Gives each arrived answer to the request that waits for it; runs on the thread for as long as it lives.
    pub async fn distribute(&self) {
        let mut batch = Vec::new();
        loop {
            self.notify.notified().await;
            std::mem::swap(&mut *self.arrived.lock(), &mut batch);
            for (id, outcome) in batch.drain(..) {
                self.settle(id, outcome);
            }
        }
    }

    /// Ends the calls whose deadline has passed. The worker asks for it every few milliseconds, which costs less than a
    /// timer for each call: about 2 µs a request with 512 calls waiting.
    pub fn expire(&self, now: Instant) {
        for (_, slot) in &mut *self.slots.lock() {
            if slot.deadline <= now && !slot.overdue {
                slot.overdue = true;
                if let Some(waker) = slot.waker.take() {
                    waker.wake();
                }
            }
        }
    }

    /// Whether any call waits.
    pub fn has_pending(&self) -> bool {
        !self.slots.lock().is_empty()
    }

    fn settle(&self, id: CallId, outcome: Outcome) {
        let mut slots = self.slots.lock();
        // A slot that was released, and perhaps used again since, drops the late answer.
        if let Some(slot) = slots.get_mut(id.slot as usize)
            && slot.generation == id.generation
        {
            slot.outcome = Some(outcome);
            if let Some(waker) = slot.waker.take() {
                drop(slots);
                waker.wake();
            }
        }
    }

    fn reserve(&self, deadline: Instant) -> CallId {
        let generation = {
            let mut generation = self.generation.lock();
            *generation = generation.wrapping_add(1);
            *generation
        };
        let slot = Slot { generation, deadline, overdue: false, outcome: None, waker: None };
        let slot = self.slots.lock().insert(slot);
        CallId { thread: self.thread, generation, slot: slot as u32 }
    }
}

/// A call that waits for its answer. Dropped before, it cancels the call.
pub struct PendingCall {
    executor: Arc<dyn CallExecutor>,
    calls: Arc<PendingCalls>,
    id: CallId,
    submitted: Submitted,
    answered: bool,
}

/// What a call is made of, besides where it goes.
pub struct CallParts {
    /// The handlers of the program.
    pub table: TableId,
    /// Index of the handler in the table.
    pub handler: u32,
    /// What the filters extracted.
    pub values: Vec<Value>,
    /// Of the request.
    pub request_id: Arc<str>,
    /// When the request came.
    pub at: Instant,
    /// When the call ends with `deadline_exceeded`, and is cancelled.
    pub deadline: Instant,
}

impl PendingCall {
    /// Submits a call.
    ///
    /// # Errors
    /// `service_unavailable` when too many calls wait.
    pub fn submit(
        executor: &Arc<dyn CallExecutor>,
        calls: &Arc<PendingCalls>,
        parts: CallParts,
    ) -> Result<Self, Box<Rejection>> {
        let CallParts { table, handler, values, request_id, at, deadline } = parts;
        let id = calls.reserve(deadline);
        let call = Call { id, table, handler, values, request_id };
        let Some(submitted) = executor.submit(call, at) else {
            calls.slots.lock().try_remove(id.slot as usize);
            return Err(Rejection::because(
                &SERVICE_UNAVAILABLE,
                "too many requests wait for a handler",
            )
            .with(http::header::RETRY_AFTER, http::HeaderValue::from_static("1")));
        };
        let (executor, calls) = (Arc::clone(executor), Arc::clone(calls));
        Ok(Self { executor, calls, id, submitted, answered: false })
    }
}

impl Future for PendingCall {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let outcome = {
            let mut slots = self.calls.slots.lock();
            let Some(slot) = slots.get_mut(self.id.slot as usize) else {
                return Poll::Ready(Err(Rejection::new(&SERVICE_UNAVAILABLE)));
            };
            let Some(outcome) = slot.outcome.take() else {
                if slot.overdue {
                    return Poll::Ready(Err(Rejection::new(&DEADLINE_EXCEEDED)));
                }
                slot.waker = Some(context.waker().clone());
                return Poll::Pending;
            };
            outcome
        };
        self.answered = true;
        Poll::Ready(outcome)
    }
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        self.calls.slots.lock().try_remove(self.id.slot as usize);
        if !self.answered {
            self.executor.cancel(self.id, self.submitted);
        }
    }
}
