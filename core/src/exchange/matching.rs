//! Finding the route of a request and running its filters.

use http::header;
use http::{Method, StatusCode};

use super::Exchange;
use crate::answer::Answer;
use crate::filters::{Context, Extracted, Filter, WantedBody, wait};
use crate::path;
use crate::program::Program;
use crate::reject::{self, Rejection};
use crate::router::Found;
use crate::server::Worker;

/// The route of a request, and the body that its filters ask for.
pub(super) struct Matched {
    pub(super) route: usize,
    pub(super) body: Option<WantedBody>,
}

impl Exchange {
    /// A preflight, or the methods of a path where no route answers `OPTIONS` itself.
    pub(super) fn options(&mut self, program: &Program) -> Option<Answer> {
        let path = self.path.as_deref().unwrap_or(self.parts.uri.path());
        if path == "*" {
            let mut answer = Answer::empty(StatusCode::NO_CONTENT);
            answer.headers.push((header::ALLOW, program.router.allow_any().clone()));
            return Some(answer);
        }
        let place = match program.router.find(path, &self.parts.method) {
            Found::OtherMethod(place) => Some(place),
            Found::Route { .. } | Found::Nothing => None,
        };
        self.endpoint = place;
        let endpoint = place.map(|place| &program.router.endpoints()[place]);
        let preflight = program.cors.as_ref().and_then(|cors| {
            let allowed: Vec<Method> =
                endpoint.map(|endpoint| endpoint.methods().cloned().collect()).unwrap_or_default();
            cors.preflight(&self.parts.method, &self.parts.headers, &allowed)
        });
        let mut answer = Answer::empty(StatusCode::NO_CONTENT);
        match (preflight, endpoint) {
            (Some(headers), _) => {
                self.preflight = true;
                answer
                    .headers
                    .extend(headers.iter().map(|(name, value)| (name.clone(), value.clone())));
            }
            (None, Some(endpoint)) => answer.headers.push((header::ALLOW, endpoint.allow.clone())),
            (None, None) => return None,
        }
        Some(answer)
    }

    /// Finds the route and runs its filters. Where some of them wait, none is run yet: that is left
    /// to [`Exchange::wait_for_filters`].
    pub(super) fn match_route(&mut self, program: &Program) -> Result<Matched, Box<Rejection>> {
        let path = self.path.as_deref().unwrap_or(self.parts.uri.path());
        let (route, params) = match program.router.find(path, &self.parts.method) {
            Found::Route { endpoint, route, params } => {
                self.endpoint = Some(endpoint);
                (route, params)
            }
            Found::OtherMethod(endpoint) => {
                self.endpoint = Some(endpoint);
                let allow = program.router.endpoints()[endpoint].allow.clone();
                return Err(Rejection::new(&reject::METHOD_NOT_ALLOWED).with(header::ALLOW, allow));
            }
            Found::Nothing => return Err(Rejection::new(&reject::NOT_FOUND)),
        };
        if self.path.is_some() && self.endpoint.is_some_and(|at| spans_slash(program, at, &params))
        {
            return Err(Rejection::because(
                &reject::MALFORMED_REQUEST,
                "the rest of the path has an encoded slash, which could be taken for a separator",
            ));
        }
        if !program.routes[route].waiting.is_empty() {
            return Ok(Matched { route, body: None });
        }
        let mut context = Context::new(&self.parts, &params, self.peer, &self.trace);
        let outcome = Filter::apply_all(&program.routes[route].filters, &mut context);
        let extracted = context.into_extracted();
        let body = self.keep(extracted, outcome.map_err(|(_, rejection)| rejection))?;
        Ok(Matched { route, body })
    }

    /// Runs the filters of a route where some wait, until the deadline; the body that they ask for.
    pub(super) async fn wait_for_filters(
        &mut self,
        worker: &Worker,
        program: &Program,
        route: usize,
    ) -> Result<Option<WantedBody>, Box<Rejection>> {
        let path = self.path.as_deref().unwrap_or(self.parts.uri.path());
        let Found::Route { params, .. } = program.router.find(path, &self.parts.method) else {
            return Err(Rejection::new(&reject::NOT_FOUND));
        };
        let route = &program.routes[route];
        let mut context = Context::new(&self.parts, &params, self.peer, &self.trace);
        let applying = wait::apply_all(&route.filters, &route.waiting, &mut context);
        let outcome = worker.resources.deadlines.within(self.deadline, applying).await;
        let outcome = outcome.unwrap_or_else(|_| Err(Rejection::new(&reject::DEADLINE_EXCEEDED)));
        let extracted = context.into_extracted();
        self.keep(extracted, outcome)
    }

    /// Keeps what the filters have extracted, also of a request that they refuse.
    fn keep(
        &mut self,
        extracted: Extracted,
        outcome: Result<(), Box<Rejection>>,
    ) -> Result<Option<WantedBody>, Box<Rejection>> {
        let Extracted { values, claims, denied, body, headers } = extracted;
        // Who was refused for a scope is known, and belongs into the log.
        self.claims = claims.or_else(|| denied.filter(|_| outcome.is_err()));
        self.headers = headers;
        outcome?;
        self.values = values;
        Ok(body)
    }
}

/// Whether the rest of a path has an encoded slash: decoded, it could not be told from a separator.
#[cold]
fn spans_slash(program: &Program, endpoint: usize, params: &matchit::Params<'_, '_>) -> bool {
    program.router.endpoints()[endpoint].spans_segments
        && params.iter().last().is_some_and(|(_, rest)| path::has_encoded_slash(rest))
}
