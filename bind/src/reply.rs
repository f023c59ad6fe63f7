//! From what a handler returns, or raises, to the answer that leaves.

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_LOCATION, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use nexus_core::answer::Answer;
use nexus_core::handler::Outcome;
use nexus_core::reject::{INTERNAL_ERROR, KINDS, Rejection};
use nexus_core::response_head;
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

/// What went wrong with a handler that is answered with a refusal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It raised.
    Raised,
    /// What it returned cannot be sent.
    Returned,
}

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
        origin: &Py<PyString>,
    ) -> Outcome {
        self.answer(py, value)
            .or_else(|error| self.refusal(py, &error, request_id, origin, Fault::Returned))
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
        let status = status_of(py, value)?;
        if response_head::has_no_content(status) {
            return Ok(None);
        }
        let mut answer = Answer::empty(status);
        answer.content_type = Some(BINARY);
        dress(py, value, answer).map(|answer| Some((answer, chunks)))
    }

    /// An answer with a status and headers of its own.
    fn reply(&self, py: Python<'_>, reply: &Bound<'_, PyAny>) -> PyResult<Answer> {
        let content = reply.getattr(intern!(py, "content"))?;
        let status = status_of(py, reply)?;
        // What has no place in the answer is not written; a generator is never begun.
        let answer = if response_head::has_no_content(status) {
            Answer::empty(status)
        } else {
            self.content(py, &content, status)?
        };
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

    /// What an exception is answered with. A refusal that cannot be written, or an exception while it is made, is
    /// a 500 of the same handler.
    pub(crate) fn refusal(
        &self,
        py: Python<'_>,
        error: &PyErr,
        request_id: &str,
        origin: &Py<PyString>,
        fault: Fault,
    ) -> Outcome {
        let read = |error: &PyErr| self.read_refusal(py, error, request_id, origin, fault);
        Err(read(error).or_else(|second| read(&second)).unwrap_or_else(|third| {
            third.write_unraisable(py, Some(origin.bind(py)));
            Rejection::new(&INTERNAL_ERROR)
        }))
    }

    fn read_refusal(
        &self,
        py: Python<'_>,
        error: &PyErr,
        request_id: &str,
        origin: &Py<PyString>,
        fault: Fault,
    ) -> PyResult<Box<Rejection>> {
        type Refusal = (String, u16, String, Option<Vec<u8>>, Vec<(String, String)>);
        let error = error.clone_ref(py).into_value(py);
        let (code, status, message, details, headers): Refusal = self
            .refuse
            .bind(py)
            .call1((error, request_id, origin, fault == Fault::Returned))?
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
            let header = (header_name(name)?, header_value(value)?);
            if !response_head::is_framing(&header.0) {
                rejection.headers.push(header);
            }
        }
        Ok(rejection)
    }
}

/// Gives an answer the content type and headers of a reply, but those that are the core's.
fn dress(py: Python<'_>, reply: &Bound<'_, PyAny>, mut answer: Answer) -> PyResult<Answer> {
    for pair in reply.getattr(intern!(py, "headers"))?.try_iter()? {
        let (name, value): (String, String) = pair?.extract()?;
        let name = header_name(&name)?;
        let is_uri = name == LOCATION || name == CONTENT_LOCATION;
        let value = if is_uri && !value.is_ascii() { encoded_uri(&value) } else { value };
        let value = header_value(&value)?;
        if !response_head::is_framing(&name) {
            answer.headers.push((name, value));
        }
    }
    let content_type = reply.getattr(intern!(py, "content_type"))?;
    if let Some(content_type) = content_type.extract::<Option<String>>()? {
        // The field that is meant for it counts, whatever the headers say.
        answer.headers.retain(|(name, _)| name != CONTENT_TYPE);
        answer.content_type = Some(header_value(&content_type)?);
    }
    Ok(answer)
}

fn status_of(py: Python<'_>, reply: &Bound<'_, PyAny>) -> PyResult<StatusCode> {
    let status: i64 = reply.getattr(intern!(py, "status"))?.extract()?;
    response_head::final_status(u16::try_from(status).unwrap_or_default())
        .map_err(|_| PyValueError::new_err(format!("{status} is not the status of an answer")))
}

fn header_name(name: &str) -> PyResult<HeaderName> {
    name.parse().map_err(|_| PyValueError::new_err(format!("{name:?} is not a header name")))
}

/// A URI reference in ASCII (RFC 3987, section 3.1): characters beyond it percent-encoded.
fn encoded_uri(text: &str) -> String {
    let mut uri = String::with_capacity(text.len() * 2);
    for character in text.chars() {
        if character.is_ascii() {
            uri.push(character);
        } else {
            for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(uri, "%{byte:02X}");
            }
        }
    }
    uri
}

/// A header value; one with a line end in it, say, is refused rather than sent. White space around it
/// is no part of it, and HTTP/2 forbids it.
fn header_value(value: &str) -> PyResult<HeaderValue> {
    HeaderValue::from_str(value.trim_matches([' ', '\t']))
        .map_err(|_| PyValueError::new_err(format!("{value:?} is not a header value")))
}
