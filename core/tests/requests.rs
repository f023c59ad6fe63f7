//! Requests against a whole core: what is answered, refused, cancelled, and what it looks like on the wire.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nexus_core::gateway::Gateway;
use nexus_core::value::Value;
use serde_json::json;
use support::{Taken, Unused, body, constant, plan, python, start, start_broken};

#[test]
fn a_constant_answer_carries_ids_and_enters_no_handler() {
    let running = start(&plan(json!([constant("/health")]), json!({})));

    let response = running.get("/health");

    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert!(response.contains("x-request-id: "));
    assert!(response.contains("traceparent: 00-"));
    assert_eq!(body(&response)["ok"], true);
    assert_eq!(running.gateway.queue.calls(), 0);
}

#[test]
fn the_router_alone_decides_between_404_and_405() {
    let running = start(&plan(json!([constant("/health")]), json!({})));

    let unknown = running.get("/nothing");
    let other =
        running.exchange(b"DELETE /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");

    assert!(unknown.starts_with("HTTP/1.1 404"));
    assert_eq!(body(&unknown)["code"], "not_found");
    assert!(other.starts_with("HTTP/1.1 405"));
    assert!(other.contains("allow: GET, HEAD, OPTIONS\r\n"), "{other}");
    assert_eq!(body(&other)["code"], "method_not_allowed");
}

#[test]
fn malformed_requests_get_the_standard_error() {
    let running = start(&plan(json!([constant("/health")]), json!({})));

    for request in [
        "GARBAGE\r\n\r\n",
        "GET /health\x01 HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /health HTTP/1.1\r\nhost x\r\n\r\n",
        "GET /health HTTP/1.1\r\n\r\n",
        "GET /health HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n",
        "POST /health HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
    ] {
        let mut stream = running.connect();
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        assert!(response.starts_with("HTTP/1.1 400"), "{request:?}: {response}");
        assert_eq!(body(&response)["code"], "malformed_request");
        assert!(response.contains("x-request-id: "), "{response}");
    }
    let text = running.gateway.runtime.metrics.text(false);
    assert!(text.contains("nexus_refusals_total{code=\"malformed_request\"} 6\n"), "{text}");
}

#[test]
fn one_byte_over_a_bound_is_refused_with_its_status() {
    let route = python("/echo", &["POST"], json!([{"op": "body", "content": "bytes"}]));
    let running = start(&plan(json!([constant("/health"), route]), json!({"body_bytes": 4})));

    let long = running.get(&format!("/{}", "a".repeat(256)));
    let fits = running.get(&format!("/{}", "a".repeat(255)));
    let huge_target = running.get(&format!("/{}", "a".repeat(20_000)));
    let header = format!("GET /health HTTP/1.1\r\nhost: x\r\nx-a: {}\r\n\r\n", "a".repeat(4096));
    let many = running.exchange(format!("{header}GET /").as_bytes());
    let body_over = running.exchange(
        b"POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 5\r\n\r\n12345",
    );
    let chunked_over = running.exchange(
        b"POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n\
          3\r\n123\r\n2\r\n45\r\n0\r\n\r\n",
    );

    assert!(long.starts_with("HTTP/1.1 414"), "{long}");
    assert!(huge_target.starts_with("HTTP/1.1 414"), "{huge_target}");
    assert!(fits.starts_with("HTTP/1.1 404"), "{fits}");
    assert!(many.starts_with("HTTP/1.1 431"), "{many}");
    for response in [body_over, chunked_over] {
        assert!(response.starts_with("HTTP/1.1 413"), "{response}");
        assert_eq!(body(&response)["code"], "payload_too_large");
    }
    assert_eq!(running.gateway.queue.calls(), 0);
}

#[test]
fn a_call_carries_the_body_and_its_answer_is_sent() {
    let route = python("/echo", &["POST"], json!([{"op": "body", "content": "bytes"}]));
    let running = start(&plan(json!([route]), json!({})));
    let mut stream = running.connect();
    stream
        .write_all(
            b"POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc",
        )
        .unwrap();

    let call = running.call();
    assert!(matches!(call.values.as_slice(), [Value::Body(bytes)] if &bytes[..] == b"abc"));
    running.answer(call.id, "done");

    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    assert!(response.ends_with("done"));
}

#[test]
fn a_client_that_goes_away_cancels_its_call() {
    let running = start(&plan(json!([python("/slow", &["GET"], json!([]))]), json!({})));
    let mut stream = running.connect();
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let call = running.call();

    // The end of its input may be a half-close: the gateway asks before it cancels.
    drop(stream);

    match running.jobs.recv_timeout(Duration::from_secs(5)).unwrap() {
        Taken::Cancel(id) => assert_eq!(id, call.id),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_client_that_closes_its_side_gets_its_answer() {
    let running = start(&plan(json!([python("/slow", &["GET"], json!([]))]), json!({})));
    let mut stream = running.connect();
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let call = running.call();

    std::thread::sleep(Duration::from_millis(300)); // some sweeps find the client half-closed
    running.answer(call.id, "answered");

    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    assert!(response.ends_with("answered"));
}

/// A client's preface, its SETTINGS, and a GET of `/slow` on stream 1 (RFC 9113, RFC 7541).
const HTTP2_GET_SLOW: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \0\0\0\x04\0\0\0\0\0\
    \0\0\x0c\x01\x05\0\0\0\x01\x82\x86\x04\x05/slow\x01\x01x";

#[test]
fn a_client_of_http2_that_goes_away_cancels_its_call() {
    let running = start(&plan(json!([python("/slow", &["GET"], json!([]))]), json!({})));
    let mut stream = running.connect();
    stream.write_all(HTTP2_GET_SLOW).unwrap();
    let call = running.call();

    drop(stream);

    match running.jobs.recv_timeout(Duration::from_secs(5)).unwrap() {
        Taken::Cancel(id) => assert_eq!(id, call.id),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_client_of_http2_that_closes_its_side_is_asked_whether_it_reads_and_gets_its_answer() {
    let running = start(&plan(json!([python("/slow", &["GET"], json!([]))]), json!({})));
    let mut stream = running.connect();
    stream.write_all(HTTP2_GET_SLOW).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let call = running.call();

    let mut read = Vec::new();
    let mut part = [0; 1024];
    while !read.ends_with(b"half-end") {
        let length = stream.read(&mut part).unwrap();
        assert_ne!(length, 0, "closed before it was asked");
        read.extend_from_slice(&part[..length]);
    }
    running.answer(call.id, "answered");

    stream.read_to_end(&mut read).unwrap();
    assert!(read.ends_with(b"answered"), "{read:?}");
}

#[test]
fn a_client_that_resets_the_connection_cancels_its_call() {
    let running = start(&plan(json!([python("/slow", &["GET"], json!([]))]), json!({})));
    let mut stream = running.connect();
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let call = running.call();

    // It still answers the question whether it reads, and is reset afterwards.
    let mut probe = [0; 25];
    stream.read_exact(&mut probe).unwrap();
    assert_eq!(&probe, b"HTTP/1.1 100 Continue\r\n\r\n");
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);

    match running.jobs.recv_timeout(Duration::from_secs(5)).unwrap() {
        Taken::Cancel(id) => assert_eq!(id, call.id),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_handler_that_hangs_is_answered_with_504_and_cancelled() {
    let mut route = python("/slow", &["GET"], json!([]));
    route["timeout_ms"] = json!(50);
    let running = start(&plan(json!([route, constant("/health")]), json!({})));

    let response = running.get("/slow");

    assert!(response.starts_with("HTTP/1.1 504"), "{response}");
    assert_eq!(body(&response)["code"], "deadline_exceeded");
    let call = running.call();
    match running.jobs.recv_timeout(Duration::from_secs(1)).unwrap() {
        Taken::Cancel(id) => assert_eq!(id, call.id),
        other => panic!("{other:?}"),
    }
    running.answer(call.id, "too late");
    assert!(running.get("/health").starts_with("HTTP/1.1 200"), "a late answer harms nobody");
}

#[test]
fn a_panic_in_the_core_answers_500_and_the_gateway_lives() {
    // 64 streams of one connection arrive together, and the call that fills the batch wakes the other side, which
    // panics. Where they come in two parts the thread is about to sleep first, and that gateway shows nothing.
    let answered = (0..10).any(|_| {
        let route = python("/broken", &["GET"], json!([]));
        let running = start_broken(&plan(json!([route, constant("/health")]), json!({})));
        let statuses = http2_statuses(running.address, "http://x/broken", 64);
        let first = statuses.recv_timeout(Duration::from_millis(500));
        first == Ok(500) && running.get("/health").starts_with("HTTP/1.1 200")
    });

    assert!(answered);
}

/// Sends as many requests at once over one HTTP/2 connection, on a thread of its own.
fn http2_statuses(
    address: std::net::SocketAddr,
    target: &'static str,
    count: usize,
) -> std::sync::mpsc::Receiver<u16> {
    let (found, statuses) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let io = hyper_util::rt::TokioIo::new(stream);
            let executor = hyper_util::rt::TokioExecutor::new();
            let (sender, connection) =
                hyper::client::conn::http2::handshake(executor, io).await.unwrap();
            tokio::spawn(connection);
            let mut requests = Vec::new();
            for _ in 0..count {
                let (mut sender, found) = (sender.clone(), found.clone());
                requests.push(tokio::spawn(async move {
                    let empty = http_body_util::Empty::<bytes::Bytes>::new();
                    let request = http::Request::get(target).body(empty).unwrap();
                    if let Ok(response) = sender.send_request(request).await {
                        let _ = found.send(response.status().as_u16());
                    }
                }));
            }
            for request in requests {
                let _ = request.await;
            }
        });
    });
    statuses
}

#[test]
fn calls_beyond_the_bound_of_the_queue_are_refused_with_503() {
    let running = start(&plan(json!([python("/x", &["GET"], json!([]))]), json!({"queue": 0})));

    let response = running.get("/x");

    assert!(response.starts_with("HTTP/1.1 503"), "{response}");
    assert!(response.contains("retry-after: 1\r\n"));
    assert_eq!(body(&response)["code"], "service_unavailable");
}

#[test]
fn half_a_head_is_closed_at_its_time() {
    let running = start(&plan(json!([constant("/health")]), json!({"head_timeout_ms": 300})));
    let mut stream = running.connect();
    let started = Instant::now();
    stream.write_all(b"GET /health HTTP/1.1\r\nhos").unwrap();

    let mut rest = Vec::new();
    let read = stream.read_to_end(&mut rest);

    assert!(read.is_ok() && rest.is_empty(), "{read:?} {rest:?}");
    let elapsed = started.elapsed();
    assert!(
        (Duration::from_millis(250)..Duration::from_millis(900)).contains(&elapsed),
        "{elapsed:?}"
    );
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let running = start(&plan(json!([constant("/health")]), json!({})));

    let response = running.exchange(
        b"GET /health HTTP/1.1\r\nhost: x\r\n\r\nGET /none HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    );

    let (first, second) = response.split_at(response.rfind("HTTP/1.1").unwrap());
    assert!(first.starts_with("HTTP/1.1 200"), "{response}");
    assert!(second.starts_with("HTTP/1.1 404"), "{response}");
}

#[test]
fn http2_with_prior_knowledge_is_spoken_on_the_same_port() {
    let running = start(&plan(json!([constant("/health")]), json!({})));

    let status = http2_statuses(running.address, "http://x/health", 1).recv().unwrap();

    assert_eq!(status, 200);
}

#[test]
fn stopping_finishes_what_runs_and_refuses_what_is_new() {
    let running = start(&plan(json!([python("/slow", &["GET"], json!([]))]), json!({})));
    let mut stream = running.connect();
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let call = running.call();

    running.server.stop(7, Duration::from_secs(5));
    while std::net::TcpStream::connect(running.address).is_ok() {
        std::thread::yield_now();
    }
    running.answer(call.id, "finished");

    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.ends_with("finished"), "{response}");
    running.server.join();
}

#[test]
fn routes_with_a_limit_of_one_name_count_together_and_others_alone() {
    let limit = |name: &str, shared: bool| {
        json!([{"op": "limit", "name": name, "requests": 1, "period_ms": 60_000, "burst": 2,
            "by": "address", "shared": shared}])
    };
    let mut routes = Vec::new();
    for (path, name, shared) in
        [("/a", "all", true), ("/b", "all", true), ("/c", "own", false), ("/d", "own", false)]
    {
        let mut route = constant(path);
        route["steps"] = limit(name, shared);
        routes.push(route);
    }
    let running = start(&plan(json!(routes), json!({})));
    let status = |path: &str| running.get(path)[9..12].to_string();

    assert_eq!(
        [status("/a"), status("/b"), status("/a"), status("/b")],
        ["200", "200", "429", "429"]
    );
    assert_eq!(
        [status("/c"), status("/c"), status("/d"), status("/c")],
        ["200", "200", "200", "429"]
    );
}

#[test]
fn two_different_limits_of_one_name_are_refused() {
    let route = |path: &str, burst: u32| {
        let mut route = constant(path);
        route["steps"] = json!([{"op": "limit", "name": "all", "requests": 9, "period_ms": 1000,
            "burst": burst, "by": "address", "shared": true}]);
        route
    };
    let plan = plan(json!([route("/a", 1), route("/b", 2)]), json!({}));

    let plan = nexus_core::plan::Plan::read(plan.to_string().as_bytes()).unwrap();
    let secrets = nexus_core::plan::Secrets::new();
    let error = Gateway::build(&plan, &secrets, Arc::new(Unused));

    assert!(error.is_err_and(|error| error.to_string().contains("two different limits \"all\"")));
}
