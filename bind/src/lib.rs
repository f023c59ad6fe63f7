//! `nexus_gateway._core`: the native core as a Python module. The only room that touches the interpreter.
//!
//! `core` (the file) owns a gateway and its asyncio loop's side of the hand-off; `call` starts and steps handlers, which `tables` has by program;
//! `task` makes asyncio's tasks of them; `values` turns what filters extract into Python's values; `reply` turns what handlers return into answers;
//! `pattern` matches what clients wrote as regular expressions.
#![deny(clippy::undocumented_unsafe_blocks)]
// What Python passes is converted for the call, so the function owns it anyway.
#![allow(clippy::needless_pass_by_value)]

mod call;
mod core;
mod doorbell;
mod pattern;
mod reply;
mod stream;
mod tables;
mod task;
mod values;

use pyo3::prelude::*;

/// For the core's own memory; Python keeps its allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Types and functions of the native core; `_core.pyi` describes them.
#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    std::panic::set_hook(Box::new(|panic| eprintln!("{}", describe(panic))));
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("HubError", module.py().get_type::<core::HubError>())?;
    module.add_class::<core::Core>()?;
    module.add_class::<call::Bridge>()?;
    module.add_class::<call::Endpoint>()?;
    module.add_class::<stream::Stream>()?;
    module.add_class::<pattern::Pattern>()?;
    module.add_function(wrap_pyfunction!(json_fault, module)?)?;
    module.add_function(wrap_pyfunction!(kinds, module)?)
}

/// Why a text is not one value of JSON as every entry point accepts it, if it is not.
#[pyfunction]
#[pyo3(signature = (text, /))]
fn json_fault(text: &[u8]) -> Option<String> {
    nexus_core::json::check(text).err().map(|fault| fault.to_string())
}

/// Every kind of refusal the core knows: code, status, sentence.
#[pyfunction]
fn kinds() -> Vec<(&'static str, u16, &'static str)> {
    nexus_core::reject::KINDS.iter().map(|kind| (kind.code, kind.status, kind.sentence)).collect()
}

/// A panic as a line of the log; the request in which it happened is logged by the core, with its id.
fn describe(panic: &std::panic::PanicHookInfo<'_>) -> String {
    let place = panic.location().map(ToString::to_string);
    let error = nexus_core::panics::message(panic.payload());
    let timestamp = nexus_core::clock::timestamp();
    serde_json::json!({
        "timestamp": timestamp, "level": "error", "message": "panic", "error": error, "place": place,
    })
    .to_string()
}
