//! The pipeline as a program of actix-web: middleware around a scope and its resources.

use std::time::Instant;

use actix_cors::Cors;
use actix_web::{
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        header::{HeaderName, HeaderValue, AUTHORIZATION},
        StatusCode,
    },
    middleware::{from_fn, Next},
    web, App, Error, HttpMessage, HttpResponse, HttpServer,
};
use rust_common::*;

fn denied(d: Denied) -> HttpResponse {
    HttpResponse::build(StatusCode::from_u16(d.status()).unwrap())
        .content_type("application/json")
        .body(d.body())
}

async fn secured(
    scope: &'static str,
    req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let p = pipeline();
    let header = req.headers().get(AUTHORIZATION).and_then(|v| v.to_str().ok());
    let claims = p.authorize(header, scope).and_then(|c| p.admit(&c.sub).map(|()| c));
    match claims {
        Ok(claims) => {
            req.extensions_mut().insert(claims);
            Ok(next.call(req).await?.map_into_boxed_body())
        }
        Err(d) => Ok(req.into_response(denied(d))),
    }
}

async fn observed(
    req: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let started = Instant::now();
    let mut res = next.call(req).await?;
    let h = res.headers_mut();
    h.insert(HeaderName::from_static("x-request-id"), HeaderValue::try_from(request_id()).unwrap());
    h.insert(HeaderName::from_static("traceparent"), HeaderValue::try_from(traceparent()).unwrap());
    let req = res.request();
    let route = if req.path().starts_with("/api/intelligence/report/") {
        ROUTE_REPORT
    } else {
        ROUTE_ENTITIES
    };
    pipeline().observe(req.method().as_str(), route, res.status().as_u16(), started.elapsed());
    Ok(res)
}

async fn health() -> web::Json<Health> {
    web::Json(Health { status: "ok" })
}

async fn get_report(id: web::Path<String>, page: web::Query<Page>) -> web::Json<Report> {
    web::Json(report(id.into_inner(), page.limit))
}

async fn new_entity(claims: web::ReqData<Claims>, new: web::Json<NewEntity>) -> HttpResponse {
    let new = new.into_inner();
    match new.check() {
        Ok(()) => HttpResponse::Created().json(entity(new, claims.into_inner().sub)),
        Err(d) => denied(d),
    }
}

fn main() -> std::io::Result<()> {
    actix_web::rt::System::new().block_on(
        HttpServer::new(|| {
            App::new().route("/health", web::get().to(health)).service(
                web::scope("/api/intelligence")
                    .wrap(Cors::default().allow_any_origin().allow_any_method())
                    .wrap(from_fn(observed))
                    .service(
                        web::resource("/report/{id}")
                            .wrap(from_fn(|r, n| secured("intel:read", r, n)))
                            .route(web::get().to(get_report)),
                    )
                    .service(
                        web::resource("/entities")
                            .wrap(from_fn(|r, n| secured("intel:write", r, n)))
                            .route(web::post().to(new_entity)),
                    ),
            )
        })
        .workers(1)
        .bind(("127.0.0.1", port()))?
        .run(),
    )
}
