"""The servers of `servers.toml`: how each is started, found ready, and stopped again."""

from __future__ import annotations

import http.client
import os
import shlex
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from harness import places, processes
from harness.database import postgres
from harness.traffic import SECRET, Request

if TYPE_CHECKING:
    from collections.abc import Generator

START_TIMEOUT = 30.0
STOP_TIMEOUT = 5.0


class Socket(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a WebSocket server wants to be opened with and told.

    Args:
        subscribe: the path of a socket that gets what is published.
        publish: the path of a socket that publishes.
        events: the path of a stream of server-sent events that gets the same.
        before: what is written before the text of each message.
        behind: what is written behind it.
        header: a line of every handshake.
    """

    subscribe: str = "/ws/sub"
    publish: str = "/ws/pub"
    events: str = "/events"
    before: str = ""
    behind: str = ""
    header: str = ""


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One table of `servers.toml`.

    Args:
        command: what to run; `{python}`, `{project_python}`, `{bench}`, `{port}`, `{run}` and
            `{configuration}` are filled in.
        configuration: a template, below `bench`, in which `@PORT@` and `@RUN@` are filled in.
        venv: the environment below `bench/venvs` that the command is found in.
        folder: where it runs, below `bench`.
        constant: it answers the same bytes every time, so the identifier in them is not compared.
        unchecked: it refuses nobody, so only its good answers are compared.
        without_ids: it adds no request id and no trace to its answers.
        port: the one that it listens on, where it does not take one from outside.
        ready: the path that answers 200 when it serves.
        socket: how its WebSockets are spoken to.
        postgres: it keeps its entities in a PostgreSQL, whose URL is NEXUS_DATABASE_URL.
        lenient: it does not check all that RFC 6455 wants checked of a client's frames.
    """

    command: str
    configuration: str = ""
    venv: str = ""
    folder: str = ""
    environment: dict[str, str] = {}
    constant: bool = False
    unchecked: bool = False
    without_ids: bool = False
    port: int = 0
    ready: str = "/health"
    socket: Socket = Socket()
    lenient: bool = False
    postgres: bool = False


class Answer(NamedTuple):
    """An HTTP answer with the names of its headers in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Server(NamedTuple):
    """A running server; `ready_seconds` is from its start to its first 200.

    Args:
        database: the first process of its PostgreSQL, if it has one.
    """

    name: str
    spec: Spec
    port: int
    process: int
    ready_seconds: float
    database: int = 0

    def processes(self) -> list[int]:
        """List its processes as they are now."""
        return processes.tree(self.process)

    def of_database(self) -> list[int]:
        """List the processes of its PostgreSQL as they are now."""
        return processes.tree(self.database) if self.database else []

    def call(self, request: Request) -> Answer:
        """Send one request on a connection of its own."""
        return call(self.port, request)


class ServerError(Exception):
    """A server did not start, or ended; the message names its log."""


def specs() -> dict[str, Spec]:
    """Read `servers.toml`."""
    text = (places.BENCH / "servers.toml").read_bytes()
    return msgspec.toml.decode(text, type=dict[str, Spec])


def call(port: int, request: Request) -> Answer:
    """Send one request to a port of this machine."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(request.method, request.target, request.body, request.headers)
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, headers, answer.read())
    finally:
        connection.close()


@contextmanager
def running(name: str, spec: Spec, *, pinned: bool = True) -> Generator[Server]:
    """Start a server, yield it when it answers, and end all of its processes afterwards.

    Raises:
        ServerError: it ended, or did not answer within `START_TIMEOUT`.
    """
    places.RUN.mkdir(exist_ok=True)
    log = places.RUN / f"{name}.log"
    with ExitStack() as opened:
        folder = opened.enter_context(tempfile.TemporaryDirectory(prefix=f"bench-{name}-"))
        output = opened.enter_context(log.open("wb"))
        environment = dict(spec.environment)
        database = 0
        if spec.postgres:
            url, database = opened.enter_context(postgres())
            environment["NEXUS_DATABASE_URL"] = url
        spec = msgspec.structs.replace(spec, environment=environment)
        port = _free_port(spec.port)
        started = time.perf_counter()
        process = subprocess.Popen(
            _command(spec, port, Path(folder), pinned=pinned),
            env=_environment(spec, port, Path(folder)),
            cwd=places.BENCH / spec.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait_until_ready(process, port, spec.ready, log)
            ready = round(time.perf_counter() - started, 3)
            yield Server(name, spec, port, process.pid, ready, database)
        finally:
            _stop(process)


def _free_port(wanted: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as error:
            raise ServerError(f"port {wanted} is taken: {error.strerror}") from error
        port: int = probe.getsockname()[1]
        return port


def _command(spec: Spec, port: int, folder: Path, *, pinned: bool) -> list[str]:
    filled = {
        "python": places.PYTHON,
        "project_python": places.PROJECT_PYTHON,
        "bench": places.BENCH,
        "port": port,
        "run": folder,
    }
    if spec.configuration:
        template = (places.BENCH / spec.configuration).read_text()
        configuration = folder / "server.conf"
        text = template.replace("@PORT@", str(port)).replace("@RUN@", str(folder))
        configuration.write_text(text)
        filled["configuration"] = configuration
    words = shlex.split(spec.command.format(**filled))
    return ["taskset", "--cpu-list", str(places.SERVER_CPU), *words] if pinned else words


def _environment(spec: Spec, port: int, folder: Path) -> dict[str, str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("NEXUS_")
    }
    # As where they are installed: a second start finds what the first has compiled.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment |= {
        "PORT": str(port),
        "NEXUS_PORT": str(port),
        "NEXUS_DATA_DIR": str(folder),
        "NEXUS_JWT_SECRET": SECRET.decode(),
        "PYTHONPATH": ":".join(
            str(folder)
            for folder in (
                places.BENCH / spec.folder,
                places.BENCH / "servers/python_common",
                places.REPOSITORY,
            )
        ),
    }
    if not spec.venv:  # this gateway, from its tree; the peers' environments must not see it
        environment["PYTHONPATH"] += f":{places.REPOSITORY}"
    if spec.venv:
        programs = places.BENCH / "venvs" / spec.venv / "bin"
        environment["PATH"] = f"{programs}:{environment['PATH']}"
    return environment | spec.environment


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, path: str, log: Path) -> None:
    deadline = time.perf_counter() + START_TIMEOUT
    asked = Request("GET", path, {})
    while time.perf_counter() < deadline:
        if process.poll() is not None:
            raise ServerError(f"ended with {process.returncode}, see {log}")
        with suppress(OSError, http.client.HTTPException):
            if call(port, asked).status == 200:
                return
        time.sleep(0.002)
    raise ServerError(f"no 200 on {path} within {START_TIMEOUT:.0f} s, see {log}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the server to end, then end what is left of its session."""
    members = processes.tree(process.pid)
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_TIMEOUT)
    for member in members:
        with suppress(OSError):
            if os.getsid(member) == process.pid:
                os.kill(member, signal.SIGKILL)
    process.wait()
