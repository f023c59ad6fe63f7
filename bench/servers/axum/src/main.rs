//! The pipeline as a program of axum: tower layers around its routes.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Path, Query, Request},
    http::{header::AUTHORIZATION, HeaderValue, StatusCode},
    middleware::{from_fn, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
    Extension, Json, Router,
};
use rust_common::*;
use tower_http::cors::{Any, CorsLayer};

fn denied(d: Denied) -> Response {
    (
        StatusCode::from_u16(d.status()).unwrap(),
        [("content-type", "application/json")],
        d.body(),
    )
        .into_response()
}

async fn secured(scope: &'static str, mut req: Request, next: Next) -> Response {
    let header = req.headers().get(AUTHORIZATION).and_then(|v| v.to_str().ok());
    match pipeline().authorize(header, scope) {
        Ok(claims) => {
            req.extensions_mut().insert(claims);
            next.run(req).await
        }
        Err(d) => denied(d),
    }
}

async fn limited(Extension(claims): Extension<Claims>, req: Request, next: Next) -> Response {
    match pipeline().admit(&claims.sub) {
        Ok(()) => next.run(req).await,
        Err(d) => denied(d),
    }
}

async fn observed(path: MatchedPath, req: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = req.method().clone();
    let mut res = next.run(req).await;
    let h = res.headers_mut();
    h.insert("x-request-id", HeaderValue::try_from(request_id()).unwrap());
    h.insert("traceparent", HeaderValue::try_from(traceparent()).unwrap());
    pipeline().observe(method.as_str(), path.as_str(), res.status().as_u16(), started.elapsed());
    res
}

async fn get_report(Path(id): Path<String>, Query(page): Query<Page>) -> Json<Report> {
    Json(report(id, page.limit))
}

async fn new_entity(Extension(claims): Extension<Claims>, Json(new): Json<NewEntity>) -> Response {
    match new.check() {
        Ok(()) => (StatusCode::CREATED, Json(entity(new, claims.sub))).into_response(),
        Err(d) => denied(d),
    }
}

fn main() {
    let cors = CorsLayer::new().allow_origin(Any).allow_methods(Any);
    let api = Router::new()
        .route(
            ROUTE_REPORT,
            get(get_report)
                .layer(from_fn(limited))
                .layer(from_fn(|r, n| secured("intel:read", r, n))),
        )
        .route(
            ROUTE_ENTITIES,
            post(new_entity)
                .layer(from_fn(limited))
                .layer(from_fn(|r, n| secured("intel:write", r, n))),
        )
        .route_layer(cors)
        .route_layer(from_fn(observed));
    let app = Router::new()
        .route("/health", get(|| async { Json(Health { status: "ok" }) }))
        .merge(api);
    runtime().block_on(async move {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port())).await.unwrap();
        use axum::serve::ListenerExt;
        let listener = listener.tap_io(|s| {
            let _ = s.set_nodelay(true);
        });
        axum::serve(listener, app).await.unwrap();
    });
}
