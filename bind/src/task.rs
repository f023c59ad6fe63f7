//! Tasks: how a handler's coroutine becomes one of asyncio's.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// Makes tasks of one loop.
pub(crate) struct Tasks {
    kind: Py<PyAny>,
    options: Py<PyDict>,
    /// Whether a task runs its first step while it is made.
    pub(crate) eager: bool,
}

impl Tasks {
    /// Tasks that are made with `eager_start`, where that is asked for and this Python has it (3.12 and newer).
    pub(crate) fn new(event_loop: &Bound<'_, PyAny>, eager: bool) -> PyResult<Self> {
        let py = event_loop.py();
        let eager = eager && py.version_info() >= (3, 12);
        let options = PyDict::new(py);
        options.set_item(intern!(py, "loop"), event_loop)?;
        // Without a name, asyncio formats one for each task.
        options.set_item(intern!(py, "name"), "nexus-call")?;
        if eager {
            options.set_item(intern!(py, "eager_start"), true)?;
        }
        let kind = py.import("asyncio")?.getattr("Task")?.unbind();
        Ok(Self { kind, options: options.unbind(), eager })
    }

    /// Makes a task, in a context of its own. Its first step has been run when this returns if tasks are eager;
    /// otherwise the loop runs it in its next iteration.
    pub(crate) fn make(&self, coroutine: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = coroutine.py();
        let arguments = PyTuple::new(py, [coroutine])?;
        Ok(self.kind.bind(py).call(arguments, Some(self.options.bind(py)))?.unbind())
    }
}
