//! Regular expressions that take linear time, whatever their text: for patterns that come from clients.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use regex_lite::{Regex, RegexBuilder};

/// What a compiled pattern may take, in bytes: it bounds the time of a match too.
const COMPILED: usize = 64 << 10;
/// How deeply groups may be nested.
const NESTED: u32 = 20;

/// A regular expression without backtracking; look-around and back-references do not exist.
#[pyclass(frozen, module = "nexus_gateway._core")]
pub(crate) struct Pattern(Regex);

#[pymethods]
impl Pattern {
    #[new]
    fn new(pattern: &str) -> PyResult<Self> {
        RegexBuilder::new(pattern)
            .size_limit(COMPILED)
            .nest_limit(NESTED)
            .build()
            .map(Self)
            .map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// Whether the pattern occurs anywhere in the text.
    fn occurs(&self, py: Python<'_>, text: &str) -> bool {
        // Other threads go on while a long text is read.
        if text.len() < 4096 { self.0.is_match(text) } else { py.detach(|| self.0.is_match(text)) }
    }
}
