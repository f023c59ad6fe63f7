//! One publisher to many subscribers: how much is delivered, how late, and what is lost.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::{interval, sleep, timeout, MissedTickBehavior};

use crate::events::Events;
use crate::frames::{masked, Frame, Frames, CLOSE, PING, PONG, TEXT};
use crate::latency::Latency;
use crate::options::Options;
use crate::socket::{commands, open, open_events};

/// Bytes read at a time, into the one buffer of all subscribers.
const BUFFER: usize = 256 << 10;
/// A message that nobody gets for so long ends the run.
const STALLED: Duration = Duration::from_secs(5);
/// How long the last messages may take.
const LAST: Duration = Duration::from_secs(1);
/// `#` and ten digits and `#` begin each message.
const MARK: usize = 12;

/// What all subscribers have seen together.
struct Seen {
    subscribers: usize,
    sent: Vec<Instant>,
    /// How many subscribers are past each message.
    past: Vec<u32>,
    /// Messages that all subscribers are past.
    whole: usize,
    delivered: u64,
    lost: u64,
    each: Latency,
    all: Latency,
    wrong: Option<String>,
}

struct Shared {
    seen: RefCell<Seen>,
    progress: Notify,
}

/// Runs the load and writes the result.
pub async fn run(options: Options) -> Result<(), String> {
    let shared = Rc::new(Shared {
        seen: RefCell::new(Seen::new(options.subscribers)),
        progress: Notify::new(),
    });
    let buffer = Rc::new(RefCell::new(vec![0; BUFFER]));
    let mut told = commands();
    for _ in 0..options.subscribers {
        let (opened, reader) = if options.events.is_empty() {
            let opened = open(&options, &options.subscribe, false).await?;
            (opened, Reader::Frames(Frames::default()))
        } else {
            (open_events(&options).await?, Reader::Events(Events::default()))
        };
        spawn_local(subscriber(opened, reader, Rc::clone(&shared), Rc::clone(&buffer)));
    }
    let mut slow = Vec::new();
    for _ in 0..options.slow {
        slow.push(open(&options, &options.subscribe, true).await?);
    }
    let (publisher, _) = open(&options, &options.publish, false).await?;
    let publisher = Rc::new(publisher);
    spawn_local(discard(Rc::clone(&publisher)));
    println!("READY");
    told.recv().await;
    let started = Instant::now();
    let stalled = publish(&options, &publisher, &shared, started).await?;
    let elapsed = started.elapsed().as_secs_f64();
    let delivered = shared.seen.borrow().delivered;
    let _ = timeout(LAST, shared.all_through()).await;
    let mut seen = shared.seen.borrow_mut();
    if let Some(wrong) = seen.wrong.take() {
        return Err(wrong);
    }
    println!("RESULT{}", seen.result(delivered, elapsed, stalled));
    Ok(())
}

/// Sends until the time is over; whether nothing came through for too long.
async fn publish(
    options: &Options,
    publisher: &TcpStream,
    shared: &Shared,
    started: Instant,
) -> Result<bool, String> {
    let end = Duration::from_secs_f64(options.seconds);
    let padding = "m".repeat(options.bytes.saturating_sub(MARK));
    let mut ticks = interval(Duration::from_secs_f64(1.0 / options.rate.max(1.0)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut mask = 0x9e37_79b9_u32;
    while started.elapsed() < end {
        if options.rate > 0.0 {
            ticks.tick().await;
        }
        while shared.under_way() >= options.window {
            if timeout(STALLED, shared.progress.notified()).await.is_err() {
                return Ok(true);
            }
        }
        let number = shared.seen.borrow_mut().send();
        let text = format!("{}#{number:010}#{padding}{}", options.before, options.behind);
        mask = mask.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
        write(publisher, &masked(TEXT, text.as_bytes(), mask.to_be_bytes())).await?;
    }
    Ok(false)
}

async fn write(tcp: &TcpStream, mut bytes: &[u8]) -> Result<(), String> {
    while !bytes.is_empty() {
        tcp.writable().await.map_err(|error| error.to_string())?;
        match tcp.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(format!("the publisher: {error}")),
        }
    }
    Ok(())
}

/// Reads what the publisher gets, so that nothing waits for it.
async fn discard(tcp: Rc<TcpStream>) {
    let mut frames = Frames::default();
    let mut buffer = vec![0; 4096];
    while tcp.readable().await.is_ok() {
        match tcp.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => drop(frames.feed(&buffer[..read], |frame| answer(&tcp, &frame))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

fn answer(tcp: &TcpStream, frame: &Frame<'_>) -> Result<(), String> {
    match frame.opcode {
        PING => drop(tcp.try_write(&masked(PONG, frame.payload, [1, 2, 3, 4]))),
        CLOSE => return Err(format!("closed by the server: {:?}", frame.payload)),
        _ => {}
    }
    Ok(())
}

/// How what a subscriber gets is taken apart.
enum Reader {
    Frames(Frames),
    Events(Events),
}

impl Reader {
    /// Gives each text to `seen`; pings are answered.
    fn feed(
        &mut self,
        tcp: &TcpStream,
        bytes: &[u8],
        mut seen: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        match self {
            Self::Events(events) => events.feed(bytes, seen),
            Self::Frames(frames) => frames.feed(bytes, |frame| {
                answer(tcp, &frame)?;
                seen(frame.payload)
            }),
        }
    }
}

async fn subscriber(
    (tcp, rest): (TcpStream, Vec<u8>),
    mut reader: Reader,
    shared: Rc<Shared>,
    buffer: Rc<RefCell<Vec<u8>>>,
) {
    let (mut next, mut at) = (0, 0);
    let mut take = |bytes: &[u8]| {
        let now = Instant::now();
        let mut seen = shared.seen.borrow_mut();
        let before = seen.whole;
        let fed = reader.feed(&tcp, bytes, |text| match number(text, &mut at) {
            Some(number) => seen.take(number, &mut next, now),
            None => Ok(()), // a greeting, an acknowledgement
        });
        if let Err(wrong) = fed {
            seen.wrong.get_or_insert(wrong);
        }
        if seen.whole > before || seen.wrong.is_some() {
            shared.progress.notify_one();
        }
    };
    take(&rest);
    loop {
        if tcp.readable().await.is_err() {
            return;
        }
        let buffer = &mut *buffer.borrow_mut();
        match tcp.try_read(buffer) {
            Ok(0) => return,
            Ok(read) => take(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// The number of a message; `at` is where the last one was, for it is mostly there again.
fn number(payload: &[u8], at: &mut usize) -> Option<usize> {
    let there = |at: usize| match payload.get(at..at + MARK)? {
        [b'#', digits @ .., b'#'] => digits.iter().try_fold(0, |all, digit| {
            digit.is_ascii_digit().then(|| all * 10 + usize::from(digit - b'0'))
        }),
        _ => None,
    };
    there(*at).or_else(|| {
        *at = memchr::memchr(b'#', payload)?;
        there(*at)
    })
}

// === impl Shared ===

impl Shared {
    fn under_way(&self) -> usize {
        let seen = self.seen.borrow();
        if seen.wrong.is_some() {
            usize::MAX
        } else {
            seen.sent.len() - seen.whole
        }
    }

    async fn all_through(&self) {
        while self.under_way() > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    }
}

// === impl Seen ===

impl Seen {
    fn new(subscribers: usize) -> Self {
        Self {
            subscribers,
            sent: Vec::new(),
            past: Vec::new(),
            whole: 0,
            delivered: 0,
            lost: 0,
            each: Latency::new(),
            all: Latency::new(),
            wrong: None,
        }
    }

    /// Notes that a message is sent; its number.
    fn send(&mut self) -> usize {
        self.sent.push(Instant::now());
        self.past.push(0);
        self.sent.len() - 1
    }

    /// Notes that a subscriber, which waited for `next`, got a message.
    fn take(&mut self, number: usize, next: &mut usize, now: Instant) -> Result<(), String> {
        if number < *next || number >= self.sent.len() {
            return Err(format!("message {number} came where {next} or a later one was due"));
        }
        self.delivered += 1;
        self.lost += (number - *next) as u64;
        for passed in *next..=number {
            self.past[passed] += 1;
        }
        *next = number + 1;
        self.each.note(micros(now - self.sent[number]), 1);
        while self.past.get(self.whole).is_some_and(|past| *past as usize == self.subscribers) {
            self.all.note(micros(now - self.sent[self.whole]), 1);
            self.whole += 1;
        }
        Ok(())
    }

    fn result(&self, delivered: u64, elapsed: f64, stalled: bool) -> String {
        let missing = (self.sent.len() * self.subscribers) as u64 - self.delivered;
        format!(
            "{{\"published\":{},\"delivered\":{delivered},\"lost\":{missing},\"stalled\":{stalled},\
             \"seconds\":{elapsed:.3},\"p50_ms\":{},\"p99_ms\":{},\"all_p50_ms\":{},\"all_p99_ms\":{}}}",
            self.sent.len(),
            self.each.percentile(0.5),
            self.each.percentile(0.99),
            self.all.percentile(0.5),
            self.all.percentile(0.99),
        )
    }
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}
