//! The program: a compiled plan, immutable and replaced as a whole. What outlives it is in the runtime.

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use crate::exchange::around::Around;
use crate::filters::auth::Verifier;
use crate::filters::limit::{AddressLimiter, Limit, PlanLimits};
use crate::filters::wait::Waiting;
use crate::filters::{BuildContext, Filter};
use crate::handler::HandlerTable;
use crate::hub::{Hub, MESSAGES_OWNER};
use crate::layers::compress::Compress;
use crate::layers::cors::Cors;
use crate::plan::{self, Bounds, HubOperation, PLAN_VERSION, Plan, PlanError, Secrets};
use crate::router::{Endpoint, Router};
use crate::runtime::Runtime;
use crate::telemetry::metrics::{Metrics, Series};
use crate::terminals::Terminal;

/// A route, compiled.
pub struct Route {
    /// The handler's name.
    pub name: Box<str>,
    /// What is asked of a request, in order.
    pub filters: Vec<Filter>,
    /// The filters that wait, and their places among the others.
    pub(crate) waiting: Vec<Waiting>,
    /// Steps around the terminal, the outermost first.
    pub(crate) around: Vec<Box<dyn Around>>,
    /// What answers.
    pub terminal: Terminal,
    /// How long it may take.
    pub timeout: Duration,
}

/// The metrics of one endpoint: a series per method of its routes, and one for the rest (405, preflights).
struct EndpointSeries {
    methods: Vec<(Method, Arc<Series>)>,
    other: Arc<Series>,
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
    /// The handlers that its calls are for.
    pub handlers: HandlerTable,
    series: Vec<EndpointSeries>,
    unmatched: Arc<Series>,
}

impl Program {
    /// Compiles a plan for a runtime, which is not changed where the plan is refused. What is the
    /// same as in the program `before` is taken from it.
    pub fn build(
        plan: &Plan,
        secrets: &Secrets,
        (runtime, before): (&Runtime, Option<&Self>),
        limits: &PlanLimits,
        handlers: HandlerTable,
    ) -> Result<Self, PlanError> {
        if plan.version != PLAN_VERSION {
            return Err(PlanError::new(format!(
                "the plan has version {}, this core reads {PLAN_VERSION}",
                plan.version
            )));
        }
        let verifier = verifier(plan, secrets, (runtime, before))?;
        let hub = match before {
            None => build_hub(plan, secrets, (runtime, verifier.as_ref()), limits)?,
            Some(_) => continue_hub(plan, secrets, runtime, limits)?,
        };
        let build = BuildContext {
            verifier: verifier.as_ref(),
            bounds: &plan.bounds,
            limits,
            route: "",
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
            layers.limit.as_ref().map(|limit| AddressLimiter::build(limit, limits)).transpose()?;
        let cors = layers.cors.as_ref().map(Cors::build).transpose()?;
        let compress = layers.compress.as_ref().map(Compress::build).transpose()?;
        let metrics = &runtime.metrics;
        Ok(Self {
            series: router.endpoints().iter().map(|one| register(metrics, one)).collect(),
            unmatched: metrics.series("unmatched", "other"),
            router,
            routes,
            cors,
            compress,
            address_limit,
            verifier,
            hub,
            bounds: plan.bounds.clone(),
            handlers,
        })
    }

    /// The series that counts a method of an endpoint; `None` is a path that no route has.
    pub fn series(&self, endpoint: Option<usize>, method: &Method) -> &Series {
        let Some(endpoint) = endpoint else { return &self.unmatched };
        let series = &self.series[endpoint];
        series
            .methods
            .iter()
            .find(|(known, _)| known == method)
            .map_or(&series.other, |(_, series)| series)
    }
}

impl Route {
    /// Whether the deadline is observed around its terminal: the others answer at once, or look after
    /// the deadline by themselves.
    pub(crate) fn is_timed(&self) -> bool {
        !self.around.is_empty() || self.terminal.waits()
    }

    fn build(
        route: &plan::Route,
        build: &BuildContext<'_>,
        hub: Option<&Arc<Hub>>,
    ) -> Result<Self, PlanError> {
        let socket =
            matches!(route.terminal, plan::Terminal::Hub { operation: HubOperation::Socket });
        let owner = format!("{} {}", route.methods.join(","), route.path);
        let build = &BuildContext { socket, route: &owner, ..*build };
        let named = |error: PlanError| PlanError::new(format!("{}: {error}", route.name));
        Ok(Self {
            name: route.name.as_str().into(),
            filters: Filter::build_all(&route.steps, build).map_err(named)?,
            waiting: Vec::new(),
            around: Vec::new(),
            terminal: Terminal::build(route, build.bounds, hub).map_err(named)?,
            timeout: Duration::from_millis(route.timeout_ms.unwrap_or(build.bounds.timeout_ms)),
        })
    }
}

/// What verifies the tokens of a plan: that of the program before, with the tokens that it
/// remembers, where the keys and rules are the same.
fn verifier(
    plan: &Plan,
    secrets: &Secrets,
    (runtime, before): (&Runtime, Option<&Program>),
) -> Result<Option<Arc<Verifier>>, PlanError> {
    let Some(tokens) = &plan.tokens else { return Ok(None) };
    let fingerprint = runtime.tokens_fingerprint(tokens, secrets);
    let known = before.and_then(|program| program.verifier.as_ref());
    if let Some(known) = known.filter(|known| known.fingerprint == fingerprint) {
        return Ok(Some(Arc::clone(known)));
    }
    let mut verifier = Verifier::build(tokens, secrets, &runtime.revocations)?;
    verifier.fingerprint = fingerprint;
    Ok(Some(Arc::new(verifier)))
}

fn build_hub(
    plan: &Plan,
    secrets: &Secrets,
    (runtime, verifier): (&Runtime, Option<&Arc<Verifier>>),
    limits: &PlanLimits,
) -> Result<Option<Arc<Hub>>, PlanError> {
    let Some(hub) = &plan.hub else { return Ok(None) };
    Hub::build(hub, verifier, &runtime.revocations, limits, secrets).map(Some)
}

fn continue_hub(
    plan: &Plan,
    secrets: &Secrets,
    runtime: &Runtime,
    limits: &PlanLimits,
) -> Result<Option<Arc<Hub>>, PlanError> {
    let hub = runtime.continue_hub(plan.hub.as_ref(), secrets)?;
    if let Some(messages) = plan.hub.as_ref().and_then(|hub| hub.messages.as_ref()) {
        // The hub has it already; without this the limit would count as removed.
        Limit::build(messages, MESSAGES_OWNER, limits)?;
    }
    Ok(hub)
}

/// Registers the series of an endpoint.
fn register(metrics: &Metrics, endpoint: &Endpoint) -> EndpointSeries {
    let template = &endpoint.template;
    let mut methods: Vec<(Method, Arc<Series>)> = endpoint
        .methods()
        .map(|method| (method.clone(), metrics.series(template, method.as_str())))
        .collect();
    let has = |wanted: &Method| methods.iter().any(|(method, _)| method == wanted);
    if has(&Method::GET) && !has(&Method::HEAD) {
        methods.push((Method::HEAD, metrics.series(template, "HEAD")));
    }
    EndpointSeries { methods, other: metrics.series(template, "other") }
}
