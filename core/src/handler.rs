//! The seam to business logic: calls go out in batches, answers come back in batches.
//!
//! The core queues calls and decides when to [`Handler::wake`] the other side: when its own thread is about to sleep,
//! when [`BATCH`] calls wait, or after [`PATIENCE`] or [`FURTHER`] requests where the thread never sleeps. The other
//! side takes the whole queue at once and hands answers back as a batch per thread. One wake-up then serves many
//! requests, which is most of what tells a fast hand-off from a slow one.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use slab::Slab;
use tokio::sync::Notify;

use crate::answer::Answer;
use crate::reject::{DEADLINE_EXCEEDED, Rejection, SERVICE_UNAVAILABLE};
use crate::value::Value;

/// Calls that wait at most before the other side is woken.
const BATCH: usize = 64;
/// How long a call waits at most before the other side is woken, while further requests keep the thread busy.
const PATIENCE: Duration = Duration::from_micros(500);
/// Further requests at most before the other side is woken.
const FURTHER: u32 = 64;

/// Business logic, wherever it runs.
pub trait Handler: Send + Sync + 'static {
    /// Says that jobs wait in the queue. Called from any thread; must not block.
    fn wake(&self);

    /// Gives memory that the calling thread has no use for back to the system; where that is done by
    /// itself, nothing. Called by a worker after connections have ended.
    fn trim(&self) {}
}

/// Names a call until it is answered: the thread that waits, a place in its table, and how often that was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallId {
    thread: u16,
    generation: u16,
    place: u32,
}

impl CallId {
    /// The thread that waits, an index into what [`Queue`] was built for.
    pub fn thread(self) -> usize {
        usize::from(self.thread)
    }
}

/// A call to a handler with checked values.
#[derive(Debug)]
pub struct Call {
    /// Names it in the answer.
    pub id: CallId,
    /// Index of the handler.
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
    /// A call that was cancelled before it was taken.
    Nothing,
}

struct Waiting<R> {
    jobs: Vec<Job<R>>,
    /// Counts the times that the queue was taken: a place in `jobs` is good for one of them.
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
    bound: usize,
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
            bound,
            calls: AtomicU64::new(0),
        }
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
            if waiting.further >= FURTHER || waiting.first.elapsed() >= PATIENCE {
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

    /// Queues a call of a request that came at `at`, which spares looking at the clock; the batch and place it waits at,
    /// or `None` when too many wait.
    fn push(&self, call: Call, at: Instant) -> Option<(u64, usize)> {
        let mut waiting = self.waiting.lock();
        let place = waiting.jobs.len();
        if place >= self.bound {
            return None;
        }
        if place == 0 {
            waiting.first = at;
            waiting.further = 0;
        }
        waiting.jobs.push(Job::Call(call));
        self.calls.fetch_add(1, Ordering::Relaxed);
        if place + 1 >= BATCH || at.saturating_duration_since(waiting.first) >= PATIENCE {
            self.wake(&mut waiting);
        } else if !waiting.woken {
            self.unannounced.store(true, Ordering::Relaxed);
        }
        Some((waiting.batch, place))
    }

    /// Takes a call back where it still waits, so that nobody works for a client that has gone; else says to stop it.
    fn cancel(&self, id: CallId, (batch, place): (u64, usize)) {
        let mut waiting = self.waiting.lock();
        if waiting.batch == batch {
            if let Some(job) = waiting.jobs.get_mut(place) {
                *job = Job::Nothing;
            }
        } else {
            waiting.jobs.push(Job::Cancel(id));
            self.unannounced.store(true, Ordering::Relaxed);
        }
    }
}

/// What a call is answered with.
pub type Outcome = Result<Answer, Box<Rejection>>;

struct Place {
    generation: u16,
    deadline: Instant,
    overdue: bool,
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

/// The calls of one thread that are not answered yet.
pub struct Replies {
    thread: u16,
    places: Mutex<Slab<Place>>,
    generation: Mutex<u16>,
    arrived: Mutex<Vec<(CallId, Outcome)>>,
    notify: Notify,
}

impl Replies {
    /// The table of the thread with this index.
    pub fn new(thread: u16) -> Self {
        Self {
            thread,
            places: Mutex::new(Slab::new()),
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
        for (_, place) in &mut *self.places.lock() {
            if place.deadline <= now && !place.overdue {
                place.overdue = true;
                if let Some(waker) = place.waker.take() {
                    waker.wake();
                }
            }
        }
    }

    /// Whether any call waits.
    pub fn is_waited_for(&self) -> bool {
        !self.places.lock().is_empty()
    }

    fn settle(&self, id: CallId, outcome: Outcome) {
        let mut places = self.places.lock();
        // A place that was given up, perhaps used again since, drops the late answer.
        if let Some(place) = places.get_mut(id.place as usize)
            && place.generation == id.generation
        {
            place.outcome = Some(outcome);
            if let Some(waker) = place.waker.take() {
                drop(places);
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
        let place = Place { generation, deadline, overdue: false, outcome: None, waker: None };
        let place = self.places.lock().insert(place);
        CallId { thread: self.thread, generation, place: place as u32 }
    }
}

/// Calls a handler and waits for its answer. Dropped before, it cancels the call.
pub struct Calling<R: 'static> {
    queue: Arc<Queue<R>>,
    replies: Arc<Replies>,
    id: CallId,
    queued: (u64, usize),
    answered: bool,
}

impl<R> Calling<R> {
    /// Queues the call of a request that came at `at`; past its deadline it ends with `deadline_exceeded`, and is
    /// cancelled.
    ///
    /// # Errors
    /// `service_unavailable` when too many calls wait.
    pub fn start(
        queue: &Arc<Queue<R>>,
        replies: &Arc<Replies>,
        handler: u32,
        values: Vec<Value>,
        request_id: Arc<str>,
        (at, deadline): (Instant, Instant),
    ) -> Result<Self, Box<Rejection>> {
        let id = replies.reserve(deadline);
        let Some(queued) = queue.push(Call { id, handler, values, request_id }, at) else {
            replies.places.lock().try_remove(id.place as usize);
            return Err(Rejection::because(
                &SERVICE_UNAVAILABLE,
                "too many requests wait for a handler",
            )
            .with(http::header::RETRY_AFTER, http::HeaderValue::from_static("1")));
        };
        Ok(Self {
            queue: Arc::clone(queue),
            replies: Arc::clone(replies),
            id,
            queued,
            answered: false,
        })
    }
}

impl<R> Future for Calling<R> {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let outcome = {
            let mut places = self.replies.places.lock();
            let Some(place) = places.get_mut(self.id.place as usize) else {
                return Poll::Ready(Err(Rejection::new(&SERVICE_UNAVAILABLE)));
            };
            let Some(outcome) = place.outcome.take() else {
                if place.overdue {
                    return Poll::Ready(Err(Rejection::new(&DEADLINE_EXCEEDED)));
                }
                place.waker = Some(context.waker().clone());
                return Poll::Pending;
            };
            outcome
        };
        self.answered = true;
        Poll::Ready(outcome)
    }
}

impl<R> Drop for Calling<R> {
    fn drop(&mut self) {
        self.replies.places.lock().try_remove(self.id.place as usize);
        if !self.answered {
            self.queue.cancel(self.id, self.queued);
        }
    }
}
