//! `Core`: a compiled plan and its threads; and `Link`, the asyncio loop's side of the hand-off.

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ahash::AHashMap;
use bytes::Bytes;
use nexus_core::gateway::Gateway;
use nexus_core::handler::{self, CallId, Handler, Job, Outcome, TableId};
use nexus_core::hub::Hub;
use nexus_core::hub::broker::Draft;
use nexus_core::hub::control::Asker;
use nexus_core::hub::policy::Refused;
use nexus_core::plan::{HubOperation, Level, Plan, Secrets};
use nexus_core::reject::NOT_FOUND;
use nexus_core::server::{self, Completion, LocalResponse, Server};
use parking_lot::Mutex;
use pyo3::create_exception;
use pyo3::exceptions::{PyConnectionError, PyException, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use pyo3::{PyTraverseError, PyVisit, intern};
use rustix::event::{EventfdFlags, eventfd};
use serde::Deserialize;

use crate::call::{Bridge, Endpoint, Running, start};
use crate::doorbell::Doorbell;
use crate::tables::Tables;
use crate::task::Tasks;

create_exception!(
    nexus_gateway._core,
    HubError,
    PyException,
    "The hub refuses: a code and a sentence."
);

pub(crate) type Queue = handler::Queue<Completion>;

/// Answers that wait at most before they are handed over while a long batch still runs.
const EARLY: usize = 64;
/// Batches at most that are worked off in one callback of the loop, so that its timers and sockets have their turn.
const ROUNDS: usize = 4;

/// How a gateway is served, and how its handlers are run.
#[derive(Deserialize)]
struct Options {
    #[serde(flatten)]
    server: server::Options,
    /// Whether a handler's first step is run at once instead of by the loop, where Python can (3.12 and newer).
    eager: bool,
}

/// A compiled plan and the threads that execute it.
#[pyclass(frozen, module = "nexus_gateway._core")]
pub(crate) struct Core {
    gateway: Arc<Gateway>,
    doorbell: Arc<Doorbell>,
    /// The handlers of the first plan, until the start.
    endpoints: Mutex<Vec<Py<Endpoint>>>,
    bridge: Py<Bridge>,
    link: OnceLock<Py<Link>>,
}

#[pymethods]
impl Core {
    #[new]
    fn new(
        plan: &[u8],
        secrets: Secrets,
        endpoints: Vec<Py<Endpoint>>,
        bridge: Py<Bridge>,
    ) -> PyResult<Self> {
        let descriptor = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)
            .map_err(|error| PyOSError::new_err(error.to_string()))?;
        let doorbell = Arc::new(Doorbell(descriptor));
        let handler: Arc<dyn Handler> = Arc::clone(&doorbell) as Arc<dyn Handler>;
        let gateway = Gateway::read(plan, &secrets, handler)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        let gateway = Arc::new(gateway);
        let endpoints = Mutex::new(endpoints);
        Ok(Self { gateway, doorbell, endpoints, bridge, link: OnceLock::new() })
    }

    /// Listens and serves; the addresses listened on.
    fn start(
        &self,
        py: Python<'_>,
        options: &[u8],
        event_loop: &Bound<'_, PyAny>,
    ) -> PyResult<Vec<(String, u16)>> {
        let options: Options = serde_json::from_slice(options)
            .map_err(|error| PyValueError::new_err(format!("options: {error}")))?;
        let server =
            Server::start(&self.gateway, &options.server).map_err(|error| match error.kind() {
                std::io::ErrorKind::InvalidInput => PyValueError::new_err(error.to_string()),
                _ => PyErr::from(error),
            })?;
        let addresses = server.addresses.iter().map(|a| (a.ip().to_string(), a.port())).collect();
        let link = Link::new(py, self, server, event_loop, options.eager)?;
        let link = Bound::new(py, link)?;
        *link.get().callbacks.lock() = Some(Callbacks {
            flush: link.getattr(intern!(py, "flush"))?.unbind(),
            resume: link.getattr(intern!(py, "resume"))?.unbind(),
        });
        event_loop.call_method1(
            intern!(py, "add_reader"),
            (self.doorbell.0.as_raw_fd(), link.getattr(intern!(py, "drain"))?),
        )?;
        self.link
            .set(link.unbind())
            .map_err(|_| PyRuntimeError::new_err("the gateway has been started already"))?;
        Ok(addresses)
    }

    /// Replaces the plan and its handlers; a future that is done when the last call of the plan before has ended.
    fn swap<'py>(
        &self,
        py: Python<'py>,
        plan: &[u8],
        secrets: Secrets,
        endpoints: Vec<Py<Endpoint>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let link = self.linked()?.get();
        let (token, future) = link.promise(py)?;
        // Without the interpreter's lock: a swap waits for another one, which must not wait for this thread.
        let swapped = py.detach(|| {
            let plan = Plan::read(plan)?;
            self.gateway.swap(&plan, &secrets, |before, new| {
                link.tables.add(new, endpoints);
                link.tables.wait_for(before, token);
            })
        });
        if let Err(error) = swapped {
            link.break_promise(token);
            return Err(PyValueError::new_err(error.to_string()));
        }
        Ok(future)
    }

    /// Sends a request through the same connection code as a socket's, without a socket.
    fn request<'py>(
        &self,
        py: Python<'py>,
        method: &str,
        target: &str,
        headers: Vec<(String, String)>,
        body: &[u8],
    ) -> PyResult<Bound<'py, PyAny>> {
        let request = server::local_request(method, target, &headers, Bytes::copy_from_slice(body))
            .map_err(PyValueError::new_err)?;
        let link = self.linked()?.get();
        let (token, future) = link.promise(py)?;
        link.server.request(token, request);
        Ok(future)
    }

    /// Publishes JSON to a channel of the hub; its epoch and offset.
    fn publish<'py>(
        &self,
        py: Python<'py>,
        channel: &str,
        data: &[u8],
        key: Option<&str>,
        traceparent: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let link = self.linked()?.get();
        let hub = self.hub()?;
        let draft = Draft {
            data: Bytes::copy_from_slice(data),
            key: key.map(Into::into),
            publisher: None,
            traceparent: traceparent.map(Into::into),
        };
        // Without the interpreter's lock: thousands of subscribers may have to be woken.
        let published = py.detach(|| hub.publish_for_program(channel, draft));
        let published = published.map_err(|why| hub_error(&why))?;
        let (token, future) = link.promise(py)?;
        match published {
            Ok(position) => link.resolve(py, token, Completion::Published(Ok(position)))?,
            Err(answer) => {
                let queue = link.queue();
                link.handle(0).spawn(async move {
                    queue.resolve(token, Completion::Published(answer.await));
                });
            }
        }
        Ok(future)
    }

    /// Asks the hub for one of its controls.
    fn control<'py>(
        &self,
        py: Python<'py>,
        operation: &str,
        arguments: &[u8],
    ) -> PyResult<Bound<'py, PyAny>> {
        let link = self.linked()?.get();
        let hub = self.hub()?;
        let operation: HubOperation = serde_json::from_value(operation.into())
            .map_err(|_| PyValueError::new_err(format!("{operation:?} is no control")))?;
        let words = arguments.to_vec();
        let (token, future) = link.promise(py)?;
        let queue = link.queue();
        link.handle(0).spawn(async move {
            let told = hub.control(operation, &words, Asker::Program).await;
            queue.resolve(token, Completion::Told(told));
        });
        Ok(future)
    }

    /// Puts stored revocations in force, a JSON list of what `revoke` answers; how many found no room. It may be called
    /// before the gateway is started.
    fn restore_revocations(&self, py: Python<'_>, revocations: &[u8]) -> PyResult<usize> {
        let hub = self.hub()?;
        py.detach(|| hub.restore(revocations)).map_err(PyValueError::new_err)
    }

    /// Stops accepting and lets requests finish for `grace` seconds.
    fn stop<'py>(&self, py: Python<'py>, grace: f64) -> PyResult<Bound<'py, PyAny>> {
        let grace = Duration::try_from_secs_f64(grace)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        let link = self.linked()?.get();
        let (token, future) = link.promise(py)?;
        link.server.stop(token, grace);
        Ok(future)
    }

    /// The summary of `/api/metrics` as JSON.
    fn metrics<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.gateway.runtime.metrics.summary())
    }

    /// Writes one line to the log; `fields` is a JSON object.
    fn log(&self, level: &str, fields: &[u8]) -> PyResult<()> {
        let level: Level = serde_json::from_value(level.into())
            .map_err(|_| PyValueError::new_err(format!("{level:?} is not a level")))?;
        let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(fields)
            .map_err(|error| PyValueError::new_err(format!("fields: {error}")))?;
        self.gateway.runtime.log.write(level, &fields);
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(endpoints) = self.endpoints.try_lock() {
            endpoints.iter().try_for_each(|endpoint| visit.call(endpoint))?;
        }
        visit.call(&self.bridge)?;
        self.link.get().map_or(Ok(()), |link| visit.call(link))
    }
}

impl Core {
    fn hub(&self) -> PyResult<Arc<Hub>> {
        let none = || HubError::new_err((NOT_FOUND.code, "the application has no hub"));
        self.gateway.runtime.hub().cloned().ok_or_else(none)
    }

    fn linked(&self) -> PyResult<&Py<Link>> {
        self.link.get().ok_or_else(|| PyRuntimeError::new_err("the gateway is not started"))
    }
}

/// The task of a call, and the coroutine that it runs.
type Started = (Py<PyAny>, Py<Running>);

/// Methods of `Link` as the loop calls them, bound once. They refer to it, so `close` drops them.
struct Callbacks {
    flush: Py<PyAny>,
    resume: Py<PyAny>,
}

/// The loop's side: what it takes from the queue, what it runs, and what it owes.
#[pyclass(frozen, module = "nexus_gateway._core")]
pub(crate) struct Link {
    gateway: Arc<Gateway>,
    doorbell: Arc<Doorbell>,
    server: Server,
    pending_calls: Vec<Arc<handler::PendingCalls>>,
    tables: Tables,
    bridge: Py<Bridge>,
    event_loop: Py<PyAny>,
    tasks: Tasks,
    cancelled_error: Py<PyAny>,
    callbacks: Mutex<Option<Callbacks>>,
    jobs: Mutex<Vec<Job<Completion>>>,
    /// By thread.
    outbox: Mutex<Vec<Vec<(CallId, Outcome)>>>,
    flushing: AtomicBool,
    /// Calls that have not ended: the task of each, and the coroutine that it runs.
    running: Mutex<AHashMap<CallId, Started>>,
    promises: Mutex<AHashMap<u64, Py<PyAny>>>,
    tokens: AtomicU64,
}

#[pymethods]
impl Link {
    /// Takes what waits in the queue, and what comes meanwhile: the loop calls it when the doorbell rings.
    fn drain(slf: &Bound<'_, Self>) -> PyResult<()> {
        let this = slf.get();
        // Empty when another ring was answered already.
        let _ = rustix::io::read(&this.doorbell.0, &mut [0u8; 8]);
        this.work(slf)
    }

    /// Goes on after the first steps of a batch; the loop runs it behind them.
    fn resume(slf: &Bound<'_, Self>) -> PyResult<()> {
        let this = slf.get();
        this.flush();
        this.work(slf)
    }

    /// Hands over the answers that are there, a batch for each thread.
    fn flush(&self) {
        self.flushing.store(false, Ordering::Relaxed);
        self.hand_over();
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        visit.call(&self.bridge)?;
        self.tables.traverse(&visit)?;
        if let Some(calls) = self.running.try_lock() {
            for (task, running) in calls.values() {
                visit.call(task)?;
                visit.call(running)?;
            }
        }
        Ok(())
    }
}

impl Link {
    fn new(
        py: Python<'_>,
        core: &Core,
        server: Server,
        event_loop: &Bound<'_, PyAny>,
        eager: bool,
    ) -> PyResult<Self> {
        let asyncio = py.import("asyncio")?;
        let pending_calls = server.pending_calls();
        let tables = Tables::default();
        tables.add(Gateway::FIRST_TABLE, std::mem::take(&mut *core.endpoints.lock()));
        Ok(Self {
            gateway: Arc::clone(&core.gateway),
            doorbell: Arc::clone(&core.doorbell),
            server,
            outbox: Mutex::new(pending_calls.iter().map(|_| Vec::new()).collect()),
            pending_calls,
            tables,
            bridge: core.bridge.clone_ref(py),
            event_loop: event_loop.clone().unbind(),
            tasks: Tasks::new(event_loop, eager)?,
            cancelled_error: asyncio.getattr("CancelledError")?.unbind(),
            callbacks: Mutex::new(None),
            jobs: Mutex::new(Vec::new()),
            flushing: AtomicBool::new(false),
            running: Mutex::new(AHashMap::new()),
            promises: Mutex::new(AHashMap::new()),
            tokens: AtomicU64::new(0),
        })
    }

    pub(crate) fn bridge(&self) -> &Bridge {
        self.bridge.get()
    }

    pub(crate) fn queue(&self) -> Arc<Queue> {
        Arc::clone(&self.gateway.queue)
    }

    pub(crate) fn handle(&self, thread: usize) -> tokio::runtime::Handle {
        self.server.handle(thread)
    }

    pub(crate) fn cancelled_error<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.cancelled_error.bind(py)
    }

    /// A future that the core resolves, and its token.
    pub(crate) fn promise<'py>(&self, py: Python<'py>) -> PyResult<(u64, Bound<'py, PyAny>)> {
        let future = self.event_loop.bind(py).call_method0(intern!(py, "create_future"))?;
        let token = self.tokens.fetch_add(1, Ordering::Relaxed);
        self.promises.lock().insert(token, future.clone().unbind());
        Ok((token, future))
    }

    /// Forgets a promise that nothing will be done for.
    fn break_promise(&self, token: u64) {
        let promise = self.promises.lock().remove(&token);
        drop(promise);
    }

    /// Starts the calls that wait, a batch at a time. The queue counts this side as awake until nothing waits, so that
    /// calls that come in between cost no wake-up.
    fn work(&self, slf: &Bound<'_, Self>) -> PyResult<()> {
        // An eager batch has run its first steps by the end of `round`. Steps of other tasks are run by the loop, which
        // comes back here behind them, once it has looked at its sockets and timers.
        if !self.tasks.eager {
            let started = self.round(slf);
            if let Ok(false) = started {
                return Ok(());
            }
            return started.and(self.call_soon(slf.py(), |callbacks| &callbacks.resume));
        }
        let mut started = Ok(true);
        for _ in 0..ROUNDS {
            started = self.round(slf);
            if !matches!(started, Ok(true)) {
                break;
            }
        }
        if !matches!(started, Ok(false)) {
            self.gateway.queue.leave();
        }
        started.map(|_| ())
    }

    /// Starts one batch; whether there was one.
    fn round(&self, slf: &Bound<'_, Self>) -> PyResult<bool> {
        let mut jobs = std::mem::take(&mut *self.jobs.lock());
        // What is answered below leaves with the flush at the end of this.
        self.flushing.store(true, Ordering::Relaxed);
        let any = self.gateway.queue.take(&mut jobs);
        // All of them, also after a failure: the others belong to other requests.
        let mut done = Ok(());
        for job in jobs.drain(..) {
            let own = match job {
                Job::Call(call) => self.run(slf, call),
                Job::Cancel(id) => self.cancel(slf.py(), id),
                Job::Resolve(token, resolved) => self.resolve(slf.py(), token, resolved),
                Job::Retire(table) => self.end_of(slf.py(), self.tables.retire(table)),
                Job::Nothing => Ok(()),
            };
            done = done.and(own);
        }
        *self.jobs.lock() = jobs;
        self.flush();
        if !self.tasks.eager && (any || done.is_err()) {
            // The first steps are followed by `resume`, which flushes what they answer.
            self.flushing.store(true, Ordering::Relaxed);
        }
        done.map(|()| any)
    }

    /// Runs a call as a task of the loop.
    fn run(&self, slf: &Bound<'_, Self>, call: handler::Call) -> PyResult<()> {
        let (id, table) = (call.id, call.table);
        let Some(endpoint) = self.tables.begin(slf.py(), table, call.handler) else {
            return Err(PyRuntimeError::new_err("the plan names a handler that does not exist"));
        };
        let work = match start(slf, endpoint, self.bridge(), call) {
            Ok(work) => work,
            Err(outcome) => {
                self.answer(slf, id, outcome);
                return self.end_of(slf.py(), self.tables.end(table));
            }
        };
        let running = Bound::new(slf.py(), Running::new(slf.clone().unbind(), work))?;
        let made = self.tasks.make(&running);
        let task = match made {
            Ok(task) => task,
            Err(error) => {
                running.get().close(slf.py())?;
                return Err(error);
            }
        };
        if !running.get().has_ended() {
            self.running.lock().insert(id, (task, running.unbind()));
        }
        Ok(())
    }

    fn cancel(&self, py: Python<'_>, id: CallId) -> PyResult<()> {
        let Some((task, running)) = self.running.lock().remove(&id) else { return Ok(()) };
        running.get().abandon();
        task.bind(py).call_method0(intern!(py, "cancel")).map(|_| ())
    }

    /// Forgets a call that has ended.
    pub(crate) fn forget(&self, py: Python<'_>, id: CallId, table: TableId) {
        let ended = self.running.lock().remove(&id);
        drop(ended); // without the lock: it may run code of Python
        if let Err(error) = self.end_of(py, self.tables.end(table)) {
            error.write_unraisable(py, None);
        }
    }

    /// Resolves the future that waits for the end of a program's calls.
    fn end_of(&self, py: Python<'_>, token: Option<u64>) -> PyResult<()> {
        token.map_or(Ok(()), |token| self.resolve(py, token, Completion::Retired))
    }

    /// Puts an answer in the outbox and sees to it that it is flushed.
    pub(crate) fn answer(&self, slf: &Bound<'_, Self>, id: CallId, outcome: Outcome) {
        let waiting = {
            let mut outbox = self.outbox.lock();
            let own = &mut outbox[id.thread()];
            own.push((id, outcome));
            own.len()
        };
        if waiting >= EARLY {
            self.hand_over();
        } else if let Err(error) = self.schedule_flush(slf) {
            error.write_unraisable(slf.py(), None);
        }
    }

    fn schedule_flush(&self, slf: &Bound<'_, Self>) -> PyResult<()> {
        if self.flushing.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        self.call_soon(slf.py(), |callbacks| &callbacks.flush)
    }

    /// Has the loop call a method of this in its next iteration; after `close` it does nothing.
    fn call_soon(&self, py: Python<'_>, method: fn(&Callbacks) -> &Py<PyAny>) -> PyResult<()> {
        let method = self.callbacks.lock().as_ref().map(|bound| method(bound).clone_ref(py));
        let Some(method) = method else { return Ok(()) };
        self.event_loop.bind(py).call_method1(intern!(py, "call_soon"), (method,)).map(|_| ())
    }

    fn hand_over(&self) {
        for (answers, pending) in self.outbox.lock().iter_mut().zip(&self.pending_calls) {
            if !answers.is_empty() {
                pending.deliver(answers);
            }
        }
    }

    /// Gives a future what the core has done for it.
    fn resolve(&self, py: Python<'_>, token: u64, resolved: Completion) -> PyResult<()> {
        let Some(future) = self.promises.lock().remove(&token) else { return Ok(()) };
        let future = future.bind(py);
        if let Completion::Stopped(_) = resolved {
            self.close(py)?;
        }
        if future.call_method0(intern!(py, "done"))?.is_truthy()? {
            return Ok(()); // it was cancelled
        }
        let (method, value) = match resolved {
            Completion::Sent(true) | Completion::Retired => {
                ("set_result", py.None().into_bound(py))
            }
            Completion::Sent(false) => {
                ("set_exception", crate::stream::gone().into_value(py).into_bound(py).into_any())
            }
            Completion::Stopped(done) => {
                ("set_result", done.into_pyobject(py)?.to_owned().into_any())
            }
            Completion::Published(Ok(place)) => {
                ("set_result", (&*place.epoch, place.offset).into_pyobject(py)?.into_any())
            }
            Completion::Told(Ok(answer)) => ("set_result", PyBytes::new(py, &answer).into_any()),
            Completion::Published(Err(why)) | Completion::Told(Err(why)) => {
                ("set_exception", hub_error(&why).into_value(py).into_bound(py).into_any())
            }
            Completion::Response(Ok(response)) => {
                ("set_result", response_to_python(py, &response)?)
            }
            Completion::Response(Err(message)) => {
                let error = PyConnectionError::new_err(message);
                ("set_exception", error.into_value(py).into_bound(py).into_any())
            }
        };
        future.call_method1(method, (value,)).map(|_| ())
    }

    /// Ends the threads, after they have stopped, and leaves the loop.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let descriptor = self.doorbell.0.as_raw_fd();
        self.event_loop.bind(py).call_method1(intern!(py, "remove_reader"), (descriptor,))?;
        py.detach(|| self.server.join());
        // What refers to this in turn would keep it, and its descriptors, for as long as the process lives.
        let callbacks = self.callbacks.lock().take();
        drop(callbacks);
        Ok(())
    }
}

fn hub_error(why: &Refused) -> PyErr {
    HubError::new_err((why.kind.code, why.message.to_string()))
}

fn response_to_python<'py>(
    py: Python<'py>,
    response: &LocalResponse,
) -> PyResult<Bound<'py, PyAny>> {
    let headers = response
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())));
    let headers = PyList::new(py, headers.collect::<Vec<_>>())?;
    let body = PyBytes::new(py, &response.body);
    Ok((response.status, headers, body).into_pyobject(py)?.into_any())
}
