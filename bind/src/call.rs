//! Handlers: how one is called, and how its coroutine is stepped so that its answer leaves the moment it is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue};
use nexus_core::answer::{Answer, Chunks, Content};
use nexus_core::handler::{Call, CallId, Outcome, TableId};
use parking_lot::Mutex;
use pyo3::exceptions::{PyStopIteration, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use pyo3::{ffi, intern};
use tokio::sync::mpsc;

use crate::core::Link;
use crate::reply::{Fault, Replies};
use crate::stream::{Stream, WINDOW};
use crate::values::{Slot, Values};

/// What the bridge needs of Python, given once.
#[pyclass(frozen, module = "nexus_gateway._core")]
pub(crate) struct Bridge {
    pub(crate) values: Values,
    pub(crate) replies: Replies,
    pump: Py<PyAny>,
}

#[pymethods]
impl Bridge {
    #[new]
    #[pyo3(signature = (*, claims, trace, reply, encode, refuse, pump))]
    fn new(
        py: Python<'_>,
        claims: Py<PyAny>,
        trace: Py<PyAny>,
        reply: Py<PyAny>,
        encode: Py<PyAny>,
        refuse: Py<PyAny>,
        pump: Py<PyAny>,
    ) -> PyResult<Self> {
        let values = Values::new(claims, trace);
        Ok(Self { values, replies: Replies::new(py, reply, encode, refuse)?, pump })
    }
}

/// One handler as the bridge calls it.
#[pyclass(frozen, module = "nexus_gateway._core")]
pub(crate) struct Endpoint {
    call: Py<PyAny>,
    slots: Option<Vec<Slot>>,
    /// The content type of what it yields, where it is a stream.
    stream: Option<HeaderValue>,
    /// Module, name and place of the handler, for the log.
    pub(crate) origin: Py<PyString>,
}

#[pymethods]
impl Endpoint {
    #[new]
    fn new(
        call: Py<PyAny>,
        slots: Option<Vec<Bound<'_, PyAny>>>,
        stream: Option<&str>,
        origin: Py<PyString>,
    ) -> PyResult<Self> {
        let slots = slots.map(|slots| slots.iter().map(Slot::read).collect()).transpose()?;
        let stream = stream
            .map(HeaderValue::from_str)
            .transpose()
            .map_err(|_| PyValueError::new_err(format!("{stream:?} is not a content type")))?;
        Ok(Self { call, slots, stream, origin })
    }
}

impl Endpoint {
    /// Calls the handler with what the filters extracted: a coroutine, or for a stream an iterator.
    fn call<'py>(
        &self,
        py: Python<'py>,
        bridge: &Bridge,
        values: Vec<nexus_core::value::Value>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let arguments = match &self.slots {
            Some(slots) => bridge.values.arguments(py, slots, values)?,
            None => bridge.values.list(py, values)?,
        };
        self.call.bind(py).call1(arguments)
    }
}

/// Starts a call: what is to be run as a task, or the answer where it fails before.
pub(crate) fn start(
    link: &Bound<'_, Link>,
    endpoint: Py<Endpoint>,
    bridge: &Bridge,
    call: Call,
) -> Result<Work, Outcome> {
    let py = link.py();
    let (id, table, request_id) = (call.id, call.table, call.request_id);
    let own = endpoint.get();
    let refused =
        |error: PyErr| bridge.replies.refusal(py, &error, &request_id, &own.origin, Fault::Raised);
    let made = own.call(py, bridge, call.values).map_err(refused)?;
    let work = |coroutine| Work {
        coroutine,
        id,
        table,
        endpoint: endpoint.clone_ref(py),
        request_id: Arc::clone(&request_id),
        stream: None,
    };
    let Some(content_type) = &own.stream else { return Ok(work(made.unbind())) };
    let mut head = Answer::empty(StatusCode::OK);
    head.content_type = Some(content_type.clone());
    pump(link, bridge, &made, head, &work(py.None())).map_err(refused)
}

/// The work that writes the chunks of an async iterator as an answer with this head.
fn pump(
    link: &Bound<'_, Link>,
    bridge: &Bridge,
    chunks: &Bound<'_, PyAny>,
    head: Answer,
    call: &Work,
) -> PyResult<Work> {
    let stream = open(link, call.id, head)?;
    let coroutine = bridge.pump.bind(link.py()).call1((chunks, &stream))?.unbind();
    Ok(Work {
        coroutine,
        id: call.id,
        table: call.table,
        endpoint: call.endpoint.clone_ref(link.py()),
        request_id: Arc::clone(&call.request_id),
        stream: Some(stream.unbind()),
    })
}

/// The stream of a call; its first chunk is what delivers the answer's head.
fn open<'py>(
    link: &Bound<'py, Link>,
    id: CallId,
    mut head: Answer,
) -> PyResult<Bound<'py, Stream>> {
    let (sender, receiver) = mpsc::channel(WINDOW);
    if head.headers.iter().all(|(name, _)| name != CACHE_CONTROL) {
        head.headers.push((CACHE_CONTROL, HeaderValue::from_static("no-cache")));
    }
    let parts = Mutex::new(Some((receiver, head)));
    let target = link.clone().unbind();
    let queue = link.get().queue();
    let start = move |py: Python<'_>| {
        let Some((receiver, mut answer)) = parts.lock().take() else { return };
        answer.content = Content::stream(Chunks::new(receiver, Abandon { queue, id }));
        target.bind(py).get().answer(target.bind(py), id, Ok(answer));
    };
    let stream = Stream::new(sender, Box::new(start), link.clone().unbind(), id.thread());
    Bound::new(link.py(), stream)
}

/// Stops the handler of a stream when nobody reads it any more.
struct Abandon {
    queue: std::sync::Arc<crate::core::Queue>,
    id: CallId,
}

impl Drop for Abandon {
    fn drop(&mut self) {
        self.queue.abandon(self.id);
    }
}

/// The coroutine that an `asyncio.Task` runs for a call: it steps the handler's own and sees its end first, so that
/// the answer is handed over within the handler's last step, without a callback of the loop in between.
#[pyclass(frozen, module = "nexus_gateway._core")]
pub(crate) struct Running {
    link: Py<Link>,
    /// `None` once the call has ended.
    work: Mutex<Option<Work>>,
    /// Nobody waits for the answer any more.
    cancelled: AtomicBool,
}

/// A call that has been started.
pub(crate) struct Work {
    coroutine: Py<PyAny>,
    id: CallId,
    /// The handlers of its program.
    table: TableId,
    endpoint: Py<Endpoint>,
    request_id: Arc<str>,
    stream: Option<Py<Stream>>,
}

/// What follows a handler's end.
enum Next<'py> {
    Answer(Bound<'py, PyAny>),
    /// It returned an answer whose chunks are still to be made.
    Pump(Work),
}

enum Step<'py> {
    Waits(Bound<'py, PyAny>),
    Returned(Bound<'py, PyAny>),
}

#[pymethods]
impl Running {
    fn __await__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(coroutine) = self.coroutine(py) else { return Ok(None) };
        self.after(py, send(&coroutine, py.None().bind(py)))
    }

    fn send<'py>(
        &self,
        py: Python<'py>,
        value: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(coroutine) = self.coroutine(py) else { return Ok(None) };
        self.after(py, send(&coroutine, value))
    }

    #[pyo3(signature = (*arguments))]
    fn throw<'py>(
        &self,
        py: Python<'py>,
        arguments: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let ended = || PyStopIteration::new_err(());
        let Some(coroutine) = self.coroutine(py) else {
            // A handler that has cancelled itself in its last step: its task is cancelled.
            let thrown = arguments.get_item(0).map_or_else(|_| ended(), PyErr::from_value);
            return Err(thrown);
        };
        let step = coroutine
            .call_method1(intern!(py, "throw"), arguments)
            .map(Step::Waits)
            .or_else(|error| match error.value(py).cast::<PyStopIteration>() {
                Ok(stop) => Ok(Step::Returned(stop.getattr(intern!(py, "value"))?)),
                Err(_) => Err(error),
            });
        self.after(py, step)?.ok_or_else(ended)
    }

    pub(crate) fn close(&self, py: Python<'_>) -> PyResult<()> {
        let Some(coroutine) = self.coroutine(py) else { return Ok(()) };
        let closed = coroutine.call_method0(intern!(py, "close")).map(|_| ());
        let work = self.work.lock().take();
        if let Some(work) = work {
            self.link.get().forget(py, work.id, work.table);
        }
        closed
    }
}

impl Running {
    /// A coroutine for a call.
    pub(crate) fn new(link: Py<Link>, work: Work) -> Self {
        Self { link, work: Mutex::new(Some(work)), cancelled: AtomicBool::new(false) }
    }

    /// Whether the call has been answered.
    pub(crate) fn has_ended(&self) -> bool {
        self.work.lock().is_none()
    }

    /// Says that nobody waits for the answer any more.
    pub(crate) fn abandon(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    fn coroutine<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.work.lock().as_ref().map(|work| work.coroutine.bind(py).clone())
    }

    /// Passes on what the handler waits for; at its end delivers the answer and ends too.
    fn after<'py>(
        &self,
        py: Python<'py>,
        step: PyResult<Step<'py>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let returned = match step {
            Ok(Step::Waits(future)) => return Ok(Some(future)),
            Ok(Step::Returned(value)) => Ok(value),
            Err(error) => Err(error),
        };
        let Some(work) = self.work.lock().take() else { return Ok(None) };
        let link = self.link.bind(py);
        let returned = match returned.and_then(|value| work.continued(link, value)) {
            Ok(Next::Pump(work)) => {
                let coroutine = work.coroutine.bind(py).clone();
                *self.work.lock() = Some(work);
                return self.after(py, send(&coroutine, py.None().bind(py)));
            }
            Ok(Next::Answer(value)) => Ok(value),
            Err(error) => Err(error),
        };
        link.get().forget(py, work.id, work.table);
        match returned {
            Ok(value) => work.returned(link, &value),
            Err(error) => self.raised(&work, link, error)?,
        }
        Ok(None)
    }

    fn raised(&self, work: &Work, link: &Bound<'_, Link>, error: PyErr) -> PyResult<()> {
        let py = link.py();
        let cancelled = error.is_instance(py, link.get().cancelled_error(py));
        if !(cancelled && self.cancelled.load(Ordering::Relaxed)) {
            work.failed(link, &error);
        }
        // `SystemExit` and `KeyboardInterrupt` end here too: passed on, they would end the loop, and with it the
        // gateway, for everybody. Signals reach the loop on a way of their own.
        if cancelled { Err(error) } else { Ok(()) }
    }
}

impl Work {
    /// Goes on with the chunks of what was returned, where it is an answer that is made of chunks.
    fn continued<'py>(
        &self,
        link: &Bound<'py, Link>,
        value: Bound<'py, PyAny>,
    ) -> PyResult<Next<'py>> {
        if self.stream.is_some() {
            return Ok(Next::Answer(value));
        }
        let bridge = link.get().bridge();
        match bridge.replies.streamed(link.py(), &value)? {
            None => Ok(Next::Answer(value)),
            Some((head, chunks)) => pump(link, bridge, &chunks, head, self).map(Next::Pump),
        }
    }

    fn returned(&self, link: &Bound<'_, Link>, value: &Bound<'_, PyAny>) {
        match &self.stream {
            None => {
                let origin = &self.endpoint.get().origin;
                let replies = &link.get().bridge().replies;
                let outcome = replies.outcome(link.py(), value, &self.request_id, origin);
                link.get().answer(link, self.id, outcome);
            }
            Some(stream) => {
                // A stream without a chunk still has an answer: an empty one.
                stream.get().begin(link.py());
                stream.get().end(false);
            }
        }
    }

    fn failed(&self, link: &Bound<'_, Link>, error: &PyErr) {
        let origin = &self.endpoint.get().origin;
        let replies = &link.get().bridge().replies;
        let outcome = replies.refusal(link.py(), error, &self.request_id, origin, Fault::Raised);
        match &self.stream {
            // The head has left: an honest end is a cut connection. `refuse` has logged the exception.
            Some(stream) if stream.get().begun() => stream.get().end(true),
            _ => link.get().answer(link, self.id, outcome),
        }
    }
}

/// Steps a coroutine.
fn send<'py>(coroutine: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>) -> PyResult<Step<'py>> {
    let py = coroutine.py();
    let mut result: *mut ffi::PyObject = std::ptr::null_mut();
    // SAFETY: the interpreter is held; both pointers come from live bound references, and `result` receives a new
    // reference or null, which is what is taken over below.
    let (status, result) = unsafe {
        let status = ffi::PyIter_Send(coroutine.as_ptr(), value.as_ptr(), &raw mut result);
        (status, Bound::from_owned_ptr_or_opt(py, result))
    };
    match (status, result) {
        (ffi::PySendResult::PYGEN_NEXT, Some(future)) => Ok(Step::Waits(future)),
        (ffi::PySendResult::PYGEN_RETURN, Some(value)) => Ok(Step::Returned(value)),
        _ => Err(PyErr::take(py)
            .unwrap_or_else(|| PyTypeError::new_err("a handler must be `async def`"))),
    }
}
