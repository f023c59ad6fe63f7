//! The handlers by program: those of an old program stay until its last call has ended.

use nexus_core::handler::TableId;
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use crate::call::Endpoint;

/// The handlers of the programs that have calls, the newest last.
#[derive(Default)]
pub(crate) struct Tables {
    all: Mutex<Vec<Table>>,
}

struct Table {
    id: TableId,
    endpoints: Vec<Py<Endpoint>>,
    /// Calls that have begun and not ended.
    running: usize,
    /// Whether no further call can come.
    retired: bool,
    /// Names the future of the one that waits for its end.
    token: Option<u64>,
}

impl Tables {
    /// Adds the handlers of a program.
    pub(crate) fn add(&self, id: TableId, endpoints: Vec<Py<Endpoint>>) {
        let table = Table { id, endpoints, running: 0, retired: false, token: None };
        self.all.lock().push(table);
    }

    /// Names the future that is resolved when the last call of a program has ended.
    pub(crate) fn wait_for(&self, id: TableId, token: u64) {
        if let Some(table) = self.all.lock().iter_mut().rev().find(|table| table.id == id) {
            table.token = Some(token);
        }
    }

    /// The handler of a call that begins now; [`Tables::end`] follows.
    pub(crate) fn begin(&self, py: Python<'_>, id: TableId, handler: u32) -> Option<Py<Endpoint>> {
        let mut all = self.all.lock();
        // Of the newest program nearly always.
        let table = all.iter_mut().rev().find(|table| table.id == id)?;
        let endpoint = table.endpoints.get(handler as usize)?.clone_ref(py);
        table.running += 1;
        Some(endpoint)
    }

    /// Says that a call has ended; the token of the one that waits for the program's end, if this was it.
    pub(crate) fn end(&self, id: TableId) -> Option<u64> {
        self.change(id, |table| table.running -= 1)
    }

    /// Says that no further call can come; the result is that of [`Tables::end`].
    pub(crate) fn retire(&self, id: TableId) -> Option<u64> {
        self.change(id, |table| table.retired = true)
    }

    fn change(&self, id: TableId, change: impl FnOnce(&mut Table)) -> Option<u64> {
        let mut all = self.all.lock();
        let index = all.iter().rposition(|table| table.id == id)?;
        let table = all.get_mut(index)?;
        change(table);
        if !table.retired || table.running > 0 {
            return None;
        }
        let ended = all.remove(index);
        drop(all); // what follows may run code of Python
        ended.token
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // A lock that is held is the collector's own thread in `begin`: it visits what it can.
        let Some(all) = self.all.try_lock() else { return Ok(()) };
        all.iter().flat_map(|table| &table.endpoints).try_for_each(|endpoint| visit.call(endpoint))
    }
}
