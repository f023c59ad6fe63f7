//! A program is replaced while the gateway runs: what changes, what continues, and what is refused.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use nexus_core::plan::{Plan, PlanError, Secrets};
use serde_json::{Value, json};
use support::{Running, Taken, constant, plan, python, start};

fn swap(running: &Running, plan: &Value) -> Result<(), PlanError> {
    let plan = Plan::read(plan.to_string().as_bytes())?;
    running.gateway.swap(&plan, &Secrets::new(), |_, _| {})
}

fn answer(path: &str, body: &str) -> Value {
    let mut route = constant(path);
    route["terminal"]["body"] = body.into();
    route
}

fn limited(path: &str, name: &str, burst: u32, shared: bool) -> Value {
    let mut route = constant(path);
    route["steps"] = json!([{"op": "limit", "name": name, "requests": 1, "period_ms": 3_600_000,
        "burst": burst, "by": "address", "shared": shared}]);
    route
}

fn status(running: &Running, path: &str) -> u16 {
    let response = running.get(path);
    response.split(' ').nth(1).unwrap().parse().unwrap()
}

fn sample(running: &Running, name: &str) -> u64 {
    let text = running.gateway.runtime.metrics.text(false);
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.rsplit(' ').next()).map_or(0, |count| count.parse().unwrap())
}

#[test]
fn a_connection_stays_open_and_its_next_request_has_the_new_program() {
    let running = start(&plan(json!([answer("/a", "1")]), json!({})));
    let mut stream = running.connect();
    let mut ask = || {
        stream.write_all(b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let mut text = String::new();
        while !text.contains("\r\n\r\n") || text.ends_with("\r\n\r\n") {
            let mut part = [0; 4096];
            let read = stream.read(&mut part).unwrap();
            assert!(read > 0, "closed: {text}");
            text.push_str(std::str::from_utf8(&part[..read]).unwrap());
        }
        text.rsplit('\n').next().unwrap().to_owned()
    };
    assert_eq!(ask(), "1");

    swap(&running, &plan(json!([answer("/a", "2")]), json!({}))).unwrap();

    assert_eq!(ask(), "2");
    assert_eq!(sample(&running, "nexus_http_requests_total{route=\"/a\""), 2);
    assert_eq!(sample(&running, "nexus_connections_total"), 1);
}

#[test]
fn a_call_names_the_handlers_of_its_program_which_retire_after_its_exchange() {
    let running = start(&plan(json!([python("/a", &["GET"], json!([]))]), json!({})));
    let mut stream = running.connect();
    stream.write_all(b"GET /a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let old = running.call();

    swap(&running, &plan(json!([python("/a", &["GET"], json!([]))]), json!({}))).unwrap();

    let mut second = running.connect();
    second.write_all(b"GET /a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let new = running.call();
    assert_ne!(old.table, new.table);
    running.answer(new.id, "new");
    let mut text = String::new();
    second.read_to_string(&mut text).unwrap();
    assert!(text.ends_with("new"), "{text}");
    assert!(running.jobs.try_recv().is_err(), "the old handlers are still in use");
    running.answer(old.id, "old");
    text.clear();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.ends_with("old"), "{text}");
    match running.jobs.recv_timeout(Duration::from_secs(5)).unwrap() {
        Taken::Retire(table) => assert_eq!(table, old.table),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_limit_of_the_same_name_and_rule_keeps_its_counts() {
    for shared in [false, true] {
        let first = plan(json!([limited("/a", "few", 2, shared)]), json!({}));
        let running = start(&first);
        assert_eq!((status(&running, "/a"), status(&running, "/a")), (200, 200));

        // Another limit before it, and another route, change nothing for it.
        let mut further = limited("/a", "few", 2, shared);
        let many = limited("/a", "many", 50, false)["steps"][0].clone();
        further["steps"].as_array_mut().unwrap().insert(0, many);
        let second = plan(json!([constant("/b"), further]), json!({}));
        swap(&running, &second).unwrap();

        assert_eq!(status(&running, "/a"), 429);
        let passed = "nexus_limit_requests_total{limit=\"few\",outcome=\"passed\"}";
        assert_eq!(sample(&running, passed), 2);
        assert_eq!(running.gateway.runtime.limits.len(), 2);

        // Another rule begins with a full allowance; the name's counter goes on.
        swap(&running, &plan(json!([limited("/a", "few", 1, shared)]), json!({}))).unwrap();
        assert_eq!((status(&running, "/a"), status(&running, "/a")), (200, 429));
        assert_eq!(sample(&running, passed), 3);
        assert_eq!(running.gateway.runtime.limits.len(), 1);
    }
}

#[test]
fn the_state_of_a_removed_limit_is_freed() {
    let with = plan(json!([limited("/a", "few", 1, false)]), json!({}));
    let running = start(&with);
    assert_eq!((status(&running, "/a"), status(&running, "/a")), (200, 429));

    swap(&running, &plan(json!([constant("/a")]), json!({}))).unwrap();
    assert_eq!(running.gateway.runtime.limits.len(), 0);
    swap(&running, &with).unwrap();

    assert_eq!((status(&running, "/a"), status(&running, "/a")), (200, 429));
    let refused = "nexus_limit_requests_total{limit=\"few\",outcome=\"refused\"}";
    assert_eq!(sample(&running, refused), 2);
}

#[test]
fn the_limit_of_addresses_continues() {
    let mut with = plan(json!([constant("/a")]), json!({}));
    with["layers"]["limit"] = json!({"requests": 1, "period_ms": 3_600_000, "burst": 1});
    let running = start(&with);
    assert_eq!((status(&running, "/a"), status(&running, "/a")), (200, 429));

    with["routes"] = json!([constant("/b")]);
    swap(&running, &with).unwrap();

    assert_eq!(status(&running, "/b"), 429);
}

#[test]
fn counters_of_removed_routes_stay_and_continue_when_they_return() {
    let both = plan(json!([constant("/a"), constant("/b")]), json!({}));
    let running = start(&both);
    assert_eq!((status(&running, "/a"), status(&running, "/b")), (200, 200));

    swap(&running, &plan(json!([constant("/b")]), json!({}))).unwrap();
    assert_eq!((status(&running, "/a"), status(&running, "/b")), (404, 200));
    assert_eq!(sample(&running, "nexus_http_requests_total{route=\"/a\""), 1);
    swap(&running, &both).unwrap();
    assert_eq!(status(&running, "/a"), 200);

    assert_eq!(sample(&running, "nexus_http_requests_total{route=\"/a\""), 2);
    assert_eq!(sample(&running, "nexus_http_requests_total{route=\"/b\""), 2);
}

#[test]
fn a_plan_that_is_refused_changes_nothing() {
    let first = plan(json!([limited("/a", "few", 1, false)]), json!({}));
    let running = start(&first);
    assert_eq!(status(&running, "/a"), 200);
    let mut wrong = plan(json!([limited("/a", "few", 9, false), constant("/b")]), json!({}));
    wrong["routes"][1]["path"] = "b".into();
    wrong["layers"]["log"] = json!({"level": "debug"});

    let error = swap(&running, &wrong).unwrap_err();

    assert!(error.to_string().contains("must start with /"), "{error}");
    assert_eq!((status(&running, "/a"), status(&running, "/b")), (429, 404));
    assert!(!running.gateway.runtime.log.takes(nexus_core::plan::Level::Warning));
}

#[test]
fn a_hub_may_stay_and_nothing_of_it_may_change() {
    let hub = |channels: u32| {
        let mut with = plan(json!([constant("/a")]), json!({}));
        with["hub"] = json!({"namespaces": [], "heartbeat_ms": 25_000, "sockets": 10,
            "subscriptions": 10, "channels": channels, "max_bytes": 65_536, "history_bytes": 1024,
            "metrics_ms": 0, "operator": "realtime:admin"});
        with
    };
    let without = plan(json!([constant("/a")]), json!({}));
    let running = start(&hub(10));

    swap(&running, &hub(10)).unwrap();
    let changed = swap(&running, &hub(11)).unwrap_err().to_string();
    let removed = swap(&running, &without).unwrap_err().to_string();

    assert!(
        changed.starts_with("hub: `channels` cannot change while the gateway runs"),
        "{changed}"
    );
    assert!(removed.starts_with("hub: it cannot be removed"), "{removed}");
    let added = swap(&start(&without), &hub(10)).unwrap_err().to_string();
    assert!(added.starts_with("hub: it cannot be added"), "{added}");
}

#[test]
fn the_bounds_of_the_new_plan_hold_for_the_next_request() {
    let running = start(&plan(json!([constant("/a")]), json!({})));
    let long = format!("/a?{}", "x".repeat(200));
    assert_eq!(status(&running, &long), 200);

    swap(&running, &plan(json!([constant("/a")]), json!({"uri_bytes": 100}))).unwrap();

    assert_eq!(status(&running, &long), 414);
}

#[test]
fn a_thousand_swaps_leave_one_program() {
    let plans = [
        plan(json!([limited("/a", "few", 1, false), constant("/x")]), json!({})),
        plan(json!([constant("/a"), limited("/y", "other", 1, true)]), json!({})),
    ];
    let running = start(&plans[0]);
    let first = std::sync::Arc::downgrade(&running.gateway.program());
    let mut last = first.clone();

    for number in 1..=1000 {
        swap(&running, &plans[number % 2]).unwrap();
        assert!(last.upgrade().is_none(), "{number}");
        last = std::sync::Arc::downgrade(&running.gateway.program());
    }

    let mut retired = 0;
    let deadline = Instant::now() + Duration::from_secs(5);
    while retired < 1000 && Instant::now() < deadline {
        match running.jobs.recv_timeout(Duration::from_secs(5)).unwrap() {
            Taken::Retire(_) => retired += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((retired, running.gateway.runtime.limits.len()), (1000, 1));
}
