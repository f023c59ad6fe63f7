//! Opening sockets: the handshake as bytes, and how many files a process may open.

use std::io;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::options::Options;

/// The key and the answer to it of RFC 6455, section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// For a handshake or an answer of HTTP.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes; what the kernel keeps for a client that does not read.
const SLOW_BUFFER: u32 = 4096;

/// Opens a WebSocket; what the server sent behind its handshake comes with it.
pub async fn open(
    options: &Options,
    path: &str,
    slow: bool,
) -> Result<(TcpStream, Vec<u8>), String> {
    let line =
        if options.header.is_empty() { String::new() } else { format!("{}\r\n", options.header) };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{line}\r\n"
    );
    let (tcp, head, rest) = ask(options.port, &request, slow).await?;
    if !head.starts_with("HTTP/1.1 101 ") || !head.contains(ACCEPT) {
        return Err(format!("{path}: {}", head.lines().next().unwrap_or_default()));
    }
    Ok((tcp, rest))
}

/// Opens a stream of events; what the server sent behind its head comes with it.
pub async fn open_events(options: &Options) -> Result<(TcpStream, Vec<u8>), String> {
    let path = &options.events;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n");
    let (tcp, head, rest) = ask(options.port, &request, false).await?;
    let head = head.to_ascii_lowercase();
    if !head.starts_with("http/1.1 200 ") || !head.contains("transfer-encoding: chunked") {
        return Err(format!("{path}: {head}"));
    }
    Ok((tcp, rest))
}

/// Opens a connection that has one answer to `GET /health`.
pub async fn open_http(options: &Options) -> Result<TcpStream, String> {
    let request = "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    let (tcp, head, _) = ask(options.port, request, false).await?;
    if head.starts_with("HTTP/1.1 200 ") {
        Ok(tcp)
    } else {
        Err(format!("/health: {head}"))
    }
}

async fn ask(port: u16, request: &str, slow: bool) -> Result<(TcpStream, String, Vec<u8>), String> {
    timeout(PATIENCE, exchange(port, request, slow))
        .await
        .map_err(|_| "no answer within 20 s".to_owned())?
        .map_err(|error| error.to_string())
}

async fn exchange(
    port: u16,
    request: &str,
    slow: bool,
) -> io::Result<(TcpStream, String, Vec<u8>)> {
    let socket = TcpSocket::new_v4()?;
    if slow {
        socket.set_recv_buffer_size(SLOW_BUFFER)?;
    }
    let tcp = socket.connect(([127, 0, 0, 1], port).into()).await?;
    tcp.set_nodelay(true)?;
    tcp.writable().await?;
    if tcp.try_write(request.as_bytes())? < request.len() {
        return Err(io::ErrorKind::WriteZero.into());
    }
    let mut answer = Vec::new();
    loop {
        tcp.readable().await?;
        match tcp.try_read_buf(&mut answer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
        if let Some(end) = memchr::memmem::find(&answer, b"\r\n\r\n") {
            let rest = answer.split_off(end + 4);
            return Ok((tcp, String::from_utf8_lossy(&answer).into_owned(), rest));
        }
    }
}

/// Lets the process open as many files as it may.
pub fn raise_open_files() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a valid pointer to a `rlimit` that outlives them.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

/// Lines of the standard input, read on a thread of its own; the end is the end of the channel.
pub fn commands() -> tokio::sync::mpsc::UnboundedReceiver<()> {
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for _ in io::stdin().lines() {
            if tell.send(()).is_err() {
                return;
            }
        }
    });
    told
}
