//! A real `redis-server` of a test's own, and a way to it that can be cut.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// A server with its data in a folder of its own; it dies with this value.
pub(crate) struct Server {
    pub(crate) port: u16,
    folder: PathBuf,
    arguments: Vec<String>,
    process: Child,
}

impl Server {
    /// Starts one with more arguments. `None`, with the reason printed, where none is installed, unless servers are
    /// required.
    pub(crate) fn start(arguments: &[&str]) -> Option<Self> {
        let installed = Command::new("redis-server").arg("--version").output().is_ok();
        if !installed {
            let required =
                ["CI", "TEST_SERVERS_REQUIRED"].iter().any(|name| std::env::var_os(name).is_some());
            assert!(!required, "redis-server is required and not installed");
            eprintln!("skipped: redis-server is not installed");
            return None;
        }
        let port = free_port();
        let folder =
            std::env::temp_dir().join(format!("nexus-redis-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        let process = launch(port, &folder, &arguments);
        Some(Self { port, folder, arguments, process })
    }

    /// Ends the process as a power cut does.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("a process to kill");
        self.process.wait().expect("its end");
    }

    /// Stops the process where it is, or lets it go on: its connections stay open and nobody answers.
    pub(crate) fn hang(&self, hang: bool) {
        let signal = if hang { "-STOP" } else { "-CONT" };
        let sent = Command::new("kill").arg(signal).arg(self.process.id().to_string()).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Starts it again on the same port and folder.
    pub(crate) fn restart(&mut self) {
        self.process = launch(self.port, &self.folder, &self.arguments);
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    pub(crate) async fn client(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.url()).expect("a URL");
        client.get_multiplexed_async_connection().await.expect("a connection")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn launch(port: u16, folder: &PathBuf, arguments: &[String]) -> Child {
    let process = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        .arg("--dir")
        .arg(folder)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server starts");
    let deadline = Instant::now() + Duration::from_secs(10);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "redis-server does not listen");
        std::thread::sleep(Duration::from_millis(10));
    }
    process
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

/// A way to a server that can be cut and mended.
pub(crate) struct Way {
    pub(crate) port: u16,
    open: Arc<AtomicBool>,
    cut: Arc<Notify>,
}

impl Way {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("its address").port();
        let (open, cut) = (Arc::new(AtomicBool::new(true)), Arc::new(Notify::new()));
        tokio::spawn(forward(listener, port, Arc::clone(&open), Arc::clone(&cut)));
        Self { port: own, open, cut }
    }

    /// Breaks all connections; new ones are refused until it is mended.
    pub(crate) fn cut(&self) {
        self.open.store(false, Ordering::SeqCst);
        self.cut.notify_waiters();
    }

    pub(crate) fn mend(&self) {
        self.open.store(true, Ordering::SeqCst);
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }
}

async fn forward(listener: TcpListener, port: u16, open: Arc<AtomicBool>, cut: Arc<Notify>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let cut = Arc::clone(&cut);
        if !open.load(Ordering::SeqCst) {
            continue;
        }
        tokio::spawn(async move {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            let Ok(mut far) = TcpStream::connect(address).await else { return };
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                () = cut.notified() => {}
            }
        });
    }
}
