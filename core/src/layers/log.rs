//! `log`: one JSON line per request, written by a thread of its own so that a slow reader never delays a request.
//!
//! What is written is chosen, not filtered: method, path, status and ids. Headers, query strings and bodies are never
//! in the log, so no token can be.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use serde::Serialize;

use crate::clock;
use crate::plan::Level;

/// Bytes that may wait for the writer; lines beyond are counted and lost.
const BOUND: usize = 4 << 20;
/// Bytes of lines that may wait for who watches; those beyond are left out.
const WATCHED: usize = 256 << 10;

/// Where lines go.
pub struct Log {
    level: Level,
    shared: Arc<Shared>,
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
}

struct Shared {
    lines: Mutex<Vec<u8>>,
    some: Condvar,
    lost: AtomicU64,
    closing: AtomicBool,
    watched: AtomicBool,
    /// The same lines once more, separated by commas.
    tail: Mutex<Vec<u8>>,
}

/// What is said of one request.
#[derive(Serialize)]
pub struct Access<'a> {
    /// `request`.
    pub message: &'a str,
    /// The method.
    pub method: &'a str,
    /// The path without its query.
    pub path: &'a str,
    /// The template of the route.
    pub route: &'a str,
    /// HTTP status; 499 where the client went away.
    pub status: u16,
    /// Code of the refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'a str>,
    /// Sentence of the refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
    /// Milliseconds from the request's head to the answer's.
    pub duration_ms: f64,
    /// Bytes of the body.
    pub bytes: u64,
    /// Who connected.
    pub peer: &'a str,
    /// Who calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<&'a str>,
    /// The request's id.
    pub request_id: &'a str,
    /// The trace.
    pub trace_id: &'a str,
    /// The gateway's span.
    pub span_id: &'a str,
}

#[derive(Serialize)]
struct Line<'a, T> {
    timestamp: String,
    level: Level,
    #[serde(flatten)]
    fields: &'a T,
}

impl Log {
    /// Starts a writer to standard error.
    pub fn to_stderr(level: Level) -> Self {
        Self::new(level, std::io::stderr())
    }

    /// Starts a writer.
    pub fn new(level: Level, target: impl Write + Send + 'static) -> Self {
        let shared = Arc::new(Shared {
            lines: Mutex::new(Vec::new()),
            some: Condvar::new(),
            lost: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            watched: AtomicBool::new(false),
            tail: Mutex::default(),
        });
        let lines = Arc::clone(&shared);
        let writer = std::thread::Builder::new()
            .name("nexus-log".into())
            .spawn(move || write_all(&lines, target))
            .ok();
        Self { level, shared, writer: Mutex::new(writer) }
    }

    /// Whether lines of this level are written.
    pub fn takes(&self, level: Level) -> bool {
        level >= self.level
    }

    /// Writes one line; never blocks.
    pub fn write(&self, level: Level, fields: &impl Serialize) {
        if !self.takes(level) {
            return;
        }
        let line = Line { timestamp: clock::timestamp(), level, fields };
        let mut lines = self.shared.lines.lock();
        if lines.len() >= BOUND {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let start = lines.len();
        let idle = start == 0;
        if serde_json::to_writer(&mut *lines, &line).is_ok() {
            if self.shared.watched.load(Ordering::Relaxed) {
                self.shared.keep(&lines[start..]);
            }
            lines.push(b'\n');
        }
        drop(lines);
        if idle {
            self.shared.some.notify_one();
        }
    }

    /// Lines lost so far.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// What was written since the last time, as a JSON list; `None` where that is nothing. From the first time on lines
    /// are kept for it, until [`Log::unwatch`].
    pub fn watch(&self) -> Option<Vec<u8>> {
        self.shared.watched.store(true, Ordering::Relaxed);
        let mut tail = std::mem::take(&mut *self.shared.tail.lock());
        if tail.is_empty() {
            return None;
        }
        tail[0] = b'[';
        tail.push(b']');
        Some(tail)
    }

    /// Keeps no lines any more.
    pub fn unwatch(&self) {
        if self.shared.watched.swap(false, Ordering::Relaxed) {
            *self.shared.tail.lock() = Vec::new();
        }
    }

    /// Writes what waits and ends the writer.
    pub fn close(&self) {
        self.shared.closing.store(true, Ordering::Release);
        self.shared.some.notify_one();
        if let Some(writer) = self.writer.lock().take() {
            let _ = writer.join();
        }
    }
}

impl Shared {
    fn keep(&self, line: &[u8]) {
        let mut tail = self.tail.lock();
        if tail.len() + line.len() < WATCHED {
            tail.push(b',');
            tail.extend_from_slice(line);
        }
    }
}

fn write_all(shared: &Shared, mut target: impl Write) {
    let mut batch = Vec::new();
    loop {
        {
            let mut lines = shared.lines.lock();
            while lines.is_empty() {
                if shared.closing.load(Ordering::Acquire) {
                    return;
                }
                // A bounded wait, so that `close` is seen even if its notification came just before.
                shared.some.wait_for(&mut lines, Duration::from_secs(1));
            }
            std::mem::swap(&mut *lines, &mut batch);
        }
        // A closed standard error leaves nobody to tell.
        let _ = target.write_all(&batch);
        batch.clear();
    }
}

/// The level of an answer: below 400 `info`, below 500 `warning`, else `error`.
pub fn level_of(status: u16) -> Level {
    match status {
        ..400 => Level::Info,
        400..500 => Level::Warning,
        _ => Level::Error,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_is_json_and_lower_levels_are_left_out() {
        let memory = Memory::default();
        let log = Log::new(Level::Warning, memory.clone());

        log.write(Level::Info, &serde_json::json!({"message": "quiet"}));
        log.write(Level::Error, &serde_json::json!({"message": "a \"quoted\"\nline"}));
        log.close();

        let text = String::from_utf8(memory.0.lock().clone()).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["level"], "error");
        assert_eq!(lines[0]["message"], "a \"quoted\"\nline");
    }

    #[test]
    fn who_watches_gets_each_line_once_as_a_list() {
        let log = Log::new(Level::Info, std::io::sink());
        let write = |number: u32| log.write(Level::Info, &serde_json::json!({"number": number}));

        write(1);
        assert_eq!(log.watch(), None);
        write(2);
        write(3);
        let seen: serde_json::Value = serde_json::from_slice(&log.watch().unwrap()).unwrap();
        log.unwatch();
        write(4);

        assert_eq!((&seen[0]["number"], &seen[1]["number"]), (&2.into(), &3.into()));
        assert_eq!(log.watch(), None);
        log.close();
    }

    #[test]
    fn a_slow_reader_loses_lines_and_never_blocks() {
        struct Stuck(Arc<Mutex<()>>);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                drop(self.0.lock());
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let gate = Arc::new(Mutex::new(()));
        let held = gate.lock();
        let log = Log::new(Level::Info, Stuck(Arc::clone(&gate)));

        let long = "x".repeat(1 << 16);
        for _ in 0..200 {
            log.write(Level::Info, &serde_json::json!({"message": long}));
        }

        assert!(log.lost() > 0);
        drop(held);
        log.close();
    }
}
