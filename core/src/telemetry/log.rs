//! `log`: one JSON line per request, written by a thread of its own so that a slow reader never delays a request.
//!
//! What is written is chosen, not filtered: method, path, status and ids. Headers, query strings and bodies are never
//! in the log, so no token can be. The newest lines are kept for those who read along (`tail`).

mod redact;
pub mod tail;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use serde::Serialize;

use crate::clock;
use crate::plan::Level;
use tail::{Mark, Tail};

/// Bytes that may wait for the writer; lines beyond are counted and lost.
const BOUND: usize = 4 << 20;
/// How long the end waits for what is still to be written: nobody may read the other end of it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Where lines go.
pub struct Log {
    level: AtomicU8,
    /// The newest lines.
    pub tail: Arc<Tail>,
    shared: Arc<Shared>,
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
}

struct Shared {
    lines: Mutex<Waiting>,
    some: Condvar,
    lost: AtomicU64,
    closing: AtomicBool,
    /// Notified when the writer has ended.
    ended: Condvar,
}

/// Lines that the writer has not taken yet.
#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    marks: Vec<Mark>,
    /// Whether the writer has ended.
    ended: bool,
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
            lines: Mutex::default(),
            some: Condvar::new(),
            lost: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            ended: Condvar::new(),
        });
        let tail = Arc::new(Tail::default());
        let (lines, newest) = (Arc::clone(&shared), Arc::clone(&tail));
        let writer = std::thread::Builder::new()
            .name("nexus-log".into())
            .spawn(move || {
                write_all(&lines, &newest, target);
                lines.lines.lock().ended = true;
                lines.ended.notify_all();
            })
            .ok();
        Self { level: AtomicU8::new(level as u8), tail, shared, writer: Mutex::new(writer) }
    }

    /// Changes from which level on lines are written.
    pub fn set_level(&self, level: Level) {
        self.level.store(level as u8, Ordering::Relaxed);
    }

    /// Whether lines of this level are written.
    pub fn takes(&self, level: Level) -> bool {
        level as u8 >= self.level.load(Ordering::Relaxed)
    }

    /// Writes one line; never blocks.
    pub fn write(&self, level: Level, fields: &impl Serialize) {
        if !self.takes(level) {
            return;
        }
        let line = Line { timestamp: clock::timestamp(), level, fields };
        let mut lines = self.shared.lines.lock();
        if lines.bytes.len() >= BOUND {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let idle = lines.bytes.is_empty();
        lines.add(level, &line);
        drop(lines);
        if idle {
            self.shared.some.notify_one();
        }
    }

    /// Lines lost so far.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// Writes what waits and ends the writer. One that gets nowhere for 2 s is left behind: the
    /// process must end although nobody reads its log.
    pub fn close(&self) {
        self.shared.end();
        let Some(writer) = self.writer.lock().take() else { return };
        let mut lines = self.shared.lines.lock();
        let deadline = std::time::Instant::now() + CLOSE_TIMEOUT;
        while !lines.ended && !self.shared.ended.wait_until(&mut lines, deadline).timed_out() {}
        let ended = lines.ended;
        drop(lines);
        if ended {
            let _ = writer.join();
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.shared.end(); // its writer must not wait for lines that nobody can write any more
    }
}

impl Shared {
    /// Ends the writer once it has written what waits.
    fn end(&self) {
        // Locked, so that the writer cannot miss it between its look at `closing` and its wait.
        let _lines = self.lines.lock();
        self.closing.store(true, Ordering::Release);
        self.some.notify_one();
    }
}

impl Waiting {
    fn add(&mut self, level: Level, line: &impl Serialize) {
        let start = self.bytes.len();
        if serde_json::to_writer(&mut self.bytes, line).is_ok() {
            self.bytes.push(b'\n');
            self.marks.push(Mark { end: self.bytes.len(), level });
        } else {
            self.bytes.truncate(start);
        }
    }

    fn swap(&mut self, batch: &mut Self) {
        std::mem::swap(&mut self.bytes, &mut batch.bytes);
        std::mem::swap(&mut self.marks, &mut batch.marks);
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.marks.clear();
    }
}

fn write_all(shared: &Shared, tail: &Tail, mut target: impl Write) {
    let mut batch = Waiting::default();
    loop {
        {
            let mut lines = shared.lines.lock();
            while lines.bytes.is_empty() {
                if shared.closing.load(Ordering::Acquire) {
                    return;
                }
                // A bounded wait, so that `close` is seen even if its notification came just before.
                shared.some.wait_for(&mut lines, Duration::from_secs(1));
            }
            lines.swap(&mut batch);
        }
        // Before they are written: who reads along does not wait for a slow reader of the log.
        tail.take(&batch.bytes, &batch.marks);
        // A closed standard error leaves nobody to tell.
        let _ = target.write_all(&batch.bytes);
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

    #[test]
    fn closing_leaves_a_writer_behind_that_gets_nowhere() {
        struct Stuck(std::sync::mpsc::Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                let _ = self.0.recv(); // until the test has ended
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let (held, gate) = std::sync::mpsc::channel::<()>();
        let log = Log::new(Level::Info, Stuck(gate));
        log.write(Level::Info, &serde_json::json!({"message": "nobody reads this"}));
        let began = std::time::Instant::now();

        log.close();

        assert!(began.elapsed() < CLOSE_TIMEOUT * 3);
        drop(held);
    }
}
