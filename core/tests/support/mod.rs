//! A gateway for tests: a plan from JSON, a handler in Rust on a thread of its own, real sockets.
#![allow(dead_code, missing_docs, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

pub mod client;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use nexus_core::answer::Answer;
use nexus_core::gateway::Gateway;
use nexus_core::handler::{Call, CallId, Handler, Job, PendingCalls, TableId};
use nexus_core::plan::Secrets;
use nexus_core::server::{Options, Server};
use serde_json::{Value, json};

/// Wakes the thread of the handlers, as the binding wakes its loop.
struct Bell(parking_lot::Mutex<Sender<()>>);

impl Handler for Bell {
    fn wake(&self) {
        let _ = self.0.lock().send(());
    }
}

/// For gateways without handlers.
pub struct Unused;

impl Handler for Unused {
    fn wake(&self) {}
}

/// Panics when the first call is submitted.
#[derive(Default)]
pub struct Broken(AtomicBool);

impl Handler for Broken {
    fn wake(&self) {
        assert!(self.0.swap(true, Ordering::Relaxed), "the handler is broken");
    }
}

pub struct Running {
    pub address: SocketAddr,
    pub gateway: Arc<Gateway>,
    pub server: Arc<Server>,
    pub jobs: Receiver<Taken>,
}

/// What the other side took from the queue.
#[derive(Debug)]
pub enum Taken {
    Call(Call),
    Cancel(CallId),
    Retire(TableId),
}

/// A plan with the given routes and bounds.
pub fn plan(routes: Value, bounds: Value) -> Value {
    let mut all = json!({
        "body_bytes": 1024, "header_bytes": 4096, "uri_bytes": 256, "head_timeout_ms": 300,
        "idle_timeout_ms": 1000, "timeout_ms": 5000, "queue": 64,
    });
    for (name, value) in bounds.as_object().unwrap() {
        all[name] = value.clone();
    }
    json!({"version": 1, "routes": routes, "bounds": all})
}

pub fn start(plan: &Value) -> Running {
    let (ring, rung) = channel();
    start_with(plan, &Secrets::new(), Arc::new(Bell(parking_lot::Mutex::new(ring))), rung)
}

pub fn start_with_secrets(plan: &Value, secrets: &Secrets) -> Running {
    let (ring, rung) = channel();
    start_with(plan, secrets, Arc::new(Bell(parking_lot::Mutex::new(ring))), rung)
}

pub fn start_broken(plan: &Value) -> Running {
    start_with(plan, &Secrets::new(), Arc::new(Broken::default()), channel().1)
}

fn start_with(
    plan: &Value,
    secrets: &Secrets,
    handler: Arc<dyn Handler>,
    rung: Receiver<()>,
) -> Running {
    let gateway = Gateway::read(plan.to_string().as_bytes(), secrets, handler).unwrap();
    let gateway = Arc::new(gateway);
    let queue = Arc::clone(&gateway.queue);
    let options = Options { listen: vec![("127.0.0.1".into(), 0)], threads: 1, tls: None };
    let server = Arc::new(Server::start(&gateway, &options).unwrap());
    let (taken, jobs) = channel();
    std::thread::spawn(move || {
        let mut batch = Vec::new();
        while rung.recv().is_ok() {
            // Until nothing waits: before that the queue counts this side as awake, and does not ring.
            while queue.take(&mut batch) {
                for job in batch.drain(..) {
                    let job = match job {
                        Job::Call(call) => Taken::Call(call),
                        Job::Cancel(id) => Taken::Cancel(id),
                        Job::Retire(table) => Taken::Retire(table),
                        Job::Resolve(..) | Job::Nothing => continue,
                    };
                    if taken.send(job).is_err() {
                        return;
                    }
                }
            }
        }
    });
    Running { address: server.addresses[0], gateway, server, jobs }
}

impl Running {
    pub fn pending_calls(&self) -> Arc<PendingCalls> {
        Arc::clone(&self.server.pending_calls()[0])
    }

    /// The next call, within a second.
    pub fn call(&self) -> Call {
        match self.jobs.recv_timeout(Duration::from_secs(1)).unwrap() {
            Taken::Call(call) => call,
            other => panic!("{other:?} instead of a call"),
        }
    }

    pub fn answer(&self, id: CallId, text: &str) {
        let body = Bytes::copy_from_slice(text.as_bytes());
        let answer = Answer::full(StatusCode::OK, HeaderValue::from_static("text/plain"), body);
        self.pending_calls().deliver(&mut vec![(id, Ok(answer))]);
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream
    }

    /// Sends bytes on a connection of their own and reads until the gateway closes it.
    pub fn exchange(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        let mut text = Vec::new();
        // A reset after the answer still leaves the answer.
        let _ = stream.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// A request that asks for the connection to be closed.
    pub fn get(&self, target: &str) -> String {
        self.exchange(
            format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes(),
        )
    }
}

pub fn body(response: &str) -> Value {
    let (_, body) = response.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {response}"))
}

pub fn constant(path: &str) -> Value {
    json!({"name": "constant", "path": path, "methods": ["GET"], "terminal": {
        "op": "answer", "status": 200, "content_type": "application/json", "body": "{\"ok\":true}"}})
}

pub fn python(path: &str, methods: &[&str], steps: Value) -> Value {
    json!({"name": "handler", "path": path, "methods": methods, "steps": steps,
        "terminal": {"op": "python", "handler": 0}})
}
