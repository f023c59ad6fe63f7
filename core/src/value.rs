//! What filters extract: plain values, free of any interpreter, that the binding turns into Python's.

use std::sync::Arc;

use bytes::Bytes;

use crate::identity::Claims;
use crate::trace::Trace;

/// One extracted value.
#[derive(Debug, Clone)]
pub enum Value {
    /// Absent, under `optional`.
    None,
    /// A yes or no.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A finite number.
    Float(f64),
    /// Text, decoded.
    Text(Box<str>),
    /// Repeated query parameters.
    List(Vec<Value>),
    /// A query record: a place per field, `None` where it was not given and has a default.
    Record(Vec<Option<Value>>),
    /// Who calls.
    Claims(Arc<Claims>),
    /// The whole body.
    Body(Bytes),
    /// The request's ids.
    Trace(Box<Trace>),
}
