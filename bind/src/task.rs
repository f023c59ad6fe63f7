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
        coroutine: &Bound<'_, PyAny>,
        context: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let arguments = PyTuple::new(py, [coroutine])?;
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

impl FirstSteps {
    /// Does something while they are caught; the first error is that of the loop, the second its own.
    fn caught<T>(
        this: &Py<Self>,
        event_loop: &Bound<'_, PyAny>,
        make: impl FnOnce() -> T,
    ) -> PyResult<T> {
        let name = intern!(event_loop.py(), "call_soon");
        event_loop.setattr(name, this)?;
        let made = make();
        event_loop.delattr(name)?;
        Ok(made)
    }

    fn next(&self) -> Option<(Py<PyAny>, Py<PyAny>)> {
        self.0.lock().pop_front()
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
        FirstSteps::caught(&self.first_steps, self.event_loop.bind(py), || {
            calls
                .map(|running| {
                    let running = Py::new(py, running)?;
                    Ok((self.tasks.make(py, running.bind(py), None)?, running))
                })
                .collect()
        })?
    }

    /// Runs the first steps of the tasks made. What ends a step, such as `KeyboardInterrupt`, leaves the others for
    /// the next time.
    pub(crate) fn advance(&self, py: Python<'_>) -> PyResult<()> {
        let steps = self.first_steps.get();
        loop {
            let Some((step, context)) = steps.next() else { return Ok(()) };
            context.bind(py).call_method1(intern!(py, "run"), (step,))?;
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.first_steps.get().0.lock().is_empty()
    }
}

/// Runs the first step of a handler when its call is taken, and makes no task for a handler that is at its end with it.
///
/// A task that was made and not started yet, the spare, is the current one during that step, and among all tasks. A
/// handler that waits for something keeps it, and the next gets another. So does one that leaves a trace on it: a
/// reference, a callback, a name, a cancellation, a context variable; the task then comes to its end as any. A spare
/// that nobody can have seen is left for the next handler.
pub(crate) struct Eager {
    tasks: Tasks,
    event_loop: Py<PyAny>,
    copy_context: Py<PyAny>,
    enter: Py<PyAny>,
    leave: Py<PyAny>,
    register: Py<PyAny>,
    unregister: Py<PyAny>,
    first_steps: Py<FirstSteps>,
    layout: Layout,
    spare: Mutex<Option<Spare>>,
    /// Whether the spare is the loop's current task.
    entered: AtomicBool,
}

/// Leaves a trace on a task, and gives what has to be held for it.
type Leave<'c> = dyn Fn(&Bound<'_, PyAny>) -> PyResult<Py<PyAny>> + 'c;

pub(crate) struct Spare {
    task: Py<PyAny>,
    running: Py<Running>,
    /// What runs something within its context, and what it is called with to run the handler's first step.
    run: Py<PyAny>,
    advance: Py<PyTuple>,
    /// The task's own first step, caught when it was made.
    step: Py<PyAny>,
    context: Py<PyAny>,
    pristine: Py<PyAny>,
    /// The task's own memory when it became the current one.
    image: Vec<u8>,
}

impl Eager {
    /// `None` where it could not be told whether a handler has left a trace on a task: this Python keeps them elsewhere.
    pub(crate) fn new(event_loop: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        let py = event_loop.py();
        // Documented for those who write task types of their own: "Extending asyncio", Task lifetime support.
        let lifetime = py.import("asyncio.tasks")?;
        let function = |name: &str| lifetime.getattr(name).map(Bound::unbind);
        let tasks = Tasks::new(event_loop)?;
        let made = Self {
            layout: Layout::of(tasks.kind.bind(py))?,
            tasks,
            event_loop: event_loop.clone().unbind(),
            copy_context: py.import("contextvars")?.getattr("copy_context")?.unbind(),
            enter: function("_enter_task")?,
            leave: function("_leave_task")?,
            register: function("_register_task")?,
            unregister: function("_unregister_task")?,
            first_steps: Py::new(py, FirstSteps::default())?,
            spare: Mutex::new(None),
            entered: AtomicBool::new(false),
        };
        Ok(made.sees_traces(py)?.then_some(made))
    }

    /// Whether each kind of trace shows in a task's memory.
    fn sees_traces(&self, py: Python<'_>) -> PyResult<bool> {
        let callback = py.import("builtins")?.getattr("repr")?;
        let leave: [&Leave<'_>; 6] = [
            &|task| Ok(task.clone().unbind()),
            &|task| {
                let weakref = task.py().import("weakref")?.getattr("ref")?;
                weakref.call1((task, &callback)).map(Bound::unbind)
            },
            &|task| task.setattr("trace", 1).map(|()| task.py().None()),
            &|task| task.call_method1("add_done_callback", (&callback,)).map(Bound::unbind),
            &|task| task.call_method1("set_name", ("trace",)).map(Bound::unbind),
            &|task| task.call_method0("cancel").map(Bound::unbind),
        ];
        for leave in leave {
            let coroutine = py.import("asyncio")?.call_method1("sleep", (0,))?;
            let (task, _) = self.unstarted(py, &coroutine, None)?;
            let task = task.bind(py);
            let before = self.layout.image(task);
            let _trace = leave(task)?;
            let shows = !self.layout.is_same(task, &before);
            coroutine.call_method0("close")?; // or it would be told that nobody awaited it
            if !shows {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Runs a call's first step; its task, where the handler waits for something. The spare remains the current task for
    /// the next call, until [`Eager::leave`].
    pub(crate) fn run(&self, link: &Bound<'_, Link>, work: Work) -> PyResult<Option<Task>> {
        let py = link.py();
        let kept = self.spare.lock().take();
        let mut spare = match kept {
            Some(spare) => spare,
            None => self.make(link)?,
        };
        spare.running.get().take(work);
        if !self.entered.swap(true, Ordering::Relaxed) {
            self.register.bind(py).call1((&spare.task,))?;
            self.enter.bind(py).call1((&self.event_loop, &spare.task))?;
            spare.image = self.layout.image(spare.task.bind(py));
        }
        let ended = spare.run.bind(py).call1(spare.advance.bind(py)).and_then(|it| it.is_truthy());
        let untouched = matches!(ended, Ok(true)) && {
            self.layout.is_same(spare.task.bind(py), &spare.image)
                // Contexts that nobody changed share their variables, so comparing them compares one pointer; of others
                // the values are compared, which may fail: they are others in any case.
                && spare.context.bind(py).eq(&spare.pristine).unwrap_or(false)
        };
        if untouched {
            *self.spare.lock() = Some(spare);
            return Ok(None);
        }
        // Also where something failed: a spare that is dropped must not stay the current task.
        self.entered.store(false, Ordering::Relaxed);
        self.leave.bind(py).call1((&self.event_loop, &spare.task))?;
        let ended = match ended {
            Ok(ended) => ended,
            Err(error) => {
                self.unregister.bind(py).call1((&spare.task,))?;
                return Err(error);
            }
        };
        spare.task.bind(py).setattr(intern!(py, "_log_destroy_pending"), true)?;
        spare.run.bind(py).call1((&spare.step,))?;
        Ok((!ended).then_some((spare.task, spare.running)))
    }

    /// Lets there be no current task any more; called before the loop goes on.
    pub(crate) fn leave(&self, py: Python<'_>) -> PyResult<()> {
        let spare = self.spare.lock();
        if let Some(spare) = &*spare
            && self.entered.swap(false, Ordering::Relaxed)
        {
            self.leave.bind(py).call1((&self.event_loop, &spare.task))?;
            self.unregister.bind(py).call1((&spare.task,))?;
        }
        Ok(())
    }

    /// Gives the spare away, which refers to the link.
    pub(crate) fn take_spare(&self) -> Option<Spare> {
        self.spare.lock().take()
    }

    fn make(&self, link: &Bound<'_, Link>) -> PyResult<Spare> {
        let py = link.py();
        let context = self.copy_context.bind(py).call0()?;
        let pristine = context.call_method0(intern!(py, "copy"))?.unbind();
        let running = Bound::new(py, Running::new(link.clone().unbind(), None))?;
        let advance = PyTuple::new(py, [running.getattr(intern!(py, "advance"))?])?.unbind();
        let running = running.unbind();
        let (task, step) = self.unstarted(py, running.bind(py), Some(&context))?;
        let run = context.getattr(intern!(py, "run"))?.unbind();
        let context = context.unbind();
        Ok(Spare { task, running, run, advance, step, context, pristine, image: Vec::new() })
    }

    /// A task that is nobody's yet, and its first step: it is not among `all_tasks`, and may be dropped without a warning.
    fn unstarted(
        &self,
        py: Python<'_>,
        coroutine: &Bound<'_, PyAny>,
        context: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<(Py<PyAny>, Py<PyAny>)> {
        let event_loop = self.event_loop.bind(py);
        let task = FirstSteps::caught(&self.first_steps, event_loop, || {
            self.tasks.make(py, coroutine, context)
        })??;
        let step = self.first_steps.get().next();
        self.unregister.bind(py).call1((&task,))?;
        task.bind(py).setattr(intern!(py, "_log_destroy_pending"), false)?;
        Ok((task, step.map_or_else(|| py.None(), |(step, _)| step)))
    }
}

/// Where a task's memory is: how many refer to it, strongly or weakly, and all that it holds. As long as that is the same
/// byte for byte, nobody has kept or changed it.
struct Layout {
    /// Bytes from its address on.
    size: usize,
    /// Whether its attributes and weak references are before its address, as from Python 3.13 on.
    managed: bool,
}

impl Layout {
    /// `Py_TPFLAGS_MANAGED_WEAKREF`, `Py_TPFLAGS_MANAGED_DICT`.
    const MANAGED: u64 = 1 << 3 | 1 << 4;
    /// Bytes, and how far before the address: two pointers, and after them two of the garbage collector, which change
    /// by themselves.
    const BEFORE: usize = 2 * size_of::<usize>();
    const AHEAD: usize = 4 * size_of::<usize>();

    fn of(kind: &Bound<'_, PyAny>) -> PyResult<Self> {
        let flags: u64 = kind.getattr("__flags__")?.extract()?;
        let size = kind.getattr("__basicsize__")?.extract()?;
        Ok(Self { size, managed: flags & Self::MANAGED == Self::MANAGED })
    }

    fn image(&self, task: &Bound<'_, PyAny>) -> Vec<u8> {
        let [before, own] = self.memory(task);
        [before, own].concat()
    }

    fn is_same(&self, task: &Bound<'_, PyAny>, image: &[u8]) -> bool {
        let [before, own] = self.memory(task);
        image.split_at_checked(before.len()) == Some((before, own))
    }

    fn memory<'t>(&self, task: &'t Bound<'_, PyAny>) -> [&'t [u8]; 2] {
        let address: *const u8 = task.as_ptr().cast();
        // SAFETY: a task has `__basicsize__` bytes from its address on, and those that its flags tell of before it; who
        // holds the interpreter may read them, and they are read before anything else runs.
        unsafe {
            let before = if self.managed {
                std::slice::from_raw_parts(address.sub(Self::AHEAD), Self::BEFORE)
            } else {
                &[]
            };
            [before, std::slice::from_raw_parts(address, self.size)]
        }
    }
}
