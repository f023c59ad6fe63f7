//! Filters: each asks one thing of a request and pushes what it extracts, or refuses.
//!
//! One file each, two functions each: `build`, which reads the plan at start, and `apply`, which runs for a request.
//! They do not wait, except for those in `wait`. The body's filter says what body is wanted, and it is read once all filters have passed,
//! so that nothing is read for a request that another filter refuses.

pub mod auth;
pub mod body;
mod build;
pub mod header;
pub mod limit;
pub mod param;
pub mod query;
pub mod scalar;
#[cfg(test)]
mod support;
pub(crate) mod wait;

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};
use http::request::Parts;

use crate::identity::Claims;
use crate::plan::{self, Content, PlanError};
use crate::reject::Rejection;
use crate::trace::Trace;
use crate::value::Value;
use auth::Auth;
use body::Body;
use body::decode::Codings;
pub use build::BuildContext;
use header::Header;
use limit::Limit;
use param::Param;
use query::{Query, QueryValue};

/// What a filter sees of a request, and where it leaves what it extracts.
pub struct Context<'r> {
    /// The request's head.
    pub parts: &'r Parts,
    /// The path's parameters, still percent-encoded.
    pub params: &'r matchit::Params<'r, 'r>,
    /// Who connected.
    pub peer: IpAddr,
    /// The request's ids.
    pub trace: &'r Trace,
    /// What the filters so far have extracted.
    pub values: Vec<Value>,
    /// Who calls, once `auth` has passed.
    pub claims: Option<Arc<Claims>>,
    /// Who was refused by `auth`, where the token is good and lacks a scope: known to the log, and to nothing else.
    pub denied: Option<Arc<Claims>>,
    /// The body that is wanted, once `body` has passed.
    pub body: Option<WantedBody>,
    /// Headers that the answer carries, whatever it is.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// What the filters of a route have extracted.
pub(crate) struct Extracted {
    pub(crate) values: Vec<Value>,
    pub(crate) claims: Option<Arc<Claims>>,
    pub(crate) denied: Option<Arc<Claims>>,
    pub(crate) body: Option<WantedBody>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

impl<'r> Context<'r> {
    /// A context in which nothing is extracted yet.
    pub(crate) fn new(
        parts: &'r Parts,
        params: &'r matchit::Params<'r, 'r>,
        peer: IpAddr,
        trace: &'r Trace,
    ) -> Self {
        Self {
            parts,
            params,
            peer,
            trace,
            values: Vec::new(),
            claims: None,
            denied: None,
            body: None,
            headers: Vec::new(),
        }
    }

    pub(crate) fn into_extracted(self) -> Extracted {
        let Self { values, claims, denied, body, headers, .. } = self;
        Extracted { values, claims, denied, body, headers }
    }
}

/// A body that a filter asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedBody {
    /// Bytes: 413 beyond.
    pub max_bytes: u64,
    /// What it is checked for once it is read.
    pub content: Content,
    /// How it is coded.
    pub codings: Codings,
}

/// A filter, compiled.
pub enum Filter {
    /// A path segment.
    Param(Param),
    /// A header.
    Header(Header),
    /// The query string as a record.
    Query(Query),
    /// One query parameter.
    QueryValue(QueryValue),
    /// A bearer token.
    Auth(Auth),
    /// A rate limit.
    Limit(Arc<Limit>),
    /// The body.
    Body(Body),
    /// The request's ids.
    Trace,
    /// What may be absent, and how many values it extracts.
    Optional(Vec<Filter>, usize),
    /// Alternatives, and whether their index is extracted.
    Or(Vec<Vec<Filter>>, bool),
}

impl Filter {
    /// Compiles one step of a plan.
    pub fn build(step: &plan::Step, build: &BuildContext<'_>) -> Result<Self, PlanError> {
        Ok(match step {
            plan::Step::Param { name, kind } => Self::Param(Param::build(name, kind)?),
            plan::Step::Header { name, kind } => Self::Header(Header::build(name, kind)?),
            plan::Step::Query { fields } => Self::Query(Query::build(fields)?),
            plan::Step::QueryValue { field } => Self::QueryValue(QueryValue::build(field)?),
            plan::Step::Auth { scopes, extract } => {
                Self::Auth(Auth::build(scopes, *extract, build)?)
            }
            plan::Step::Limit { .. } => Self::Limit(Limit::build(step, build.route, build.limits)?),
            plan::Step::Body { content, max_bytes, content_types } => {
                Self::Body(Body::build(*content, *max_bytes, content_types, build))
            }
            plan::Step::Trace {} => Self::Trace,
            plan::Step::Optional { steps } => {
                let filters = Self::build_all(steps, &build.inside())?;
                let width = filters.iter().map(Self::width).sum();
                Self::Optional(filters, width)
            }
            plan::Step::Or { alternatives, tagged } => {
                Self::build_or(alternatives, *tagged, build)?
            }
        })
    }

    /// Compiles a chain.
    pub fn build_all(
        steps: &[plan::Step],
        build: &BuildContext<'_>,
    ) -> Result<Vec<Self>, PlanError> {
        steps.iter().map(|step| Self::build(step, build)).collect()
    }

    fn build_or(
        alternatives: &[Vec<plan::Step>],
        tagged: bool,
        build: &BuildContext<'_>,
    ) -> Result<Self, PlanError> {
        let chains: Vec<Vec<Self>> = alternatives
            .iter()
            .map(|steps| Self::build_all(steps, &build.inside()))
            .collect::<Result<_, _>>()?;
        let widths: Vec<usize> =
            chains.iter().map(|chain| chain.iter().map(Self::width).sum()).collect();
        if widths.is_empty() || (!tagged && widths.windows(2).any(|pair| pair[0] != pair[1])) {
            return Err(PlanError::new(
                "the alternatives of an `or` must extract as many values each",
            ));
        }
        Ok(Self::Or(chains, tagged))
    }

    /// How many values it extracts. An `or` whose alternatives differ is tagged: Python knows how to read it.
    fn width(&self) -> usize {
        match self {
            Self::Auth(auth) => usize::from(auth.extracts()),
            Self::Limit(_) => 0,
            Self::Optional(_, width) => *width,
            Self::Or(chains, tagged) => {
                usize::from(*tagged)
                    + chains.first().map_or(0, |chain| chain.iter().map(Self::width).sum())
            }
            _ => 1,
        }
    }

    /// Runs the filter on a request.
    pub fn apply(&self, context: &mut Context<'_>) -> Result<(), Box<Rejection>> {
        match self {
            Self::Param(param) => param.apply(context),
            Self::Header(header) => header.apply(context),
            Self::Query(query) => query.apply(context),
            Self::QueryValue(value) => value.apply(context),
            Self::Auth(auth) => auth.apply(context),
            Self::Limit(limit) => limit.apply(context),
            Self::Body(body) => body.apply(context),
            Self::Trace => {
                context.values.push(Value::Trace(Box::new(context.trace.clone())));
                Ok(())
            }
            Self::Optional(filters, width) => apply_optional(filters, *width, context),
            Self::Or(chains, tagged) => apply_or(chains, *tagged, context),
        }
    }

    /// Runs a chain; the first refusal ends it and says how far it got.
    pub fn apply_all(
        filters: &[Self],
        context: &mut Context<'_>,
    ) -> Result<(), (usize, Box<Rejection>)> {
        for (index, filter) in filters.iter().enumerate() {
            filter.apply(context).map_err(|rejection| (index, rejection))?;
        }
        Ok(())
    }
}

fn apply_optional(
    filters: &[Filter],
    width: usize,
    context: &mut Context<'_>,
) -> Result<(), Box<Rejection>> {
    let kept = context.values.len();
    match Filter::apply_all(filters, context) {
        Err((_, rejection)) if rejection.absent => {
            context.values.truncate(kept);
            context.values.extend(std::iter::repeat_n(Value::None, width));
            Ok(())
        }
        other => other.map_err(|(_, rejection)| rejection),
    }
}

fn apply_or(
    chains: &[Vec<Filter>],
    tagged: bool,
    context: &mut Context<'_>,
) -> Result<(), Box<Rejection>> {
    let kept = context.values.len();
    let mut furthest: Option<(usize, Box<Rejection>)> = None;
    for (index, chain) in chains.iter().enumerate() {
        if tagged {
            context.values.push(Value::Int(index as i64));
        }
        match Filter::apply_all(chain, context) {
            Ok(()) => return Ok(()),
            Err((reached, rejection)) => {
                context.values.truncate(kept);
                if furthest.as_ref().is_none_or(|(best, _)| reached > *best) {
                    furthest = Some((reached, rejection));
                }
            }
        }
    }
    match furthest {
        Some((_, rejection)) => Err(rejection),
        None => Ok(()),
    }
}
