//! The hub over real sockets: what is published arrives, what is missed is told, who is too slow hurts nobody else.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::client::{Client, post};
use support::{Running, plan, start};

fn hub(change: impl FnOnce(&mut Value)) -> Value {
    let namespace = |name: &str, overflow: &str| {
        json!({"name": name, "subscribe": {"anonymous": true}, "publish": {"anonymous": true},
            "history": 5, "history_ms": 60_000, "presence": true, "max_bytes": 100_000,
            "overflow": overflow, "queue": 64, "queue_bytes": 1_000_000})
    };
    let mut all = json!({
        "namespaces": [namespace("open:*", "drop_oldest"), namespace("strict:*", "disconnect"),
            namespace("metrics", "conflate")],
        "heartbeat_ms": 60_000, "sockets": 100, "subscriptions": 4, "channels": 50,
        "max_bytes": 100_000, "history_bytes": 1_000_000, "metrics_ms": 50, "operator": "all",
    });
    change(&mut all);
    all
}

fn running(hub: Value) -> Running {
    let route = |path: &str, method: &str, operation: &str, steps: Value| {
        json!({"name": operation, "path": path, "methods": [method], "steps": steps,
            "terminal": {"op": "hub", "operation": operation}})
    };
    let channel = json!({"op": "param", "name": "channel", "kind": {"type": "str"}});
    let posted = json!([channel, {"op": "body", "content": "json"}]);
    let mut all = plan(
        json!([
            route("/ws", "GET", "socket", json!([])),
            route("/ws/{channel}", "GET", "socket", json!([channel])),
            route("/events/{channel}", "GET", "events", json!([channel])),
            route("/channels", "GET", "channels", json!([])),
            route("/channels/{channel}", "POST", "publish", posted),
            route("/channels/{channel}/presence", "GET", "presence", json!([channel])),
            route("/channels/{channel}/history", "GET", "history", json!([channel])),
        ]),
        json!({"idle_timeout_ms": 60_000}),
    );
    all["hub"] = hub;
    start(&all)
}

#[test]
fn what_is_published_reaches_every_subscriber_once_in_order() {
    let running = running(hub(|_| {}));
    let mut clients: Vec<_> = (0..5).map(|_| Client::open(&running, "/ws/open:a")).collect();
    let epoch = clients[0].receive()["epoch"].clone();
    clients[1..].iter_mut().for_each(|client| drop(client.receive()));

    for number in 1..=20 {
        assert_eq!(post(&running, "open:a", &json!(number))["offset"], number);
    }

    for client in &mut clients {
        for number in 1..=20 {
            let message = client.receive();
            assert_eq!(message["type"], "message");
            assert_eq!((&message["offset"], &message["data"]), (&json!(number), &json!(number)));
            assert_eq!(message["epoch"], epoch);
        }
    }
}

#[test]
fn who_comes_back_gets_what_it_missed_or_is_told_that_it_is_lost() {
    let running = running(hub(|_| {}));
    let place = post(&running, "open:a", &json!("first"));
    for number in 0..5 {
        post(&running, "open:a", &json!(number));
    }
    let mut client = Client::open(&running, "/ws");
    let subscribe = |epoch: &Value, offset: u64| json!({"type": "subscribe", "channel": "open:a", "id": 1, "epoch": epoch, "offset": offset});

    let ack = client.ask(&subscribe(&place["epoch"], 1));
    assert_eq!((&ack["recovered"], &ack["missed"]), (&json!(true), &json!(5)));
    for number in 0..5 {
        assert_eq!(client.receive()["data"], number);
    }
    client.ask(&json!({"type": "unsubscribe", "channel": "open:a", "id": 2}));
    assert_eq!(client.ask(&subscribe(&place["epoch"], 0))["recovered"], false);
    client.ask(&json!({"type": "unsubscribe", "channel": "open:a", "id": 3}));
    assert_eq!(client.ask(&subscribe(&json!("other"), 6))["recovered"], false);
}

#[test]
fn a_wrong_frame_is_told_and_the_socket_lives_on() {
    let running = running(hub(|_| {}));
    let mut client = Client::open(&running, "/ws");

    for (frame, code) in [
        (json!({"type": "teleport", "id": 1}), "validation_error"),
        (json!({"type": "subscribe", "channel": "closed", "id": 1}), "not_found"),
        (
            json!({"type": "subscribe", "channel": "open:a", "epoch": "e", "id": 1}),
            "validation_error",
        ),
        (json!({"type": "publish", "channel": "open:a", "id": 1}), "validation_error"),
        (json!({"type": "unsubscribe", "channel": "open:a", "id": 1}), "not_found"),
        (json!({"type": "ping", "id": 1, "offset": "x"}), "validation_error"),
        (json!({"id": 1}), "validation_error"),
        (json!(5), "malformed_body"),
    ] {
        let error = client.ask(&frame);
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!(code)), "{frame}");
        assert_eq!(error.get("id").is_some(), frame.get("id").is_some(), "{frame}");
    }
    assert_eq!(client.ask(&json!({"type": "ping", "id": "x"})), json!({"type": "pong", "id": "x"}));
}

#[test]
fn a_socket_that_sends_rubbish_without_end_is_closed() {
    let running = running(hub(|_| {}));
    let mut client = Client::open(&running, "/ws");

    let end = (0..100).map(|_| client.ask(&json!({"type": "?"}))).find(Value::is_number);

    assert_eq!(end, Some(json!(4029)));
}

#[test]
fn the_spelling_of_the_first_generation_is_answered_in_kind() {
    let running = running(hub(|_| {}));
    let mut client = Client::open(&running, "/ws");

    let ack = client.ask(&json!({"Subscribe": {"channel": "open:a", "id": 1}}));
    post(&running, "open:a", &json!(1));
    let message = client.receive();
    let pong = client.ask(&json!("Ping"));
    let modern = client.ask(&json!({"type": "ping"}));
    post(&running, "open:a", &json!(2));

    assert_eq!(ack["Ack"]["id"], 1);
    assert_eq!(message["Message"]["data"], 1);
    assert_eq!((pong, modern), (json!("Pong"), json!({"type": "pong"})));
    assert_eq!(client.receive()["type"], "message");
}

#[test]
fn who_comes_and_goes_is_told_to_those_who_ask() {
    let running = running(hub(|_| {}));
    let mut watcher = Client::open(&running, "/ws");
    watcher.ask(&json!({"type": "subscribe", "channel": "open:a", "id": 1, "presence": true}));

    let guest = Client::open(&running, "/ws/open:a");
    let join = watcher.receive();
    let there = watcher.ask(&json!({"type": "presence", "channel": "open:a", "id": 2}));
    drop(guest);
    let leave = watcher.receive();

    assert_eq!((&join["type"], &leave["type"]), (&json!("join"), &json!("leave")));
    assert_eq!(join["member"], leave["member"]);
    assert_eq!(there["members"].as_array().unwrap().len(), 2);
}

#[test]
fn a_slow_reader_loses_messages_and_delays_nobody() {
    let running = running(hub(|_| {}));
    let mut slow = Client::open(&running, "/ws/open:a");
    let mut strict = Client::open(&running, "/ws");
    strict.ask(&json!({"type": "subscribe", "channel": "strict:a", "id": 1}));
    let mut quick = Client::open(&running, "/ws/open:a");
    slow.receive();
    quick.receive();
    let mut publisher = Client::open(&running, "/ws");
    let data = "x".repeat(50_000);

    let began = Instant::now();
    for number in 1..=400 {
        publisher.send(&json!({"type": "publish", "channel": "open:a", "data": data}));
        publisher.send(&json!({"type": "publish", "channel": "strict:a", "data": data}));
        assert_eq!(quick.receive()["offset"], number);
    }
    assert!(began.elapsed() < Duration::from_secs(20));

    let (mut expected, mut lost) = (1, 0);
    while expected <= 400 {
        let frame = slow.receive();
        if frame["type"] == "dropped" {
            lost += frame["count"].as_u64().unwrap();
            expected = frame["offset"].as_u64().unwrap() + 1;
        } else {
            assert_eq!(frame["offset"], expected);
            expected += 1;
        }
    }
    assert!(lost > 0, "nothing was lost");
    // It may be too slow for its close frame too; what counts is that it was not waited for.
    let mut rest = Vec::new();
    let _ = strict.stream.read_to_end(&mut rest);
    assert!(rest.len() < 200 * 50_000, "the strict channel was not closed");
}

#[test]
fn the_counters_are_published_while_somebody_listens() {
    let running = running(hub(|_| {}));
    let mut client = Client::open(&running, "/ws/metrics");
    client.receive();

    let first = client.receive();
    let second = client.receive();

    assert_eq!(first["type"], "metrics_update");
    assert_eq!(first["data"]["realtime"]["sockets"], 1);
    assert!(second["data"]["uptime_seconds"].as_f64() > first["data"]["uptime_seconds"].as_f64());
}

#[test]
fn subscriptions_channels_and_sockets_are_bounded() {
    let running = running(hub(|hub| {
        hub["sockets"] = json!(2);
        hub["channels"] = json!(4);
    }));
    let mut client = Client::open(&running, "/ws");
    for number in 0..4 {
        let channel = format!("open:{number}");
        let ack = client.ask(&json!({"type": "subscribe", "channel": channel, "id": 1}));
        assert_eq!(ack["type"], "ack");
    }

    let fifth = client.ask(&json!({"type": "subscribe", "channel": "open:5", "id": 1}));
    let channel = post(&running, "open:new", &json!(1));
    let _second = Client::open(&running, "/ws");
    let third = running.exchange(
        b"GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
          sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );

    assert_eq!(fifth["code"], "rate_limit_exceeded");
    assert_eq!(channel["code"], "service_unavailable");
    assert!(third.starts_with("HTTP/1.1 429") && third.contains("retry-after: "), "{third}");
}

#[test]
fn events_go_on_after_the_last_that_was_seen() {
    let running = running(hub(|_| {}));
    let place = post(&running, "open:a", &json!(1));
    post(&running, "open:a", &json!(2));
    let epoch = place["epoch"].as_str().unwrap();
    let mut stream = running.connect();
    write!(stream, "GET /events/open:a?last_event_id={epoch}:1 HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();

    let mut text = String::new();
    let mut until = |sign: &str| {
        let mut more = [0; 4096];
        while !text.contains(sign) {
            let count = stream.read(&mut more).unwrap();
            text.push_str(&String::from_utf8_lossy(&more[..count]));
        }
        text.clone()
    };
    until("\"data\":2");
    post(&running, "open:a", &json!(3));
    let all = until("\"data\":3");

    assert!(all.contains("content-type: text/event-stream"), "{all}");
    assert!(all.contains(&format!("id: {epoch}:3\n")), "{all}");
    assert!(!all.contains("\"data\":1"), "{all}");
}

#[test]
fn a_gateway_that_drains_tells_its_clients_to_come_back() {
    let running = running(hub(|_| {}));
    let mut client = Client::open(&running, "/ws");

    running.server.stop(0, Duration::from_secs(5));

    assert_eq!(client.receive()["type"], "reconnect");
    assert_eq!(client.receive(), 4012);
}

#[test]
fn who_gives_no_sign_of_life_is_asked_and_then_closed() {
    let running = running(hub(|hub| hub["heartbeat_ms"] = json!(300)));
    let mut silent = Client::open(&running, "/ws");
    let mut alive = Client::open(&running, "/ws");

    let ping = silent.until(|read| (read.len() >= 2).then_some(2));
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1500) {
        alive.send(&json!({"type": "pong"}));
        std::thread::sleep(Duration::from_millis(50));
    }

    assert_eq!(ping, [0x89, 0]);
    assert_eq!(silent.receive(), 4010);
    assert_eq!(alive.ask(&json!({"type": "ping"})), json!({"type": "pong"}));
}

#[test]
fn too_many_frames_and_bytes_are_told_when_to_come_again() {
    let running = running(hub(|hub| {
        hub["messages"] = json!({"op": "limit", "name": "frames", "requests": 1, "period_ms": 60_000,
            "burst": 3, "by": "subject", "shared": true});
        hub["bytes"] = json!({"amount": 100, "period_ms": 60_000, "burst": 200});
    }));
    let mut client = Client::open(&running, "/ws");

    let large = json!({"type": "ping", "key": "x".repeat(300)});
    let first = client.ask(&large);
    let second = client.ask(&json!({"type": "ping"}));
    client.ask(&json!({"type": "ping"}));
    let fourth = client.ask(&json!({"type": "ping", "id": 4}));

    assert_eq!(first, json!({"type": "pong"}));
    assert_eq!(
        (&second["code"], &fourth["code"]),
        (&json!("rate_limit_exceeded"), &second["code"])
    );
    assert!(second["retry_after"].as_u64() > Some(60), "{second}");
    assert!(fourth["error"].as_str().unwrap().contains("too many frames"), "{fourth}");
    assert!(running.get("/channels").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_batch_cannot_ask_for_more_than_its_answers_may_take() {
    let running = running(hub(|_| {}));
    let data = "x".repeat(90_000);
    for _ in 0..5 {
        post_large(&running, &data);
    }
    let mut client = Client::open(&running, "/ws");
    let batch: Vec<_> = (0..30)
        .map(|id| json!({"type": "history", "channel": "open:a", "limit": 5, "id": id}))
        .collect();

    client.send(&json!(batch));
    let answers: Vec<_> = (0..30).map(|_| client.receive()).collect();

    let told = |kind: &str| answers.iter().filter(|answer| answer["type"] == kind).count();
    assert!((5..20).contains(&told("history")), "{}", told("history"));
    assert_eq!(told("history") + told("error"), 30);
}

/// Publishes by a socket: a body over HTTP has 1 KiB at most here.
fn post_large(running: &Running, data: &str) {
    let mut client = Client::open(running, "/ws");
    let ack = client.ask(&json!({"type": "publish", "channel": "open:a", "id": 1, "data": data}));
    assert_eq!(ack["type"], "ack", "{ack}");
}

#[test]
fn the_log_is_told_while_somebody_listens() {
    let running = running(hub(|hub| {
        let mut log = hub["namespaces"][2].clone();
        log["name"] = json!("log");
        hub["namespaces"].as_array_mut().unwrap().push(log);
    }));
    let mut client = Client::open(&running, "/ws/log");
    client.receive();

    running.gateway.runtime.log.write(nexus_core::plan::Level::Error, &json!({"message": "told"}));

    assert_eq!(client.receive()["data"]["lines"][0]["message"], "told");
}
