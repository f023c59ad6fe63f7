//! `limit`: how often a caller may ask: GCRA with burst (`governor`), told in the headers of
//! draft-ietf-httpapi-ratelimit-headers-11.
//!
//! `100/min burst 20` lets 20 requests pass at once, then one each 600 ms. `RateLimit-Policy`
//! announces that as what a client can rely on: a quota of the burst, per the time in which a spent
//! burst is full again (`q=20;w=12`). A client that obeys it, or `RateLimit`, or `Retry-After`, is
//! not refused again.

pub mod metrics;
pub mod registry;
mod states;

use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::{Quota, RateLimiter};
use http::header::{HeaderName, HeaderValue, RETRY_AFTER};

use crate::filters::Context;
use crate::identity::Claims;
use crate::plan::PlanError;
use crate::plan::{self, LimitBy};
use crate::reject::{RATE_LIMIT_EXCEEDED, Rejection};
use metrics::LimitMetrics;
use registry::{Key, Owner};
pub use registry::{LimitRegistry, PlanLimits};
use states::{CAPACITY, Probe, States};

const SECOND: u64 = 1_000_000_000;
/// Bursts up to this size have their `RateLimit` headers made at start.
const READY: u32 = 1024;

static POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
static RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
static LEGACY_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
static LEGACY_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
static LEGACY_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

type Headers = Vec<(HeaderName, HeaderValue)>;

/// A rate limit of a route, compiled.
pub struct Limit<C: Clock = DefaultClock> {
    limiter: Limiter<C>,
    by: LimitBy,
}

/// The limit on each client address, checked before anything else of a request is looked at.
pub struct AddressLimiter<C: Clock = DefaultClock> {
    limiter: Limiter<C>,
}

/// What the callers of a limit have used. It outlives the program, so that a plan with the same
/// limit continues it.
pub struct LimitState<C: Clock = DefaultClock> {
    rate: RateLimiter<Probe, States, C, NoOpMiddleware<C::Instant>>,
    states: States,
    /// Two, for 128 bits of a subject: callers share an allowance only if both collide, and none
    /// can aim at that without knowing the keys, which are new at every start.
    hashers: [RandomState; 2],
    metrics: Arc<LimitMetrics>,
}

/// A limiter with the headers that describe it.
struct Limiter<C: Clock> {
    state: Arc<LimitState<C>>,
    /// Nanoseconds in which one request is allowed again.
    interval: u64,
    /// Nanoseconds in which a spent burst is.
    refill: u64,
    name: Box<str>,
    /// For the sentence of a refusal: `100 per 60 s, 20 at once`.
    rule: Box<str>,
    policy: HeaderValue,
    /// `RateLimit` by what remains, where `t` is always one second.
    ready: Box<[HeaderValue]>,
    /// `X-RateLimit-Limit`, where the older headers are sent too.
    legacy: Option<HeaderValue>,
}

/// How a caller stands after a request. Times are nanoseconds from now.
struct QuotaState {
    passes: bool,
    remaining: u64,
    /// Until one more request is allowed.
    next: u64,
    /// Until the allowance is full again.
    full: u64,
}

/// The numbers of a limit.
struct Rate<'p> {
    name: &'p str,
    requests: u32,
    period_ms: u64,
    burst: u32,
    legacy: bool,
}

// === impl Limit ===

impl Limit {
    /// Compiles a `limit` step; one that is shared counts with the others of its name. `owner` is
    /// the route of one that is not.
    pub fn build(
        step: &plan::Step,
        owner: &str,
        limits: &PlanLimits,
    ) -> Result<Arc<Self>, PlanError> {
        let rate = Rate::of(step)?;
        let plan::Step::Limit { name, by, shared, .. } = step else { return Err(not_a_limit()) };
        let (by, owner) = (*by, if *shared { Owner::Shared } else { Owner::Route(owner.into()) });
        let build = || {
            let state = limits.state(rate.key(owner, Some(by)), || rate.state(limits))?;
            Ok(Arc::new(Self { limiter: Limiter::build(&rate, state)?, by }))
        };
        if *shared { limits.shared(name, step, build) } else { build() }
    }
}

fn not_a_limit() -> PlanError {
    PlanError::new("expected a step `limit`")
}

impl<C: Clock> Limit<C> {
    /// Counts the request, and leaves the headers that tell how the caller stands.
    pub fn apply(&self, context: &mut Context<'_>) -> Result<(), Box<Rejection>> {
        let key = match (self.by, &context.claims) {
            (LimitBy::Subject, Some(claims)) => self.subject_key(claims),
            (LimitBy::Subject | LimitBy::Address, _) => address_key(context.peer),
            (LimitBy::Api, _) => 0,
        };
        let quota = self.limiter.check(key);
        self.limiter.announce(&quota, &mut context.headers);
        if quota.passes {
            self.limiter.state.metrics.pass();
            return Ok(());
        }
        Err(self.limiter.refuse(&quota, context.claims.as_deref(), context.peer))
    }

    /// Counts something that is no request, such as a frame of a socket; the error is how many seconds to wait.
    pub fn count(&self, claims: Option<&Claims>, peer: IpAddr) -> Result<(), u64> {
        let key = match (self.by, claims) {
            (LimitBy::Subject, Some(claims)) => self.subject_key(claims),
            (LimitBy::Subject | LimitBy::Address, _) => address_key(peer),
            (LimitBy::Api, _) => 0,
        };
        let quota = self.limiter.check(key);
        if quota.passes {
            self.limiter.state.metrics.pass();
            return Ok(());
        }
        match claims {
            Some(claims) => {
                self.limiter.state.metrics.refuse(claims.tenant.as_deref(), &claims.subject);
            }
            None => self.limiter.state.metrics.refuse(None, &peer.to_canonical().to_string()),
        }
        Err(seconds(quota.next))
    }

    fn subject_key(&self, claims: &Claims) -> u128 {
        let caller = (claims.tenant.as_deref(), &*claims.subject);
        let [high, low] =
            self.limiter.state.hashers.each_ref().map(|hasher| hasher.hash_one(caller));
        u128::from(high) << 64 | u128::from(low)
    }
}

// === impl AddressLimiter ===

impl AddressLimiter {
    /// Compiles the limit.
    pub fn build(limit: &plan::AddressLimit, limits: &PlanLimits) -> Result<Self, PlanError> {
        let rate = Rate::of_addresses(limit);
        let state = limits.state(rate.key(Owner::Address, None), || rate.state(limits))?;
        Ok(Self { limiter: Limiter::build(&rate, state)? })
    }
}

impl<C: Clock> AddressLimiter<C> {
    /// Counts a request of an address.
    pub fn check(&self, peer: IpAddr) -> Result<(), Box<Rejection>> {
        let quota = self.limiter.check(address_key(peer));
        if quota.passes {
            self.limiter.state.metrics.pass();
            return Ok(());
        }
        let mut rejection = self.limiter.refuse(&quota, None, peer);
        self.limiter.announce(&quota, &mut rejection.headers);
        Err(rejection)
    }
}

/// An IPv4 address, also where it comes mapped into IPv6; of IPv6 the /64, which is one customer's.
fn address_key(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits() & NETWORK.to_bits(),
    }
}

const NETWORK: Ipv6Addr = Ipv6Addr::new(0xffff, 0xffff, 0xffff, 0xffff, 0, 0, 0, 0);

// === impl Limiter ===

impl<C: Clock> Limiter<C> {
    fn build(rate: &Rate<'_>, state: Arc<LimitState<C>>) -> Result<Self, PlanError> {
        let (interval, refill, _) = rate.times()?;
        let announced = Announced::of(rate, interval, refill);
        let name = rate.name;
        let policy = format!(r#""{name}";q={};w={}"#, announced.quota, announced.window);
        let ready = if interval <= SECOND && rate.burst <= READY { 0..rate.burst } else { 0..0 };
        Ok(Self {
            state,
            interval,
            refill,
            name: name.into(),
            rule: rate.rule().into(),
            policy: HeaderValue::from_str(&policy).map_err(|_| rate.misnamed())?,
            ready: ready.map(|left| quota_header(name, u64::from(left), 1)).collect(),
            legacy: rate.legacy.then(|| HeaderValue::from(announced.quota)),
        })
    }

    fn check(&self, key: u128) -> QuotaState {
        let probe = Probe::new(key);
        let passes = self.state.rate.check_key(&probe).is_ok();
        let (now, full) = probe.times();
        let allowance = now.saturating_add(self.refill).saturating_sub(full).min(self.refill);
        let remaining = allowance / self.interval;
        let next = (remaining + 1) * self.interval - allowance;
        QuotaState { passes, remaining, next, full: full.saturating_sub(now) }
    }

    fn announce(&self, quota: &QuotaState, headers: &mut Headers) {
        let seconds = seconds(quota.next);
        let ready = self.ready.get(quota.remaining as usize).filter(|_| seconds == 1).cloned();
        let value = ready.unwrap_or_else(|| quota_header(&self.name, quota.remaining, seconds));
        headers.push((POLICY.clone(), self.policy.clone()));
        headers.push((RATE_LIMIT.clone(), value));
        if let Some(limit) = &self.legacy {
            headers.push((LEGACY_LIMIT.clone(), limit.clone()));
            headers.push((LEGACY_REMAINING.clone(), HeaderValue::from(quota.remaining)));
            headers.push((LEGACY_RESET.clone(), HeaderValue::from(self::seconds(quota.full))));
        }
    }

    #[cold]
    fn refuse(&self, quota: &QuotaState, claims: Option<&Claims>, peer: IpAddr) -> Box<Rejection> {
        match claims {
            Some(claims) => self.state.metrics.refuse(claims.tenant.as_deref(), &claims.subject),
            None => self.state.metrics.refuse(None, &peer.to_canonical().to_string()),
        }
        let (name, rule, wait) = (&self.name, &self.rule, seconds(quota.next));
        let sentence =
            format!("too many requests: the limit `{name}` is {rule}; try again in {wait} s");
        Rejection::because(&RATE_LIMIT_EXCEEDED, sentence)
            .with(RETRY_AFTER, HeaderValue::from(wait))
    }
}

// === impl LimitState ===

impl<C: Clock> LimitState<C> {
    fn new(rate: &Rate<'_>, metrics: Arc<LimitMetrics>, clock: C) -> Result<Self, PlanError> {
        let (interval, refill, quota) = rate.times()?;
        let states = States::new(interval, refill, CAPACITY);
        let hashers = [RandomState::new(), RandomState::new()];
        Ok(Self { rate: RateLimiter::new(quota, states.clone(), clock), states, hashers, metrics })
    }
}

impl LimitState {
    /// Forgets every caller and frees what they took, also where an exchange of an old program
    /// still refers to it.
    fn clear(&self) {
        self.states.clear();
    }
}

// === impl Rate ===

impl<'p> Rate<'p> {
    fn of(step: &'p plan::Step) -> Result<Self, PlanError> {
        let plan::Step::Limit { name, requests, period_ms, burst, legacy_headers, .. } = step
        else {
            return Err(not_a_limit());
        };
        Ok(Self {
            name,
            requests: *requests,
            period_ms: *period_ms,
            burst: *burst,
            legacy: *legacy_headers,
        })
    }

    fn of_addresses(limit: &plan::AddressLimit) -> Self {
        Self {
            name: "address",
            requests: limit.requests,
            period_ms: limit.period_ms,
            burst: limit.burst,
            legacy: false,
        }
    }

    fn key(&self, owner: Owner, by: Option<LimitBy>) -> Key {
        let (name, rule) = (self.name.into(), (self.requests, self.period_ms, self.burst));
        Key { owner, name, rule, by, repetition: 0 }
    }

    fn state(&self, limits: &PlanLimits) -> Result<LimitState, PlanError> {
        LimitState::new(self, limits.metrics(self.name, &self.rule()), DefaultClock::default())
    }

    /// The interval of one request and the refill of a burst, in nanoseconds, and the same for
    /// `governor`.
    fn times(&self) -> Result<(u64, u64, Quota), PlanError> {
        let (Some(burst), 1.., 1..) = (NonZeroU32::new(self.burst), self.requests, self.period_ms)
        else {
            return Err(self.wrong("needs requests, a period and a burst of at least 1"));
        };
        let period = self.period_ms.checked_mul(1_000_000);
        let interval = period.map_or(0, |period| period / u64::from(self.requests));
        let refill =
            interval.checked_mul(u64::from(self.burst)).filter(|refill| *refill < u64::MAX / 4);
        match (refill, Quota::with_period(Duration::from_nanos(interval))) {
            (Some(refill), Some(quota)) => Ok((interval, refill, quota.allow_burst(burst))),
            _ => Err(self.wrong("is too fast or too slow to be counted")),
        }
        .and_then(|times| if self.is_named() { Ok(times) } else { Err(self.misnamed()) })
    }

    fn rule(&self) -> String {
        let (requests, burst, period) = (self.requests, self.burst, self.period_ms);
        match period % 1000 {
            0 => format!("{requests} per {} s, {burst} at once", period / 1000),
            _ => format!("{requests} per {period} ms, {burst} at once"),
        }
    }

    /// Whether the name can stand in a string of a structured field (RFC 9651, section 3.3.3)
    /// without escapes.
    fn is_named(&self) -> bool {
        !self.name.is_empty()
            && self
                .name
                .bytes()
                .all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'))
    }

    fn misnamed(&self) -> PlanError {
        self.wrong("has a name that is not of printable ASCII without quotes and backslashes")
    }

    fn wrong(&self, why: &str) -> PlanError {
        PlanError::new(format!("the limit `{}` {why}", self.name))
    }
}

/// What `RateLimit-Policy` says.
struct Announced {
    quota: u64,
    /// Seconds.
    window: u64,
}

impl Announced {
    /// The burst per its refill. A refill within a second is told as what a whole second allows,
    /// for the window is in seconds.
    fn of(rate: &Rate<'_>, interval: u64, refill: u64) -> Self {
        if refill < SECOND {
            return Self { quota: SECOND / interval, window: 1 };
        }
        Self { quota: rate.burst.into(), window: seconds(refill) }
    }
}

fn quota_header(name: &str, remaining: u64, seconds: u64) -> HeaderValue {
    let mut text = String::with_capacity(name.len() + 28);
    // Writing to a string does not fail.
    let _ = write!(text, r#""{name}";r={remaining};t={seconds}"#);
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Whole seconds, rounded up: who waits so long is not early. At least one, for a client takes 0 as
/// "now".
fn seconds(nanoseconds: u64) -> u64 {
    nanoseconds.div_ceil(SECOND).max(1)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use governor::clock::FakeRelativeClock;

    use super::*;
    use crate::filters::support::Request;

    fn step(requests: u32, period_ms: u64, burst: u32, by: LimitBy) -> plan::Step {
        let name = "default".to_owned();
        plan::Step::Limit {
            name,
            requests,
            period_ms,
            burst,
            by,
            legacy_headers: false,
            shared: false,
        }
    }

    fn limiter(rate: &Rate<'_>, clock: &FakeRelativeClock) -> Limiter<FakeRelativeClock> {
        let metrics = Arc::new(LimitMetrics::new(rate.name, &rate.rule()));
        let state = LimitState::new(rate, metrics, clock.clone()).expect("a state");
        Limiter::build(rate, Arc::new(state)).expect("a limiter")
    }

    struct Fixture {
        clock: FakeRelativeClock,
        limit: Limit<FakeRelativeClock>,
    }

    impl Fixture {
        fn new(step: &plan::Step) -> Self {
            let clock = FakeRelativeClock::default();
            let limiter = limiter(&Rate::of(step).expect("a step"), &clock);
            let by = match step {
                plan::Step::Limit { by, .. } => *by,
                _ => LimitBy::Api,
            };
            Self { clock, limit: Limit { limiter, by } }
        }

        fn wait(&self, milliseconds: u64) {
            self.clock.advance(Duration::from_millis(milliseconds));
        }

        fn send(&self, request: Request) -> (Headers, Result<(), Box<Rejection>>) {
            let mut headers = Vec::new();
            let outcome = request.run(|context| {
                let outcome = self.limit.apply(context);
                headers = std::mem::take(&mut context.headers);
                outcome
            });
            (headers, outcome.map(drop))
        }

        fn passes(&self, request: Request) -> bool {
            self.send(request).1.is_ok()
        }

        fn passing(&self, count: usize) -> usize {
            (0..count).filter(|_| self.passes(Request::get("/"))).count()
        }
    }

    fn header<'h>(headers: &'h Headers, name: &str) -> Option<&'h str> {
        headers.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.to_str().ok())
    }

    fn caller(subject: &str, tenant: Option<&str>) -> Request {
        Request::get("/").claims(Arc::new(Claims::of(subject, tenant)))
    }

    #[test]
    fn a_burst_of_20_passes_at_once_and_then_one_each_600_ms() {
        let fixture = Fixture::new(&step(100, 60_000, 20, LimitBy::Api));

        assert_eq!(fixture.passing(30), 20);
        for _ in 0..50 {
            fixture.wait(599);
            assert_eq!(fixture.passing(1), 0);
            fixture.wait(1);
            assert_eq!(fixture.passing(2), 1);
        }
        fixture.wait(3_600_000);
        assert_eq!(fixture.passing(30), 20);
    }

    #[test]
    fn every_answer_tells_what_remains_and_when_there_is_more() {
        let fixture = Fixture::new(&step(100, 60_000, 20, LimitBy::Api));

        let (first, _) = fixture.send(Request::get("/"));
        let (second, _) = fixture.send(Request::get("/"));

        assert_eq!(header(&first, "ratelimit-policy"), Some(r#""default";q=20;w=12"#));
        assert_eq!(header(&first, "ratelimit"), Some(r#""default";r=19;t=1"#));
        assert_eq!(header(&second, "ratelimit"), Some(r#""default";r=18;t=1"#));
    }

    #[test]
    fn a_refusal_is_a_429_that_names_the_limit_and_when_to_try_again() {
        let fixture = Fixture::new(&step(6, 60_000, 1, LimitBy::Api));
        assert!(fixture.passes(Request::get("/")));
        fixture.wait(2_500);

        let (headers, outcome) = fixture.send(Request::get("/"));

        let rejection = outcome.unwrap_err();
        assert_eq!((rejection.status, rejection.kind.code), (429, "rate_limit_exceeded"));
        assert_eq!(
            rejection.message,
            "too many requests: the limit `default` is 6 per 60 s, 1 at once; try again in 8 s"
        );
        assert_eq!(header(&rejection.headers, "retry-after"), Some("8"));
        assert_eq!(header(&headers, "ratelimit"), Some(r#""default";r=0;t=8"#));
        assert!(header(&headers, "ratelimit-policy").is_some() && !rejection.absent);
    }

    #[test]
    fn a_client_that_waits_as_told_is_never_refused() {
        let fixture = Fixture::new(&step(7, 10_000, 3, LimitBy::Api));
        for _ in 0..200 {
            let (headers, outcome) = fixture.send(Request::get("/"));
            assert!(outcome.is_ok());
            let quota = header(&headers, "ratelimit").unwrap();
            let (_, seconds) = quota.rsplit_once("t=").unwrap();
            if quota.contains("r=0") {
                fixture.wait(seconds.parse::<u64>().unwrap() * 1000);
            }
        }
    }

    #[test]
    fn a_client_that_sends_its_quota_each_window_is_never_refused() {
        for (requests, period, burst) in [(100, 60_000, 20), (100, 1_000, 200), (10, 7_000, 3)] {
            let fixture = Fixture::new(&step(requests, period, burst, LimitBy::Api));
            let (headers, _) = fixture.send(Request::get("/"));
            let policy = header(&headers, "ratelimit-policy").unwrap();
            let (quota, window) = policy[r#""default";q="#.len()..].split_once(";w=").unwrap();
            let (quota, window) = (quota.parse().unwrap(), window.parse::<u64>().unwrap());
            for _ in 0..5 {
                fixture.wait(window * 1000);
                assert_eq!(fixture.passing(quota), quota, "{policy}");
            }
        }
    }

    #[test]
    fn a_burst_that_is_full_again_within_a_second_is_announced_per_second() {
        let fixture = Fixture::new(&step(100, 1_000, 1, LimitBy::Api));

        let (headers, _) = fixture.send(Request::get("/"));

        assert_eq!(header(&headers, "ratelimit-policy"), Some(r#""default";q=100;w=1"#));
        assert_eq!(header(&headers, "ratelimit"), Some(r#""default";r=0;t=1"#));
    }

    #[test]
    fn older_headers_are_sent_where_the_plan_says_so() {
        let mut step = step(60, 60_000, 10, LimitBy::Api);
        if let plan::Step::Limit { legacy_headers, .. } = &mut step {
            *legacy_headers = true;
        }
        let fixture = Fixture::new(&step);
        assert!(fixture.passes(Request::get("/")));

        let (headers, _) = fixture.send(Request::get("/"));

        assert_eq!(header(&headers, "x-ratelimit-limit"), Some("10"));
        assert_eq!(header(&headers, "x-ratelimit-remaining"), Some("8"));
        assert_eq!(header(&headers, "x-ratelimit-reset"), Some("2"));
    }

    #[test]
    fn subjects_have_an_allowance_each_within_their_tenant() {
        let fixture = Fixture::new(&step(1, 60_000, 1, LimitBy::Subject));

        assert!(fixture.passes(caller("alice", None)));
        assert!(!fixture.passes(caller("alice", None).from("198.51.100.7")));
        assert!(fixture.passes(caller("bob", None)));
        assert!(fixture.passes(caller("alice", Some("acme"))));
        assert!(fixture.passes(caller("alice", Some(""))));
    }

    #[test]
    fn without_claims_a_limit_by_subject_counts_by_address() {
        let fixture = Fixture::new(&step(1, 60_000, 1, LimitBy::Subject));

        assert!(fixture.passes(Request::get("/")));
        assert!(!fixture.passes(Request::get("/")));
        assert!(fixture.passes(Request::get("/").from("198.51.100.7")));
    }

    #[test]
    fn an_address_is_an_ipv4_or_the_64_of_an_ipv6() {
        let fixture = Fixture::new(&step(1, 60_000, 1, LimitBy::Address));
        let passes = |peer| fixture.passes(Request::get("/").from(peer));

        assert!(passes("198.51.100.7"));
        assert!(!passes("::ffff:198.51.100.7"));
        assert!(passes("198.51.100.8"));
        assert!(passes("2001:db8:0:1::1"));
        assert!(!passes("2001:db8:0:1:ffff::2"));
        assert!(passes("2001:db8:0:2::1"));
    }

    #[test]
    fn the_address_limiter_refuses_with_all_headers_and_passes_with_none() {
        let clock = FakeRelativeClock::default();
        let limit = plan::AddressLimit { requests: 10, period_ms: 1_000, burst: 1 };
        let limiter = AddressLimiter { limiter: limiter(&Rate::of_addresses(&limit), &clock) };
        let peer = IpAddr::from([192, 0, 2, 1]);

        assert!(limiter.check(peer).is_ok());
        let rejection = limiter.check(peer).unwrap_err();
        clock.advance(Duration::from_millis(100));

        assert!(limiter.check(peer).is_ok());
        assert_eq!(header(&rejection.headers, "retry-after"), Some("1"));
        assert_eq!(header(&rejection.headers, "ratelimit"), Some(r#""address";r=0;t=1"#));
        assert_eq!(header(&rejection.headers, "ratelimit-policy"), Some(r#""address";q=10;w=1"#));
    }

    #[test]
    fn limits_that_cannot_be_counted_are_errors_of_the_plan() {
        for (requests, period, burst) in [
            (0, 1, 1),
            (1, 0, 1),
            (1, 1, 0),
            (u32::MAX, 1, 1),
            (1, u64::MAX, 1),
            (1, 1 << 40, u32::MAX),
        ] {
            let step = step(requests, period, burst, LimitBy::Api);
            assert!(
                Limit::build(&step, "", &PlanLimits::default()).is_err(),
                "{requests} per {period} ms burst {burst}"
            );
        }
        for wrong in ["", "a\"b", "a\\b", "ä", "a\nb"] {
            let mut step = step(1, 1000, 1, LimitBy::Api);
            if let plan::Step::Limit { name, .. } = &mut step {
                wrong.clone_into(name);
            }
            assert!(Limit::build(&step, "", &PlanLimits::default()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_real_clock_limits_too() {
        let limit =
            Limit::build(&step(1, 60_000, 2, LimitBy::Api), "", &PlanLimits::default()).unwrap();
        let send = || Request::get("/").run(|context| limit.apply(context)).is_ok();

        assert_eq!([send(), send(), send()], [true, true, false]);
    }

    proptest::proptest! {
        #[test]
        fn no_more_pass_than_the_rate_and_the_burst_allow(
            requests in 1..1000_u32, period in 1..100_000_u64, burst in 1..100_u32,
            waits in proptest::collection::vec(0..2_000_u64, 1..200),
        ) {
            let fixture = Fixture::new(&step(requests, period, burst, LimitBy::Api));
            let elapsed: u64 = waits.iter().sum();
            let passed = waits.iter().filter(|wait| {
                fixture.wait(**wait);
                fixture.passing(1) == 1
            }).count() as u64;
            let allowed = u64::from(burst) + elapsed * u64::from(requests) / period + 1;
            proptest::prop_assert!(passed <= allowed, "{} of {}", passed, allowed);
        }
    }
}
