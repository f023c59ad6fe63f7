//! Tasks: how a handler's coroutine becomes one of asyncio's.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::call::{Running, Work};
use crate::core::Link;

/// A task and the coroutine that it runs.
pub(crate) type Task = (Py<PyAny>, Py<Running>);

/// Makes tasks of one loop.
pub(crate) struct Tasks {
    kind: Py<PyAny>,
    options: Py<PyDict>,
}

impl Tasks {
    pub(crate) fn new(event_loop: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = event_loop.py();
        let options = PyDict::new(py);
        options.set_item("loop", event_loop)?;
        options.set_item("name", "nexus-call")?; // else a name is formatted for each task
        let kind = py.import("asyncio")?.getattr("Task")?.unbind();
        Ok(Self { kind, options: options.unbind() })
    }

    /// Makes a task, whose first step the loop calls soon.
    pub(crate) fn make(
        &self,
        py: Python<'_>,
        running: &Py<Running>,
        context: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let arguments = PyTuple::new(py, [running])?;
        let options = match context {
            None => self.options.bind(py).clone(),
            Some(context) => {
                let options = self.options.bind(py).copy()?;
                options.set_item(intern!(py, "context"), context)?;
                options
            }
        };
        Ok(self.kind.bind(py).call(arguments, Some(&options))?.unbind())
    }
}

/// Makes the plain tasks of a batch, and runs their first steps in one callback of the loop: what the loop does for a
/// callback of its own for each task, a `Handle` made, queued and run, costs about 1 µs.
pub(crate) struct Batch {
    tasks: Tasks,
    event_loop: Py<PyAny>,
    first_steps: Py<FirstSteps>,
}

/// Stands in for the loop's `call_soon` while tasks are made, and keeps what it is asked to call.
#[pyclass(frozen, module = "nexus_gateway._core")]
#[derive(Default)]
struct FirstSteps(Mutex<VecDeque<(Py<PyAny>, Py<PyAny>)>>);

#[pymethods]
impl FirstSteps {
    #[pyo3(signature = (step, *, context))]
    fn __call__(&self, step: Py<PyAny>, context: Py<PyAny>) {
        self.0.lock().push_back((step, context));
    }
}

impl Batch {
    pub(crate) fn new(event_loop: &Bound<'_, PyAny>) -> PyResult<Self> {
        let first_steps = Py::new(event_loop.py(), FirstSteps::default())?;
        let tasks = Tasks::new(event_loop)?;
        Ok(Self { tasks, event_loop: event_loop.clone().unbind(), first_steps })
    }

    /// Makes a task of each call; no code of a handler runs within.
    pub(crate) fn make(
        &self,
        py: Python<'_>,
        calls: impl Iterator<Item = Running>,
    ) -> PyResult<Vec<Task>> {
        let event_loop = self.event_loop.bind(py);
        event_loop.setattr(intern!(py, "call_soon"), &self.first_steps)?;
        let made = calls
            .map(|running| {
                let running = Py::new(py, running)?;
                Ok((self.tasks.make(py, &running, None)?, running))
            })
            .collect();
        event_loop.delattr(intern!(py, "call_soon"))?;
        made
    }

    /// Runs the first steps of the tasks made. What ends a step, such as `KeyboardInterrupt`, leaves the others for
    /// the next time.
    pub(crate) fn advance(&self, py: Python<'_>) -> PyResult<()> {
        let steps = self.first_steps.get();
        loop {
            let next = steps.0.lock().pop_front();
            let Some((step, context)) = next else { return Ok(()) };
            context.bind(py).call_method1(intern!(py, "run"), (step,))?;
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.first_steps.get().0.lock().is_empty()
    }
}

/// Runs the first step of a handler at once, as `Task(eager_start=True)` does from Python 3.12 on, and without making
/// a task for a handler that is at its end with it.
///
/// A task that was made and not started yet, the spare, is the current one during that step. A handler that waits for
/// something keeps it, and the next gets another; one that does not leaves it for the next, unless it left a trace on
/// it: a context variable that was set, a cancellation that was asked for.
pub(crate) struct Eager {
    tasks: Tasks,
    event_loop: Py<PyAny>,
    copy_context: Py<PyAny>,
    enter: Py<PyAny>,
    leave: Py<PyAny>,
    register: Py<PyAny>,
    unregister: Py<PyAny>,
    first_step: Py<FirstStep>,
    spare: Mutex<Option<Spare>>,
    /// Whether the spare is the loop's current task.
    entered: AtomicBool,
}

struct Spare {
    task: Py<PyAny>,
    running: Py<Running>,
    /// What runs something within its context, and what it is called with to run the handler's first step.
    run: Py<PyAny>,
    advance: Py<PyTuple>,
    /// Counts the cancellations that were asked for.
    cancelling: Py<PyAny>,
    /// The task's own first step, caught when it was made.
    step: Py<PyAny>,
    context: Py<PyAny>,
    pristine: Py<PyAny>,
}

/// Stands in for the loop's `call_soon` while the spare is made, and keeps what it is asked to call.
#[pyclass(frozen, module = "nexus_gateway._core")]
#[derive(Default)]
struct FirstStep(Mutex<Option<Py<PyAny>>>);

#[pymethods]
impl FirstStep {
    #[pyo3(signature = (step, *, context))]
    fn __call__(&self, step: Py<PyAny>, context: &Bound<'_, PyAny>) {
        let _ = context; // the one that the task was given
        *self.0.lock() = Some(step);
    }
}

impl Eager {
    pub(crate) fn new(event_loop: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = event_loop.py();
        // Documented for those who write task types of their own: "Extending asyncio", Task lifetime support.
        let lifetime = py.import("asyncio.tasks")?;
        let function = |name: &str| lifetime.getattr(name).map(Bound::unbind);
        Ok(Self {
            tasks: Tasks::new(event_loop)?,
            event_loop: event_loop.clone().unbind(),
            copy_context: py.import("contextvars")?.getattr("copy_context")?.unbind(),
            enter: function("_enter_task")?,
            leave: function("_leave_task")?,
            register: function("_register_task")?,
            unregister: function("_unregister_task")?,
            first_step: Py::new(py, FirstStep::default())?,
            spare: Mutex::new(None),
            entered: AtomicBool::new(false),
        })
    }

    /// Runs a call's first step; its task, where the handler waits for something. The spare remains the current task for
    /// the next call, until [`Eager::leave`].
    pub(crate) fn run(&self, link: &Bound<'_, Link>, work: Work) -> PyResult<Option<Task>> {
        let py = link.py();
        let kept = self.spare.lock().take();
        let spare = match kept {
            Some(spare) => spare,
            None => self.make(link)?,
        };
        spare.running.get().take(work);
        if !self.entered.swap(true, Ordering::Relaxed) {
            self.enter.bind(py).call1((&self.event_loop, &spare.task))?;
        }
        let ended = spare.run.bind(py).call1(spare.advance.bind(py)).and_then(|it| it.is_truthy());
        let pristine = if matches!(ended, Ok(true)) { spare.is_pristine(py) } else { Ok(false) };
        if matches!(pristine, Ok(true)) {
            *self.spare.lock() = Some(spare);
            return Ok(None);
        }
        // Also where something failed: a spare that is dropped must not stay the current task.
        self.leave_task(py, &spare)?;
        pristine?;
        if ended? {
            return Ok(None);
        }
        self.register.bind(py).call1((&spare.task,))?;
        spare.task.bind(py).setattr(intern!(py, "_log_destroy_pending"), true)?;
        spare.run.bind(py).call1((&spare.step,))?;
        Ok(Some((spare.task, spare.running)))
    }

    /// Lets there be no current task any more; called before the loop goes on.
    pub(crate) fn leave(&self, py: Python<'_>) -> PyResult<()> {
        match &*self.spare.lock() {
            Some(spare) => self.leave_task(py, spare),
            None => Ok(()),
        }
    }

    fn leave_task(&self, py: Python<'_>, spare: &Spare) -> PyResult<()> {
        if self.entered.swap(false, Ordering::Relaxed) {
            self.leave.bind(py).call1((&self.event_loop, &spare.task))?;
        }
        Ok(())
    }

    fn make(&self, link: &Bound<'_, Link>) -> PyResult<Spare> {
        let py = link.py();
        let context = self.copy_context.bind(py).call0()?;
        let pristine = context.call_method0(intern!(py, "copy"))?.unbind();
        let running = Bound::new(py, Running::new(link.clone().unbind(), None))?;
        let advance = PyTuple::new(py, [running.getattr(intern!(py, "advance"))?])?.unbind();
        let running = running.unbind();
        let event_loop = self.event_loop.bind(py);
        event_loop.setattr(intern!(py, "call_soon"), &self.first_step)?;
        let task = self.tasks.make(py, &running, Some(&context));
        event_loop.delattr(intern!(py, "call_soon"))?;
        let task = task?;
        let step = self.first_step.get().0.lock().take();
        let step = step.unwrap_or_else(|| py.None());
        // Nobody's task yet: it is not among `all_tasks`, and may be dropped without a warning.
        self.unregister.bind(py).call1((&task,))?;
        task.bind(py).setattr(intern!(py, "_log_destroy_pending"), false)?;
        let run = context.getattr(intern!(py, "run"))?.unbind();
        let cancelling = task.getattr(py, intern!(py, "cancelling"))?;
        let context = context.unbind();
        Ok(Spare { task, running, run, advance, cancelling, step, context, pristine })
    }
}

impl Spare {
    /// Whether the last handler left it as it was. Contexts that nobody changed share their variables, so comparing
    /// them compares one pointer.
    fn is_pristine(&self, py: Python<'_>) -> PyResult<bool> {
        let asked = self.cancelling.bind(py).call0()?;
        Ok(!asked.is_truthy()? && self.context.bind(py).eq(&self.pristine)?)
    }
}
