//! Many subscribers in one process, each as cheap as can be, that trust nobody's numbers; the tests of faults start it.
//!
//! Each follows one channel whose messages are the numbers 1, 2, 3, ... It comes back where it was when its server
//! dies, and keeps account: what came twice, what is missing, and whether it was told so. One thread goes round all
//! sockets, which wait for nothing, so that a message costs no change of threads for each; it is the standard library
//! alone and is built in seconds: `rustc -O --edition 2024 crowd.rs`.
//!
//! `crowd CHANNEL ADDRESS...` reads tokens, one a line, up to an empty line. It writes `READY` once all are subscribed,
//! for each further line the account of all as one line of JSON, and ends with its input.
#![allow(clippy::print_stdout, reason = "it is asked by its standard input and answers there")]

use std::collections::hash_map::RandomState;
use std::fmt::Write as _;
use std::hash::BuildHasher;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const CONNECTING: Duration = Duration::from_secs(2);
/// Between two rounds.
const PAUSE: Duration = Duration::from_millis(4);
const READ: usize = 8192;
const MESSAGE: &str = r#"{"type":"message","channel":""#;
const ENDED: &str = "the connection has ended";

/// What became of one subscriber, over all its connections.
#[derive(Default)]
struct Account {
    place: Option<SocketAddr>,
    subscribed: bool,
    position: Option<(String, u64)>,
    last: Option<u64>,
    twice: Vec<u64>,
    /// Numbers that did not come, and whether it was told that something did not.
    missing: Vec<(u64, bool)>,
    recoveries: Vec<bool>,
    told: bool,
}

struct Listener {
    channel: String,
    token: String,
    places: Vec<SocketAddr>,
    /// When it comes next, where it has no connection.
    due: Instant,
    connection: Option<Connection>,
    account: Account,
}

struct Connection {
    stream: TcpStream,
    open: bool,
    /// What came and is not a whole frame yet.
    begun: Vec<u8>,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let channel = arguments.next().unwrap_or_default();
    let places: Vec<SocketAddr> = arguments.filter_map(|place| place.parse().ok()).collect();
    let mut lines = io::stdin().lock().lines();
    let all = Arc::new(Mutex::new(Vec::new()));
    let gone_round = Arc::clone(&all);
    thread::spawn(move || go_round(&gone_round));
    for (number, token) in lines.by_ref().map_while(Result::ok).enumerate() {
        if token.is_empty() {
            break;
        }
        // In turns to each of the places first.
        let first = number % places.len().max(1);
        let places = places.iter().cycle().skip(first).take(places.len()).copied().collect();
        own(&all).push(Listener::new(channel.clone(), token, places));
        // A few at a time, as the queue of a socket that listens is short.
        while number % 50 == 49 && !arrived(&all) {
            thread::sleep(PAUSE);
        }
    }
    while !arrived(&all) {
        thread::sleep(PAUSE);
    }
    println!("READY");
    for _ in lines.map_while(Result::ok) {
        let accounts: Vec<String> = own(&all).iter().map(|one| one.account.json()).collect();
        println!("[{}]", accounts.join(","));
    }
}

fn go_round(all: &Mutex<Vec<Listener>>) {
    let mut buffer = [0; READ];
    loop {
        for listener in own(all).iter_mut() {
            listener.live(&mut buffer);
        }
        thread::sleep(PAUSE);
    }
}

fn own(all: &Mutex<Vec<Listener>>) -> MutexGuard<'_, Vec<Listener>> {
    all.lock().unwrap_or_else(PoisonError::into_inner)
}

fn arrived(all: &Mutex<Vec<Listener>>) -> bool {
    own(all).iter().all(|one| one.account.subscribed)
}

// === impl Listener ===

impl Listener {
    fn new(channel: String, token: String, places: Vec<SocketAddr>) -> Self {
        let (due, account) = (Instant::now(), Account::default());
        Self { channel, token, places, due, connection: None, account }
    }

    /// Takes what has come; comes, and comes back to the first server that answers.
    fn live(&mut self, buffer: &mut [u8]) {
        let Some(connection) = &mut self.connection else {
            if self.due <= Instant::now() {
                self.come();
            }
            return;
        };
        // An end is one, whatever it was.
        if connection.listen(&self.channel, &mut self.account, buffer).is_err() {
            self.connection = None;
            self.account.subscribed = false;
            self.wait();
        }
    }

    fn come(&mut self) {
        for place in &self.places {
            let Ok(connection) = Connection::open(place, &self.token) else { continue };
            self.account.place = Some(*place);
            self.connection = Some(connection);
            return;
        }
        self.wait();
    }

    /// Whoever lost the same server comes back at another moment.
    fn wait(&mut self) {
        self.due = Instant::now() + Duration::from_millis(random() % 1000);
        let count = self.places.len().max(1);
        self.places.rotate_left(random() as usize % count);
    }
}

// === impl Connection ===

impl Connection {
    fn open(place: &SocketAddr, token: &str) -> io::Result<Self> {
        let mut stream = TcpStream::connect_timeout(place, CONNECTING)?;
        write!(
            stream,
            "GET /ws/realtime HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             authorization: Bearer {token}\r\n\r\n"
        )?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, open: false, begun: Vec::new() })
    }

    fn listen(
        &mut self,
        channel: &str,
        account: &mut Account,
        buffer: &mut [u8],
    ) -> io::Result<()> {
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => return Err(io::Error::other(ENDED)),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.begun.extend_from_slice(buffer.get(..count).unwrap_or_default());
            self.take(channel, account)?;
            if count < buffer.len() {
                return Ok(());
            }
        }
    }

    /// Takes the whole frames of what came.
    fn take(&mut self, channel: &str, account: &mut Account) -> io::Result<()> {
        let mut rest = &*self.begun;
        if !self.open {
            let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") else {
                return Ok(());
            };
            if !rest.starts_with(b"HTTP/1.1 101 ") {
                return Err(io::Error::other(ENDED));
            }
            self.open = true;
            rest = rest.get(end + 4..).unwrap_or_default();
            put(&mut self.stream, 1, account.subscription(channel).as_bytes())?;
        }
        while let Some((opcode, payload, behind)) = frame(rest) {
            match opcode {
                1 => account.hear(&String::from_utf8_lossy(payload)),
                8 => return Err(io::Error::other(ENDED)),
                9 => put(&mut self.stream, 10, payload)?,
                _ => {}
            }
            rest = behind;
        }
        let taken = self.begun.len() - rest.len();
        self.begun.drain(..taken);
        Ok(())
    }
}

// === impl Account ===

impl Account {
    fn subscription(&self, channel: &str) -> String {
        let place = match &self.position {
            Some((epoch, offset)) => format!(r#","epoch":"{epoch}","offset":{offset}"#),
            None => String::new(),
        };
        format!(r#"{{"type":"subscribe","channel":"{channel}","id":1{place}}}"#)
    }

    fn hear(&mut self, text: &str) {
        if let Some((number, epoch, offset)) = message(text) {
            self.take(number, epoch, offset);
        } else if text.starts_with(r#"{"type":"ack""#) {
            let recovered = text.contains(r#""recovered":true"#);
            if text.contains(r#""recovered":"#) {
                self.recoveries.push(recovered);
            }
            if !recovered {
                self.told |= self.position.is_some();
                self.position = position(text);
            }
            self.subscribed = true;
        } else if text.starts_with(r#"{"type":"dropped""#) {
            self.told = true;
        }
    }

    fn take(&mut self, number: u64, epoch: &str, offset: u64) {
        match &mut self.position {
            Some((known, place)) if known == epoch => *place = offset,
            other => {
                // A new epoch says that the old numbering is worth nothing.
                self.told |= other.is_some();
                *other = Some((epoch.to_owned(), offset));
            }
        }
        if self.last.is_some_and(|last| number <= last) {
            return self.twice.push(number);
        }
        let told = std::mem::take(&mut self.told);
        let next = self.last.map_or(number, |last| last + 1);
        self.missing.extend((next..number).map(|missed| (missed, told)));
        self.last = Some(number);
    }

    fn json(&self) -> String {
        let mut out = String::new();
        let place = self.place.map(|place| place.to_string()).unwrap_or_default();
        let last = self.last.map_or_else(|| "null".to_owned(), |last| last.to_string());
        let (subscribed, twice, recoveries) = (self.subscribed, &self.twice, &self.recoveries);
        let missing: Vec<_> =
            self.missing.iter().map(|(missed, told)| format!("[{missed},{told}]")).collect();
        // Writing to a string does not fail.
        let _ = write!(
            out,
            r#"{{"place":"{place}","subscribed":{subscribed},"last":{last},"twice":{twice:?},"#
        );
        let _ = write!(out, r#""recoveries":{recoveries:?},"missing":[{}]}}"#, missing.join(","));
        out
    }
}

/// The number, epoch and offset of a message.
fn message(text: &str) -> Option<(u64, &str, u64)> {
    let (_, data) = text.strip_prefix(MESSAGE)?.split_once(r#"","data":"#)?;
    let (number, rest) = data.split_once(r#","epoch":""#)?;
    let (epoch, rest) = rest.split_once(r#"","offset":"#)?;
    Some((number.parse().ok()?, epoch, rest.split([',', '}']).next()?.parse().ok()?))
}

fn position(text: &str) -> Option<(String, u64)> {
    let (_, rest) = text.split_once(r#""epoch":""#)?;
    let (epoch, rest) = rest.split_once(r#"","offset":"#)?;
    Some((epoch.to_owned(), rest.split([',', '}']).next()?.parse().ok()?))
}

/// The first frame of a server, and what is behind it.
fn frame(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(2)?;
    let (length, rest) = match *head.get(1)? {
        126 => {
            let (length, rest) = rest.split_at_checked(2)?;
            (usize::from(u16::from_be_bytes(length.try_into().ok()?)), rest)
        }
        127 => {
            let (length, rest) = rest.split_at_checked(8)?;
            (usize::try_from(u64::from_be_bytes(length.try_into().ok()?)).ok()?, rest)
        }
        short => (usize::from(short), rest),
    };
    let (payload, behind) = rest.split_at_checked(length)?;
    Some((head.first()? & 15, payload, behind))
}

/// Sends a short frame; a mask of zeroes is a mask.
fn put(stream: &mut TcpStream, opcode: u8, payload: &[u8]) -> io::Result<()> {
    let mut out = vec![0x80 | opcode];
    if let Ok(short @ 0..=125) = u8::try_from(payload.len()) {
        out.push(0x80 | short);
    } else {
        out.push(0xfe);
        out.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
    stream.write_all(&out)
}

fn random() -> u64 {
    RandomState::new().hash_one(0)
}
