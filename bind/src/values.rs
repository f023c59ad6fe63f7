//! From the core's values to the arguments of a handler.

use std::sync::Arc;

use ahash::AHashMap;
use nexus_core::identity::Claims;
use nexus_core::trace::Trace;
use nexus_core::value::Value;
use parking_lot::Mutex;
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyFrozenSet, PyList, PyString, PyTuple};

/// Claims remembered as Python objects, with the token's own in the core's cache.
const REMEMBERED: usize = 4096;

/// How one argument of a handler is made.
pub(crate) enum Slot {
    /// The core's next value, converted where it is not a plain one.
    Value(Option<Py<PyAny>>),
    /// A query record.
    Record(Record),
    /// The same object every time.
    Constant(Py<PyAny>),
}

/// A query record: its type, and the name and conversion of each field.
pub(crate) struct Record {
    kind: Py<PyAny>,
    fields: Vec<(Py<PyString>, Option<Py<PyAny>>)>,
}

impl Slot {
    /// Reads one of the tuples that `_core.pyi` describes.
    pub(crate) fn read(slot: &Bound<'_, PyAny>) -> PyResult<Self> {
        let slot = slot.cast::<PyTuple>()?;
        let kind: String = slot.get_item(0)?.extract()?;
        match kind.as_str() {
            "value" => Ok(Self::Value(slot.get_item(1)?.extract()?)),
            "constant" => Ok(Self::Constant(slot.get_item(1)?.unbind())),
            "record" => {
                let names: Vec<Py<PyString>> = slot.get_item(2)?.extract()?;
                let converts: Vec<Option<Py<PyAny>>> = slot.get_item(3)?.extract()?;
                if names.len() != converts.len() {
                    return Err(PyValueError::new_err("a record has a conversion for each name"));
                }
                let fields = names.into_iter().zip(converts).collect();
                Ok(Self::Record(Record { kind: slot.get_item(1)?.unbind(), fields }))
            }
            other => Err(PyValueError::new_err(format!("{other:?} is not a kind of slot"))),
        }
    }
}

/// Claims as the core has them and as Python has them.
type Remembered = (Arc<Claims>, Py<PyAny>);

/// Makes Python's values of the core's.
pub(crate) struct Values {
    claims: Py<PyAny>,
    trace: Py<PyAny>,
    /// By the address of the core's claims, which are kept alive beside, so that it stays theirs.
    remembered: Mutex<AHashMap<usize, Remembered>>,
}

impl Values {
    pub(crate) fn new(claims: Py<PyAny>, trace: Py<PyAny>) -> Self {
        Self { claims, trace, remembered: Mutex::new(AHashMap::new()) }
    }

    /// The arguments of a handler with slots.
    pub(crate) fn arguments<'py>(
        &self,
        py: Python<'py>,
        slots: &[Slot],
        values: Vec<Value>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let mut values = values.into_iter();
        let mut next =
            || values.next().ok_or_else(|| PyRuntimeError::new_err("a value is missing"));
        let arguments = slots
            .iter()
            .map(|slot| match slot {
                Slot::Constant(constant) => Ok(constant.bind(py).clone()),
                Slot::Value(convert) => self.converted(py, next()?, convert.as_ref()),
                Slot::Record(record) => self.record(py, next()?, record),
            })
            .collect::<PyResult<Vec<_>>>()?;
        PyTuple::new(py, arguments)
    }

    /// All values as one list, for a handler without slots.
    pub(crate) fn list<'py>(
        &self,
        py: Python<'py>,
        values: Vec<Value>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let values =
            values.into_iter().map(|value| self.plain(py, value)).collect::<PyResult<Vec<_>>>()?;
        PyTuple::new(py, [PyList::new(py, values)?])
    }

    fn converted<'py>(
        &self,
        py: Python<'py>,
        value: Value,
        convert: Option<&Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let value = self.plain(py, value)?;
        match convert {
            Some(convert) => convert.bind(py).call1((value,)),
            None => Ok(value),
        }
    }

    fn record<'py>(
        &self,
        py: Python<'py>,
        value: Value,
        record: &Record,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Value::Record(fields) = value else {
            return Err(PyTypeError::new_err("the core gave no record for a query"));
        };
        let given = PyDict::new(py);
        for (field, (name, convert)) in fields.into_iter().zip(&record.fields) {
            if let Some(value) = field {
                given.set_item(name, self.converted(py, value, convert.as_ref())?)?;
            }
        }
        record.kind.bind(py).call((), Some(&given))
    }

    fn plain<'py>(&self, py: Python<'py>, value: Value) -> PyResult<Bound<'py, PyAny>> {
        Ok(match value {
            Value::None => py.None().into_bound(py),
            Value::Bool(value) => value.into_pyobject(py)?.to_owned().into_any(),
            Value::Int(value) => value.into_pyobject(py)?.into_any(),
            Value::Float(value) => value.into_pyobject(py)?.into_any(),
            Value::Text(text) => PyString::new(py, &text).into_any(),
            Value::Body(bytes) => PyBytes::new(py, &bytes).into_any(),
            Value::Claims(claims) => self.claims(py, claims)?,
            Value::Trace(trace) => self.trace(py, &trace)?,
            Value::List(items) => {
                let items = items
                    .into_iter()
                    .map(|item| self.plain(py, item))
                    .collect::<PyResult<Vec<_>>>()?;
                PyList::new(py, items)?.into_any()
            }
            Value::Record(fields) => {
                let fields = fields
                    .into_iter()
                    .map(|field| match field {
                        Some(value) => self.plain(py, value),
                        None => Ok(py.Ellipsis().into_bound(py)),
                    })
                    .collect::<PyResult<Vec<_>>>()?;
                PyTuple::new(py, fields)?.into_any()
            }
        })
    }

    /// The Python object of a verified token's claims; the same one for as long as the token is remembered.
    fn claims<'py>(&self, py: Python<'py>, claims: Arc<Claims>) -> PyResult<Bound<'py, PyAny>> {
        let address = Arc::as_ptr(&claims) as usize;
        if let Some((_, known)) = self.remembered.lock().get(&address) {
            return Ok(known.bind(py).clone());
        }
        let made = self.claims.bind(py).call1((
            &*claims.subject,
            PyFrozenSet::new(py, claims.scopes.iter().map(|scope| &**scope))?,
            claims.tenant.as_deref(),
            claims.token_id.as_deref(),
            claims.expires,
            claims.issued,
            PyBytes::new(py, &claims.payload),
        ))?;
        let mut remembered = self.remembered.lock();
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        remembered.insert(address, (claims, made.clone().unbind()));
        Ok(made)
    }

    fn trace<'py>(&self, py: Python<'py>, trace: &Trace) -> PyResult<Bound<'py, PyAny>> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.trace.bind(py).call1((
            text(&trace.trace_id),
            text(&trace.span_id),
            trace.parent_id.as_ref().map(|id| text(id)),
            trace.flags & 1 == 1,
            &*trace.request_id,
            trace.state.as_deref(),
            trace.is_random(),
        ))
    }
}
