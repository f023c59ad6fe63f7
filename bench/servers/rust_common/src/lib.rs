//! The pipeline that every peer in Rust runs: JWT HS256, token bucket per subject, request counter and latency
//! histogram, request ids, and the typed bodies.

use std::{num::NonZeroU32, sync::OnceLock, time::Duration};

use governor::{DefaultKeyedRateLimiter, Quota};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
use serde::{Deserialize, Serialize};

pub const SECRET: &[u8] = b"peer-bench-secret-0123456789abcdef-0123456789";
pub const ROUTE_REPORT: &str = "/api/intelligence/report/{id}";
pub const ROUTE_ENTITIES: &str = "/api/intelligence/entities";

#[derive(Debug, Clone, Deserialize)]
pub struct Claims {
    pub sub: String,
    pub exp: u64,
    pub iat: u64,
    pub scopes: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    Unauthorized,
    Forbidden,
    TooMany,
    Invalid,
}
impl Denied {
    pub fn status(self) -> u16 {
        match self {
            Denied::Unauthorized => 401,
            Denied::Forbidden => 403,
            Denied::TooMany => 429,
            Denied::Invalid => 422,
        }
    }
    pub fn body(self) -> &'static str {
        match self {
            Denied::Unauthorized => r#"{"error":"unauthorized"}"#,
            Denied::Forbidden => r#"{"error":"forbidden"}"#,
            Denied::TooMany => r#"{"error":"rate limited"}"#,
            Denied::Invalid => r#"{"error":"invalid body"}"#,
        }
    }
}

pub struct Pipeline {
    key: DecodingKey,
    validation: Validation,
    limiter: DefaultKeyedRateLimiter<String>,
    requests: IntCounterVec,
    latency: HistogramVec,
}

pub fn pipeline() -> &'static Pipeline {
    static P: OnceLock<Pipeline> = OnceLock::new();
    P.get_or_init(|| {
        let registry = Registry::new();
        let requests = IntCounterVec::new(
            Opts::new("http_requests_total", "requests"),
            &["method", "route", "status"],
        )
        .unwrap();
        let latency = HistogramVec::new(
            HistogramOpts::new("http_request_seconds", "latency"),
            &["method", "route"],
        )
        .unwrap();
        registry.register(Box::new(requests.clone())).unwrap();
        registry.register(Box::new(latency.clone())).unwrap();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        let limit = std::env::var("LIMIT").ok().and_then(|s| s.parse().ok());
        let limit = NonZeroU32::new(limit.unwrap_or(100_000_000)).unwrap();
        let quota = Quota::per_second(limit).allow_burst(limit);
        Pipeline {
            key: DecodingKey::from_secret(SECRET),
            validation,
            limiter: governor::RateLimiter::keyed(quota),
            requests,
            latency,
        }
    })
}

impl Pipeline {
    pub fn authorize(&self, authorization: Option<&str>, scope: &str) -> Result<Claims, Denied> {
        let token = authorization
            .and_then(|h| h.strip_prefix("Bearer "))
            .ok_or(Denied::Unauthorized)?;
        let claims = jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation)
            .map_err(|_| Denied::Unauthorized)?
            .claims;
        if !claims.scopes.iter().any(|s| s == scope) {
            return Err(Denied::Forbidden);
        }
        Ok(claims)
    }
    pub fn admit(&self, sub: &String) -> Result<(), Denied> {
        self.limiter.check_key(sub).map_err(|_| Denied::TooMany)
    }
    pub fn observe(&self, method: &str, route: &str, status: u16, elapsed: Duration) {
        let mut buf = [0u8; 3];
        buf[0] = b'0' + (status / 100) as u8;
        buf[1] = b'0' + (status / 10 % 10) as u8;
        buf[2] = b'0' + (status % 10) as u8;
        let status = std::str::from_utf8(&buf).unwrap();
        self.requests.with_label_values(&[method, route, status]).inc();
        self.latency
            .with_label_values(&[method, route])
            .observe(elapsed.as_secs_f64());
    }
}

pub fn request_id() -> String {
    format!("{:032x}", fastrand::u128(..))
}
pub fn traceparent() -> String {
    format!("00-{:032x}-{:016x}-01", fastrand::u128(..), fastrand::u64(..))
}

/// What `report` gives, as text, for the program that answers a constant.
pub const REPORT: &str = r#"{"id":"rep-000001","title":"Quarterly threat report","severity":"high","score":0.8731,"confidence":92,"tags":["apt","phishing","malware","c2"],"entities":[101,102,103,104],"limit":10,"source":"osint-feed","created_at":"2026-01-15T10:30:00Z","updated":1768473000}"#;

#[derive(Serialize)]
pub struct Health {
    pub status: &'static str,
}

#[derive(Deserialize)]
pub struct Page {
    #[serde(default = "ten")]
    pub limit: u32,
}
fn ten() -> u32 {
    10
}

#[derive(Serialize)]
pub struct Report {
    pub id: String,
    pub title: &'static str,
    pub severity: &'static str,
    pub score: f64,
    pub confidence: u32,
    pub tags: Vec<&'static str>,
    pub entities: Vec<u32>,
    pub limit: u32,
    pub source: &'static str,
    pub created_at: &'static str,
    pub updated: u64,
}
pub fn report(id: String, limit: u32) -> Report {
    Report {
        id,
        title: "Quarterly threat report",
        severity: "high",
        score: 0.8731,
        confidence: 92,
        tags: vec!["apt", "phishing", "malware", "c2"],
        entities: vec![101, 102, 103, 104],
        limit,
        source: "osint-feed",
        created_at: "2026-01-15T10:30:00Z",
        updated: 1768473000,
    }
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntityType {
    Domain,
    Ip,
    Person,
    Organization,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewEntity {
    pub entity_id: String,
    pub entity_type: EntityType,
    pub tags: Vec<String>,
}
impl NewEntity {
    pub fn check(&self) -> Result<(), Denied> {
        let ok = (1..=64).contains(&self.entity_id.len())
            && self.tags.len() <= 16
            && self.tags.iter().all(|t| (1..=32).contains(&t.len()));
        if ok { Ok(()) } else { Err(Denied::Invalid) }
    }
}

#[derive(Serialize)]
pub struct Entity {
    pub entity_id: String,
    pub entity_type: EntityType,
    pub tags: Vec<String>,
    pub status: &'static str,
    pub revision: u32,
    pub score: f64,
    pub owner: String,
    pub created_at: &'static str,
}
pub fn entity(new: NewEntity, owner: String) -> Entity {
    Entity {
        entity_id: new.entity_id,
        entity_type: new.entity_type,
        tags: new.tags,
        status: "created",
        revision: 1,
        score: 0.5125,
        owner,
        created_at: "2026-01-15T10:30:00Z",
    }
}

pub fn port() -> u16 {
    std::env::var("PORT").ok().and_then(|s| s.parse().ok()).unwrap_or(8080)
}
/// A multi-thread runtime of tokio with one worker.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}
