//! The pipeline as a program of warp, written as its documentation writes such a program.
//!
//! `ANSWER=constant` replaces the report, which is otherwise built and encoded anew for each request, by fixed text.
use std::convert::Infallible;

use rust_common::*;
use warp::{http::StatusCode, reject::Reject, Filter, Rejection, Reply};

#[derive(Debug)]
struct Refused(Denied);
impl Reject for Refused {}

fn secured(scope: &'static str) -> impl Filter<Extract = (Claims,), Error = Rejection> + Clone {
    warp::header::optional::<String>("authorization").and_then(move |h: Option<String>| async move {
        let p = pipeline();
        let claims = p
            .authorize(h.as_deref(), scope)
            .map_err(|d| warp::reject::custom(Refused(d)))?;
        p.admit(&claims.sub)
            .map_err(|d| warp::reject::custom(Refused(d)))?;
        Ok::<_, Rejection>(claims)
    })
}

fn denied(d: Denied) -> warp::reply::Response {
    let reply = warp::reply::with_header(d.body(), "content-type", "application/json");
    warp::reply::with_status(reply, StatusCode::from_u16(d.status()).unwrap()).into_response()
}

async fn recover(r: Rejection) -> Result<warp::reply::Response, Rejection> {
    if let Some(Refused(d)) = r.find() {
        Ok(denied(*d))
    } else if r.find::<warp::filters::body::BodyDeserializeError>().is_some() {
        Ok(denied(Denied::Invalid))
    } else {
        Err(r)
    }
}

async fn last_resort(_: Rejection) -> Result<warp::reply::Response, Infallible> {
    Ok(StatusCode::NOT_FOUND.into_response())
}

fn main() {
    let health = warp::path!("health")
        .and(warp::get())
        .map(|| warp::reply::json(&Health { status: "ok" }));

    let constant = std::env::var("ANSWER").is_ok_and(|answer| answer == "constant");
    let report = warp::path!("api" / "intelligence" / "report" / String)
        .and(warp::get())
        .and(warp::query::<Page>())
        .and(secured("intel:read"))
        .map(move |id, page: Page, _claims: Claims| {
            if constant {
                warp::reply::with_header(REPORT, "content-type", "application/json").into_response()
            } else {
                warp::reply::json(&report(id, page.limit)).into_response()
            }
        });

    let entities = warp::path!("api" / "intelligence" / "entities")
        .and(warp::post())
        .and(secured("intel:write"))
        .and(warp::body::content_length_limit(64 * 1024))
        .and(warp::body::json())
        .and_then(|claims: Claims, new: NewEntity| async move {
            new.check().map_err(|d| warp::reject::custom(Refused(d)))?;
            let reply = warp::reply::json(&entity(new, claims.sub));
            Ok::<_, Rejection>(warp::reply::with_status(reply, StatusCode::CREATED).into_response())
        });

    let metrics = warp::log::custom(|info| {
        let route = if info.path().starts_with("/api/intelligence/report/") {
            ROUTE_REPORT
        } else {
            ROUTE_ENTITIES
        };
        pipeline().observe(info.method().as_str(), route, info.status().as_u16(), info.elapsed());
    });
    let cors = warp::cors().allow_any_origin().allow_methods(["GET", "POST"]);

    let api = report
        .or(entities)
        .unify()
        .recover(recover)
        .unify()
        .map(|r| warp::reply::with_header(r, "x-request-id", request_id()))
        .map(|r| warp::reply::with_header(r, "traceparent", traceparent()))
        .with(cors)
        .with(metrics);

    let routes = health.or(api).recover(last_resort);
    runtime().block_on(warp::serve(routes).run(([127, 0, 0, 1], port())));
}
