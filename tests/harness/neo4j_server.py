"""A real Neo4j for tests: its jars by Maven, its data in a temporary folder, killed at the end.

The jars (123 MB) come once, into Maven's own repository; the list of them is kept in
`TEST_CACHE`, by default `~/.cache/nexus-gateway-tests`. Where Java or Maven is missing, tests
that need the server are skipped by name; with `CI` or `TEST_SERVERS_REQUIRED` set they fail.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

HERE = Path(__file__).parent / "neo4j"
PASSWORD = "opened-sesame"
STARTED_WITHIN = 90.0

_OPENED = [
    f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in ("java.nio", "java.io", "sun.nio.ch")
]
_JAVA = ["java", "-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *_OPENED]


class Server(msgspec.Struct, frozen=True):
    """Where it listens, and its process."""

    url: str
    port: int
    home: Path
    process: subprocess.Popen[bytes]
    user: str = "neo4j"
    password: str = PASSWORD

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.process.kill()
        self.process.wait()


@contextmanager
def serve() -> Generator[Server]:
    """Start a server with an empty graph; skip the test where there is no Java."""
    _require("java", "mvn")
    with tempfile.TemporaryDirectory(prefix="nexus-neo4j-", ignore_cleanup_errors=True) as home:
        server = start(Path(home), _free_port())
        try:
            _set_password(server)
            yield server
        finally:
            server.kill()


def start(home: Path, port: int) -> Server:
    """Start a server over a home, new or left by a killed one, and wait until it answers."""
    log = home / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*_JAVA, "-cp", _classpath(), str(HERE / "Neo4jServer.java"), str(home), str(port)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    server = Server(f"bolt://127.0.0.1:{port}", port, home, process)
    until = time.monotonic() + STARTED_WITHIN
    while b"READY" not in log.read_bytes():
        if process.poll() is not None or time.monotonic() > until:
            server.kill()
            raise RuntimeError(f"Neo4j did not start: {log.read_text()[-2000:]}")
        time.sleep(0.05)
    return server


def _set_password(server: Server) -> None:
    """Replace the first password, as Neo4j wants it before anything else."""
    from neo4j import GraphDatabase

    with GraphDatabase.driver(  # pyright: ignore[reportUnknownMemberType]
        server.url, auth=("neo4j", "neo4j")
    ) as driver:
        driver.execute_query(
            "ALTER CURRENT USER SET PASSWORD FROM 'neo4j' TO $password",
            password=PASSWORD,
            database_="system",
        )


def _classpath() -> str:
    pom = HERE / "pom.xml"
    digest = hashlib.sha256(pom.read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("TEST_CACHE") or Path.home() / ".cache/nexus-gateway-tests")
    kept = cache / f"neo4j-{digest}.classpath"
    if not kept.exists() or not all(Path(jar).exists() for jar in kept.read_text().split(":")):
        cache.mkdir(parents=True, exist_ok=True)
        written = cache / f"{kept.name}.{os.getpid()}"
        goal = "dependency:build-classpath"
        subprocess.run(
            ["mvn", "-B", "-q", "-f", str(pom), goal, f"-Dmdep.outputFile={written}"],
            check=True,
            stdin=subprocess.DEVNULL,
            timeout=600,
        )
        written.replace(kept)
    return kept.read_text()


def _require(*programs: str) -> None:
    missing = [name for name in programs if shutil.which(name) is None]
    if not missing:
        return
    if os.environ.get("CI") or os.environ.get("TEST_SERVERS_REQUIRED"):
        raise RuntimeError(f"Neo4j is required here and needs {', '.join(missing)}")
    pytest.skip(f"Neo4j: {', '.join(missing)} is not installed")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
