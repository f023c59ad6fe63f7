//! From what a handler returns, or raises, to the answer that leaves.

use std::borrow::Cow;

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use nexus_core::answer::Answer;
use nexus_core::handler::Outcome;
use nexus_core::reject::{INTERNAL_ERROR, KINDS, Rejection};
use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyString};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const BINARY: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Bytes of an answer whose buffer is kept for the next.
const KEPT: usize = 64 << 10;

/// Makes answers of Python's values.
pub(crate) struct Replies {
    reply: Py<PyAny>,
    encode: Py<PyAny>,
    refuse: Py<PyAny>,
    /// The type of async generators.
    chunks: Py<PyAny>,
    buffer: Mutex<Option<Py<PyByteArray>>>,
}

impl Replies {
    pub(crate) fn new(
        py: Python<'_>,
        reply: Py<PyAny>,
        encode: Py<PyAny>,
        refuse: Py<PyAny>,
    ) -> PyResult<Self> {
        let chunks = py.import("types")?.getattr("AsyncGeneratorType")?.unbind();
        Ok(Self { reply, encode, refuse, chunks, buffer: Mutex::new(None) })
    }

    /// What a handler returned.
    pub(crate) fn outcome(
        &self,
        py: Python<'_>,
        value: &Bound<'_, PyAny>,
        request_id: &str,
    ) -> Outcome {
        self.answer(py, value).or_else(|error| self.refusal(py, &error, request_id))
    }

    fn answer(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Answer> {
        if value.get_type().is(self.reply.bind(py)) {
            return self.reply(py, value);
        }
        let status = if value.is_none() { StatusCode::NO_CONTENT } else { StatusCode::OK };
        self.content(py, value, status)
    }

    /// The head of an answer whose content is an async generator, and the generator.
    pub(crate) fn streamed<'py>(
        &self,
        py: Python<'py>,
        value: &Bound<'py, PyAny>,
    ) -> PyResult<Option<(Answer, Bound<'py, PyAny>)>> {
        if !value.get_type().is(self.reply.bind(py)) {
            return Ok(None);
        }
        let chunks = value.getattr(intern!(py, "content"))?;
        if !chunks.get_type().is(self.chunks.bind(py)) {
            return Ok(None);
        }
        let mut answer = Answer::empty(status_of(py, value)?);
        answer.content_type = Some(BINARY);
        dress(py, value, answer).map(|answer| Some((answer, chunks)))
    }

    /// An answer with a status and headers of its own.
    fn reply(&self, py: Python<'_>, reply: &Bound<'_, PyAny>) -> PyResult<Answer> {
        let content = reply.getattr(intern!(py, "content"))?;
        let answer = self.content(py, &content, status_of(py, reply)?)?;
        dress(py, reply, answer)
    }

    fn content(
        &self,
        py: Python<'_>,
        value: &Bound<'_, PyAny>,
        status: StatusCode,
    ) -> PyResult<Answer> {
        if value.is_none() {
            return Ok(Answer::empty(status));
        }
        if let Ok(text) = value.cast_exact::<PyString>() {
            let body = Bytes::copy_from_slice(text.to_cow()?.as_bytes());
            return Ok(Answer::full(status, TEXT, body));
        }
        if let Ok(bytes) = value.cast_exact::<PyBytes>() {
            return Ok(Answer::full(status, BINARY, Bytes::copy_from_slice(bytes.as_bytes())));
        }
        Ok(Answer::full(status, JSON, self.encoded(py, value)?))
    }

    /// A value as JSON, by way of a buffer that is used again: it has grown to what answers are like already.
    fn encoded(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Bytes> {
        // What encodes within this, by a property of a value say, takes another.
        let kept = self.buffer.lock().take();
        let buffer = kept.map_or_else(|| PyByteArray::new(py, &[]), |kept| kept.into_bound(py));
        self.encode.bind(py).call1((value, &buffer))?;
        // SAFETY: the interpreter is held, and nothing of Python's runs while the bytes are copied.
        let body = Bytes::copy_from_slice(unsafe { buffer.as_bytes() });
        if body.len() <= KEPT {
            *self.buffer.lock() = Some(buffer.unbind());
        }
        Ok(body)
    }

    /// What an exception is answered with. An exception in saying so is a 500 too.
    pub(crate) fn refusal(&self, py: Python<'_>, error: &PyErr, request_id: &str) -> Outcome {
        Err(self.read_refusal(py, error, request_id).unwrap_or_else(|second| {
            second.write_unraisable(py, None);
            Rejection::new(&INTERNAL_ERROR)
        }))
    }

    fn read_refusal(
        &self,
        py: Python<'_>,
        error: &PyErr,
        request_id: &str,
    ) -> PyResult<Box<Rejection>> {
        type Refusal = (String, u16, String, Option<Vec<u8>>, Vec<(String, String)>);
        let (code, status, message, details, headers): Refusal = self
            .refuse
            .bind(py)
            .call1((error.clone_ref(py).into_value(py), request_id))?
            .extract()?;
        let kind = KINDS
            .iter()
            .find(|kind| kind.code == code)
            .ok_or_else(|| PyValueError::new_err(format!("{code:?} is not a kind of refusal")))?;
        let mut rejection = Rejection::because(kind, Cow::Owned(message));
        rejection.status = status;
        if let Some(details) = details {
            rejection.details = serde_json::from_slice(&details)
                .map_err(|error| PyValueError::new_err(format!("details: {error}")))?;
        }
        for (name, value) in &headers {
            rejection.headers.push((header_name(name)?, header_value(value)?));
        }
        Ok(rejection)
    }
}

/// Gives an answer the content type and headers of a reply.
fn dress(py: Python<'_>, reply: &Bound<'_, PyAny>, mut answer: Answer) -> PyResult<Answer> {
    let content_type = reply.getattr(intern!(py, "content_type"))?;
    if let Some(content_type) = content_type.extract::<Option<String>>()? {
        answer.content_type = Some(header_value(&content_type)?);
    }
    for pair in reply.getattr(intern!(py, "headers"))?.try_iter()? {
        let (name, value): (String, String) = pair?.extract()?;
        answer.headers.push((header_name(&name)?, header_value(&value)?));
    }
    Ok(answer)
}

fn status_of(py: Python<'_>, reply: &Bound<'_, PyAny>) -> PyResult<StatusCode> {
    let status: u16 = reply.getattr(intern!(py, "status"))?.extract()?;
    StatusCode::from_u16(status)
        .map_err(|_| PyValueError::new_err(format!("{status} is not an HTTP status")))
}

fn header_name(name: &str) -> PyResult<HeaderName> {
    name.parse().map_err(|_| PyValueError::new_err(format!("{name:?} is not a header name")))
}

/// A header value; one with a line end in it, say, is refused rather than sent.
fn header_value(value: &str) -> PyResult<HeaderValue> {
    HeaderValue::from_str(value)
        .map_err(|_| PyValueError::new_err(format!("{value:?} is not a header value")))
}
