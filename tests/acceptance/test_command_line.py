"""Every command with wrong input: a short message that names the cause, and no traceback."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.harness.gateway_process import (
    SECRET,
    Gateway,
    command_line,
    decoded,
    environment_of,
    run,
)

ECHO = """
from nexus_gateway import auth, body, get, path, post, public, Routes, timeout
async def echo(value: object) -> object:
    return {"value": value}
async def who(claims) -> str:
    return claims.subject
open = (path("echo") & post() & public() & body(object)).then(echo)
routes = open
protected = (path("who") & get() & auth()).then(who)
"""
LIFESPAN = """
import sys
from contextlib import asynccontextmanager
from nexus_gateway import Routes, get, path
from nexus_gateway.server import Application
@asynccontextmanager
async def ends():
    sys.exit(0)
    yield
@asynccontextmanager
async def raises():
    raise LookupError("no such thing")
    yield
async def fine() -> str:
    return "fine"
routes = Routes((path("x") & get()).then(fine))
exits, fails = Application(routes, lifespan=ends), Application(routes, lifespan=raises)
def plain() -> str:
    return "plain"
wrong = (path("x") & get()).then(plain)
"""
FILES = {
    "broken.py": "import json\nvalue = 1 / 0\n",
    "syntax.py": "a = 1\ndef (\n",
    "exits.py": "import sys\n\nsys.exit(0)\n",
    "imports.py": "import no_such_module_here\n",
    "infinite.py": "from nexus_gateway import timeout\n\ntimeout(float('inf'))\n",
    "factory.py": "def make():\n    raise LookupError('nothing to make')\n",
    "own.py": ECHO,
    "life.py": LIFESPAN,
    "bad.toml": "port = \n",
    "wrong.toml": 'host = "a"\nport = "many"\n',
    "unknown.toml": "prot = 1\n",
}
CASES: list[tuple[list[str], str]] = [
    (["serve", "--port", "99999"], "--port"),
    (["serve", "--port", "-1"], "--port"),
    (["serve", "broken:routes"], "broken.py:2: ZeroDivisionError: division by zero"),
    (["serve", "syntax:routes"], "syntax.py:2: SyntaxError"),
    (["serve", "exits:routes"], "exits.py:3: sys.exit(0) was called"),
    (["check", "exits:routes"], "exits.py:3: sys.exit(0) was called"),
    (["serve", "imports:routes"], "imports.py:1: ModuleNotFoundError: No module named"),
    (["serve", "missing:routes"], "No module named 'missing'; looked in"),
    (["serve", "own:nothing"], "has no attribute 'nothing'"),
    (["serve", "own.py"], "not of the form module:attribute"),
    (["serve", ":routes"], "not of the form module:attribute"),
    (["serve", ".own:routes"], "TypeError"),
    (["routes", "infinite:routes"], "infinite.py:3: ValueError: a timeout is a positive number"),
    (["plan", "factory:make"], "factory.py:2: LookupError: nothing to make"),
    (["serve", "life:exits", "--port", "0"], "life.py:8: sys.exit(0) was called"),
    (["serve", "life:fails", "--port", "0"], "life.py:12: LookupError: no such thing"),
    (["serve", "life:wrong", "--port", "0"], "is a plain `def`"),
    (["check", "life:wrong"], "is a plain `def`"),
    (["check", "own:protected"], "auth"),
    (["serve", "own:protected", "--port", "0"], "auth"),
    (["serve", "--host", "no such host", "--port", "0"], "no such host"),
    (["serve", "--config", "bad.toml"], "bad.toml: not TOML"),
    (["check", "--config", "wrong.toml"], "port in wrong.toml:2: expected `int`"),
    (["check", "--config", "unknown.toml"], "unknown.toml:1: there is no setting 'prot'"),
    (["check", "--config", "."], "Is a directory"),
    (["routes", "--config", "none.toml"], "none.toml: cannot be read"),
    (["token", "--sub", "a", "--lifetime", "-5"], "--lifetime"),
    (["token", "--sub", "a", "--lifetime", "9" * 30], "--lifetime"),
    (["token", "--sub", "a\udcff"], "--sub: expected UTF-8"),
    (["token", "--sub", "a", "--scope", "\udcff"], "--scope: expected UTF-8"),
    (["migrate", "up", "--to", "-1"], "--to"),
    (["graph", "export", "/dev/full/x"], "/dev/full/x"),
    (["graph", "import", "none.ndjson"], "none.ndjson"),
    (["import", "none.ndjson"], "none.ndjson"),
    (["import", "own.py", "--url", "http://[::1"], "--url"),
    (["import", "own.py", "--url", "ftp://host"], "--url"),
    (["import", "own.py", "--url", "http://host:99999"], "--url"),
    (["import", "own.py", "--token", "a\nb"], "--token"),
    (["import", "own.py", "--url", "http://127.0.0.1:9"], "no gateway answers there"),
    (["demo", "load", "python", "--url", "http://[::1"], "--url"),
    (["demo", "load", "nothing"], "expected one of"),
    (["demo", "load", "python", "--limit", "0"], "--limit"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(("arguments", "said"), CASES)
def test_wrong_input_is_said_in_a_sentence(folder: Path, arguments: list[str], said: str) -> None:
    ended = run(folder, *arguments)

    written = ended.stdout + ended.stderr
    assert ended.returncode in {1, 2}, written
    assert said in written
    assert "Traceback" not in written


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("NEXUS_TIMEOUT", "inf", "NEXUS_TIMEOUT in the environment"),
        ("NEXUS_TLS_CERT", "~unknown-user/x", "NEXUS_TLS_CERT in the environment"),
        ("NEXUS_HOST", "no such host", "host: 'no such host' has no address"),
        ("NEXUS_DATA_DIR", "own.py", "data_dir: "),
        ("NEXUS_JWT_PUBLIC_KEY_FILE", "own.py", "found no PEM"),
    ],
)
def test_check_reports_what_serve_would_be_stopped_by(
    folder: Path, name: str, value: str, said: str
) -> None:
    added = {"NEXUS_JWT_SECRET": SECRET, name: value}

    ended = run(folder, "check", environment=added)

    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_check_warns_of_a_port_in_use_and_writes_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = str(busy.getsockname()[1])
        ended = run(tmp_path, "check", environment={"NEXUS_PORT": port, "NEXUS_DATA_DIR": "data"})

    assert ended.returncode == 0, ended.stderr
    assert f"warning: port: 127.0.0.1:{port} is in use" in ended.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("command", [["routes"], ["plan"], ["token", "--sub", "a"], ["check"]])
def test_an_output_that_is_full_is_a_failure(folder: Path, command: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            command_line(*command),
            cwd=folder,
            env=environment_of(folder, {}),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
        )

    assert ended.returncode == 1
    assert "No space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr


def test_serve_with_an_output_that_is_full_is_a_failure(folder: Path) -> None:
    words = " ".join(command_line("serve", "own:routes", "--port", "0"))

    ended = shell(folder, f"{words} > /dev/full")

    assert ended.returncode == 1
    assert "the standard output cannot be written" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("closed", [">&-", "<&-", ">&- <&-"])
def test_closed_streams_do_no_harm(folder: Path, closed: str) -> None:
    ended = shell(folder, f"{' '.join(command_line('routes', 'own:routes'))} {closed}")

    assert (ended.returncode, ended.stderr) == (0, "")


def shell(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", line],
        cwd=folder,
        env=environment_of(folder, {}),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_settings_of_the_environment_are_those_of_an_application_of_ones_own(folder: Path) -> None:
    environment = {
        "NEXUS_BODY_BYTES": "4",
        "NEXUS_CORS_ORIGINS": "https://app.example.com",
        "NEXUS_ADDRESS_LIMIT": "2/min",
    }
    origin = {"origin": "https://app.example.com"}
    with Gateway(folder, "own:routes", environment=environment) as gateway, gateway.client() as one:
        small = one.post("/echo", json=1, headers=origin)
        large = one.post("/echo", json="much more than four")
        third = one.post("/echo", json=1)

    assert small.headers["access-control-allow-origin"] == "https://app.example.com"
    assert [answer.status_code for answer in (small, large, third)] == [200, 413, 429]


def test_a_secret_and_a_rate_of_the_environment_protect_an_own_application(folder: Path) -> None:
    environment = {"NEXUS_JWT_SECRET": SECRET, "NEXUS_RATE_LIMIT": "1/min"}
    token = run(folder, "token", "--sub", "alice", environment=environment).stdout.strip()
    headers = {"authorization": f"Bearer {token}"}
    with (
        Gateway(folder, "own:protected", environment=environment) as gateway,
        gateway.client(headers=headers) as client,
    ):
        answers = [client.get("/who").status_code for _ in range(2)]

    assert answers == [200, 429]


def test_code_wins_over_the_environment_and_check_says_so(folder: Path) -> None:
    (folder / "code.py").write_text(
        "from nexus_gateway import plan\nfrom nexus_gateway.server import Application\n"
        "from own import routes, Routes\n"
        "app = Application(Routes(routes), bounds=plan.Bounds(timeout_ms=5000))\n"
    )
    environment = {"NEXUS_TIMEOUT": "9", "NEXUS_BODY_BYTES": "4", "NEXUS_JWT_SECRET": SECRET}

    ended = run(folder, "check", "code:app", "--json", environment=environment)

    settings = decoded(ended.stdout)["settings"]
    assert isinstance(settings, dict)
    assert settings["timeout"] == {"value": "5.0", "origin": "code"}
    assert settings["body_bytes"] == {
        "value": "4",
        "origin": "NEXUS_BODY_BYTES in the environment",
    }
    assert settings["port"] == {"value": "8000", "origin": "default"}
    assert SECRET not in ended.stdout + ended.stderr


def test_an_unknown_variable_warns_and_does_not_prevent_anything(folder: Path) -> None:
    ended = run(folder, "check", "own:routes", environment={"NEXUS_PRT": "1", "NEXUS_ABC": "1"})

    assert ended.returncode == 0
    assert ended.stderr == (
        "warning: NEXUS_PRT in the environment is no setting; did you mean NEXUS_PORT\n"
    )


def test_a_second_sigint_ends_it_at_once(folder: Path) -> None:
    (folder / "slow.py").write_text(
        "import asyncio\nfrom nexus_gateway import get, path\n"
        "async def wait() -> str:\n    await asyncio.sleep(60)\n    return ''\n"
        "routes = (path('wait') & get()).then(wait)"
        " | (path('metrics') & get()).metrics('prometheus')\n"
    )
    with Gateway(folder, "slow:routes") as gateway, gateway.connect() as connection:
        connection.sendall(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n")
        while gateway.metric("nexus_python_calls_total") < 1:
            pass
        gateway.process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + 10
        while gateway.process.poll() is None and time.monotonic() < deadline:
            try:
                gateway.connect().close()
            except OSError:
                break
        gateway.process.send_signal(signal.SIGINT)

        assert gateway.process.wait(5) == -signal.SIGINT


def test_a_second_gateway_says_at_once_what_it_waits_for(folder: Path) -> None:
    with Gateway(folder) as first:
        second = subprocess.Popen(
            command_line("serve", "--port", "0"),
            cwd=folder,
            env=environment_of(folder, {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert second.stderr is not None
            record = json.loads(second.stderr.readline())
        finally:
            second.kill()
            second.communicate()

    said = record["message"]
    assert record["level"] == "warning"
    assert "waiting up to 15 s" in said
    assert f"process {first.process.pid}" in said
    assert "graph.kgl" in said


@pytest.mark.parametrize("kind", ["file", "missing", "below a file"])
@pytest.mark.parametrize(
    "command",
    [
        ["migrate"],
        ["token", "--sub", "a"],
        ["check"],
        ["routes"],
        ["plan"],
        ["import", "own.py", "--url", "http://127.0.0.1:9"],
        ["graph", "verify"],
        ["graph", "repair"],
        ["graph", "export", "graph.ndjson"],
        ["graph", "import", "own.py"],
        ["graph", "replay"],
    ],
    ids=" ".join,
)
def test_a_data_folder_of_no_use_is_no_traceback(
    folder: Path, command: list[str], kind: str
) -> None:
    data = {"file": "own.py", "missing": "none", "below a file": "own.py/data"}[kind]

    ended = run(folder, *command, environment={"NEXUS_DATA_DIR": data})

    written = ended.stdout + ended.stderr
    assert ended.returncode in ({0, 1, 2} if kind == "missing" else {1, 2}), written
    assert "Traceback" not in written
    assert ended.returncode == 0 or ended.stderr.strip()
