//! The chunks of one streamed answer, on their way from the loop to the wire.

use bytes::Bytes;
use nexus_core::answer::StreamAborted;
use parking_lot::Mutex;
use pyo3::exceptions::PyConnectionError;
use pyo3::prelude::*;
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::core::Link;

/// Chunks that may wait for a slow reader before the handler waits for it.
pub(crate) const WINDOW: usize = 16;

pub(crate) type Sender = mpsc::Sender<Result<Bytes, StreamAborted>>;

/// The chunks of one streamed answer, written from the loop.
#[pyclass(frozen, module = "nexus_gateway._core")]
pub(crate) struct Stream {
    sender: Mutex<Option<Sender>>,
    /// Starts the answer with the first chunk.
    start: Mutex<Option<Start>>,
    link: Py<Link>,
    thread: usize,
}

/// Delivers the head of the answer: what the wrapper of the handler gives to be called once.
pub(crate) type Start = Box<dyn FnOnce(Python<'_>) + Send>;

impl Stream {
    pub(crate) fn new(sender: Sender, start: Start, link: Py<Link>, thread: usize) -> Self {
        Self { sender: Mutex::new(Some(sender)), start: Mutex::new(Some(start)), link, thread }
    }

    /// Starts the answer unless it has been; whether it had been.
    pub(crate) fn begin(&self, py: Python<'_>) -> bool {
        let start = self.start.lock().take();
        match start {
            Some(start) => {
                start(py);
                false
            }
            None => true,
        }
    }

    /// Whether the answer has been started.
    pub(crate) fn begun(&self) -> bool {
        self.start.lock().is_none()
    }

    /// Ends the stream: at its end, or as cut.
    pub(crate) fn end(&self, cut: bool) {
        let sender = self.sender.lock().take();
        if let (true, Some(sender)) = (cut, sender) {
            self.link.get().handle(self.thread).spawn(async move {
                // A reader that has gone needs not be told.
                let _ = sender.send(Err(StreamAborted)).await;
            });
        }
    }
}

#[pymethods]
impl Stream {
    /// Hands over a chunk; returns a future to await where the client reads slowly.
    fn send<'py>(
        &self,
        py: Python<'py>,
        chunk: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let chunk = Bytes::copy_from_slice(chunk.extract::<&[u8]>()?);
        self.begin(py);
        let Some(sender) = self.sender.lock().clone() else {
            return Err(gone());
        };
        match sender.try_send(Ok(chunk)) {
            Ok(()) => Ok(None),
            Err(TrySendError::Closed(_)) => Err(gone()),
            Err(TrySendError::Full(chunk)) => {
                let link = self.link.get();
                let (token, future) = link.promise(py)?;
                let queue = link.queue();
                link.handle(self.thread).spawn(async move {
                    let sent = sender.send(chunk).await.is_ok();
                    queue.resolve(token, nexus_core::server::Completion::Sent(sent));
                });
                Ok(Some(future))
            }
        }
    }
}

pub(crate) fn gone() -> PyErr {
    PyConnectionError::new_err("the client has gone away")
}
