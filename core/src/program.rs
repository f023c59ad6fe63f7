//! The program: a plan compiled, which is all that requests are answered from.

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use crate::filters::auth::Verifier;
use crate::filters::limit::tally::Tally;
use crate::filters::limit::{AddressLimiter, Shared};
use crate::filters::{BuildContext, Filter};
use crate::hub::Hub;
use crate::layers::compress::Compress;
use crate::layers::cors::Cors;
use crate::plan::{self, Bounds, HubOperation, PLAN_VERSION, Plan, PlanError, Secrets};
use crate::router::Router;
use crate::telemetry::log::Log;
use crate::telemetry::metrics::{Metrics, Series};
use crate::terminals::Terminal;

/// A route, compiled.
pub struct Route {
    /// The handler's name.
    pub name: Box<str>,
    /// What is asked of a request, in order.
    pub filters: Vec<Filter>,
    /// What answers.
    pub terminal: Terminal,
    /// How long it may take.
    pub timeout: Duration,
}

/// The metrics of one endpoint: a series per method of its routes, and one for the rest (405, preflights).
struct EndpointSeries {
    methods: Vec<(Method, usize)>,
    other: usize,
}

/// A compiled plan.
pub struct Program {
    /// Finds the route of a request.
    pub router: Router,
    /// By the index in the plan.
    pub routes: Vec<Route>,
    /// Cross-origin rules.
    pub cors: Option<Cors>,
    /// What is compressed.
    pub compress: Option<Compress>,
    /// Refuses by address before anything is looked at.
    pub address_limit: Option<AddressLimiter>,
    /// Verifies tokens.
    pub verifier: Option<Arc<Verifier>>,
    /// The channels.
    pub hub: Option<Arc<Hub>>,
    /// What a request may be at most.
    pub bounds: Bounds,
    /// Counts every answer.
    pub metrics: Metrics,
    /// Writes a line for every answer.
    pub log: Log,
    series: Vec<EndpointSeries>,
    unmatched: usize,
}

impl Program {
    /// Compiles a plan.
    pub fn build(plan: &Plan, secrets: &Secrets) -> Result<Self, PlanError> {
        if plan.version != PLAN_VERSION {
            return Err(PlanError::new(format!(
                "the plan has version {}, this core reads {PLAN_VERSION}",
                plan.version
            )));
        }
        let verifier = match &plan.tokens {
            Some(tokens) => Some(Arc::new(Verifier::build(tokens, secrets)?)),
            None => None,
        };
        let limits = Shared::default();
        let hub = match &plan.hub {
            Some(hub) => Some(Hub::build(hub, verifier.as_ref(), &limits, secrets)?),
            None => None,
        };
        let build = BuildContext {
            verifier: verifier.as_ref(),
            bounds: &plan.bounds,
            limits: &limits,
            socket: false,
        };
        let routes = plan
            .routes
            .iter()
            .map(|route| Route::build(route, &build, hub.as_ref()))
            .collect::<Result<Vec<_>, _>>()?;
        let router = Router::build(&plan.routes)?;
        let layers = &plan.layers;
        let address_limit =
            layers.limit.as_ref().map(|limit| AddressLimiter::build(limit, &limits)).transpose()?;
        let (mut metrics, series, unmatched) = count(&router, limits.tallies());
        metrics.realtime = hub.as_ref().map(|hub| Arc::clone(&hub.figures));
        Ok(Self {
            router,
            routes,
            cors: layers.cors.as_ref().map(Cors::build).transpose()?,
            compress: layers.compress.as_ref().map(Compress::build).transpose()?,
            address_limit,
            verifier,
            hub,
            bounds: plan.bounds.clone(),
            metrics,
            // Faults are told even where requests are not.
            log: Log::to_stderr(layers.log.as_ref().map_or(plan::Level::Error, |log| log.level)),
            series,
            unmatched,
        })
    }

    /// Compiles a plan from its JSON.
    pub fn read(plan: &[u8], secrets: &Secrets) -> Result<Self, PlanError> {
        let plan: Plan = serde_json::from_slice(plan)
            .map_err(|error| PlanError::new(format!("the plan cannot be read: {error}")))?;
        Self::build(&plan, secrets)
    }

    /// The series that counts a method of an endpoint; `None` is a path that no route has.
    pub fn series(&self, endpoint: Option<usize>, method: &Method) -> usize {
        let Some(endpoint) = endpoint else { return self.unmatched };
        let series = &self.series[endpoint];
        series
            .methods
            .iter()
            .find(|(known, _)| known == method)
            .map_or(series.other, |(_, place)| *place)
    }
}

impl Route {
    fn build(
        route: &plan::Route,
        build: &BuildContext<'_>,
        hub: Option<&Arc<Hub>>,
    ) -> Result<Self, PlanError> {
        let socket =
            matches!(route.terminal, plan::Terminal::Hub { operation: HubOperation::Socket });
        let build = &BuildContext { socket, ..*build };
        let named = |error: PlanError| PlanError::new(format!("{}: {error}", route.name));
        Ok(Self {
            name: route.name.as_str().into(),
            filters: Filter::build_all(&route.steps, build).map_err(named)?,
            terminal: Terminal::build(route, build.bounds, hub).map_err(named)?,
            timeout: Duration::from_millis(route.timeout_ms.unwrap_or(build.bounds.timeout_ms)),
        })
    }
}

fn count(router: &Router, limits: Vec<Arc<Tally>>) -> (Metrics, Vec<EndpointSeries>, usize) {
    let mut all = Vec::new();
    let mut add = |route: &str, method: &str| {
        all.push(Series::new(route, method));
        all.len() - 1
    };
    let endpoints = router
        .endpoints()
        .iter()
        .map(|endpoint| {
            let mut methods: Vec<(Method, usize)> = endpoint
                .methods()
                .map(|method| (method.clone(), add(&endpoint.template, method.as_str())))
                .collect();
            if methods.iter().any(|(method, _)| *method == Method::GET)
                && !methods.iter().any(|(method, _)| *method == Method::HEAD)
            {
                methods.push((Method::HEAD, add(&endpoint.template, "HEAD")));
            }
            EndpointSeries { methods, other: add(&endpoint.template, "other") }
        })
        .collect();
    let unmatched = add("unmatched", "other");
    (Metrics::new(all, limits), endpoints, unmatched)
}
