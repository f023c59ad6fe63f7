//! Requests for the filters' own tests: a head, a template and a caller, and what a filter makes of
//! them.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};

use crate::filters::Context;
use crate::identity::Claims;
use crate::plan::Scalar;
use crate::reject::Rejection;
use crate::trace::Trace;
use crate::value::Value;

/// A request for one filter.
pub(super) struct Request {
    parts: http::request::Parts,
    template: String,
    peer: IpAddr,
    claims: Option<Arc<Claims>>,
}

impl Request {
    /// A GET of a target, from 192.0.2.1.
    pub(super) fn get(target: &str) -> Self {
        let (parts, ()) = http::Request::get(target).body(()).expect("a target").into_parts();
        let template = parts.uri.path().to_owned();
        Self { parts, template, peer: IpAddr::from([192, 0, 2, 1]), claims: None }
    }

    pub(super) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
        let value = HeaderValue::from_bytes(value.as_ref()).expect("a header's value");
        self.parts.headers.append(name, value);
        self
    }

    /// The template that the path is matched with.
    pub(super) fn route(mut self, template: &str) -> Self {
        template.clone_into(&mut self.template);
        self
    }

    pub(super) fn from(mut self, peer: &str) -> Self {
        self.peer = peer.parse().expect("an address");
        self
    }

    pub(super) fn claims(mut self, claims: Arc<Claims>) -> Self {
        self.claims = Some(claims);
        self
    }

    /// Runs a filter; what it extracts.
    pub(super) fn run(
        self,
        filter: impl FnOnce(&mut Context<'_>) -> Result<(), Box<Rejection>>,
    ) -> Result<Vec<Value>, Box<Rejection>> {
        let mut router = matchit::Router::new();
        router.insert(self.template.as_str(), ()).expect("a template");
        let matched = router.at(self.parts.uri.path()).expect("a path that the template matches");
        let trace = Trace::read(&self.parts.headers);
        let mut context = Context {
            parts: &self.parts,
            params: &matched.params,
            peer: self.peer,
            trace: &trace,
            values: Vec::new(),
            claims: self.claims,
            denied: None,
            body: None,
            headers: Vec::new(),
        };
        filter(&mut context)?;
        Ok(context.values)
    }
}

/// Any int.
pub(super) fn int() -> Scalar {
    Scalar::Int { ge: None, le: None }
}

/// Any text.
pub(super) fn text() -> Scalar {
    Scalar::Str { min_length: None, max_length: None, pattern: None }
}
