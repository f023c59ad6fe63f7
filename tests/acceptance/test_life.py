"""A gateway's life: it starts, says where it is, ends well when told to, and says why it cannot."""

from __future__ import annotations

import re
import signal
import socket
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.harness.gateway_process import (
    PATIENCE,
    ROOT,
    SECRET,
    Gateway,
    bearer,
    decoded,
    read_answer,
    run,
)

if TYPE_CHECKING:
    from pathlib import Path

HANDLERS = "tests.acceptance.apps.handlers:gateway"
WRONG = "tests.acceptance.apps.wrong"
OWN = {"NEXUS_JWT_SECRET": SECRET}


def test_it_says_where_it_is_and_how_to_get_a_token(tmp_path: Path) -> None:
    with Gateway(tmp_path) as gateway:
        hint = re.fullmatch(r"a token: nexus-gateway (.+)\n", gateway.hint)
        assert hint is not None
        token = run(tmp_path, *hint[1].replace("'", "").split()).stdout.strip()
        with gateway.client(headers={"authorization": f"Bearer {token}"}) as client:
            answer = client.get("/api/intelligence/entities")

    assert answer.status_code == 200


def test_the_secret_of_development_is_random_kept_and_its_owner_s(tmp_path: Path) -> None:
    tokens: dict[str, str] = {}
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        run(tmp_path / name, "token", "--sub", "alice")
        kept = tmp_path / name / "data" / "jwt-secret"
        tokens[name] = kept.read_text()
        assert kept.stat().st_mode & 0o777 == 0o600
        run(tmp_path / name, "token", "--sub", "alice")
        assert kept.read_text() == tokens[name]

    assert tokens["a"] != tokens["b"]
    assert len(tokens["a"]) >= 32


def test_production_does_not_start_without_a_secret_of_its_own(tmp_path: Path) -> None:
    ended = run(tmp_path, "serve", environment={"NEXUS_ENV": "production"})

    assert (ended.returncode, ended.stdout) == (2, "")
    assert "NEXUS_JWT_SECRET" in ended.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("NEXUS_PORT", "many", "NEXUS_PORT"),
        ("NEXUS_RATE_LIMIT", "often", "NEXUS_RATE_LIMIT"),
        ("NEXUS_JWT_SECRET", "short", "NEXUS_JWT_SECRET"),
        ("NEXUS_CORS_ORIGINS", "app.example.com", "NEXUS_CORS_ORIGINS"),
        ("NEXUS_TLS_CERT", "certificate.pem", "tls_key"),
        ("NEXUS_DATABASE_URL", "mysql://host/name", "database_url"),
        ("NEXUS_JWT_PUBLIC_KEY_FILE", "none.pem", "jwt_public_key_file"),
        ("NEXUS_CONFIG", "none.toml", "none.toml"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, name: str, value: str, said: str) -> None:
    ended = run(tmp_path, "serve", environment={name: value})

    assert (ended.returncode, ended.stdout) == (2, "")
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert name == "NEXUS_JWT_SECRET" or "short" not in ended.stderr


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "nexus.toml").write_text('jwt_audience = "file"\njwt_issuer = "file"\n')
    settings = {"NEXUS_JWT_ISSUER": "environment"}

    ended = run(tmp_path, "plan", "--config", "nexus.toml", environment=settings)

    tokens = decoded(ended.stdout)["tokens"]
    assert isinstance(tokens, dict)
    assert (tokens["issuer"], tokens["audience"]) == ("environment", "file")


def test_a_busy_port_is_said_in_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = run(tmp_path, "serve", "--port", str(taken.getsockname()[1]))

    assert (ended.returncode, ended.stdout) == (1, "")
    assert "cannot listen" in ended.stderr
    assert "in use" in ended.stderr
    assert str(taken) not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_sigterm_lets_a_request_finish_and_takes_no_other(tmp_path: Path) -> None:
    with Gateway(tmp_path, HANDLERS) as gateway, ThreadPoolExecutor(1) as other:
        running = other.submit(httpx.get, f"{gateway.url}/sleep/0.5", timeout=PATIENCE)
        while gateway.metric("nexus_python_calls_total") < 1:
            pass
        gateway.process.send_signal(signal.SIGTERM)
        refused_after = wait_until_refused(gateway)
        answer = running.result()
        code = gateway.process.wait(PATIENCE)

    assert (answer.status_code, answer.text) == (200, "slept")
    assert refused_after < 0.3
    assert code == 0


def wait_until_refused(gateway: Gateway) -> float:
    """Connect until nobody listens; the seconds it took."""
    started = time.monotonic()
    while time.monotonic() < started + PATIENCE:
        try:
            gateway.connect().close()
        except OSError:
            break
    return time.monotonic() - started


def test_sigterm_tells_idle_connections_to_go(tmp_path: Path) -> None:
    with Gateway(tmp_path) as gateway, gateway.connect() as idle:
        idle.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        read_answer(idle)
        started = time.monotonic()

        assert gateway.stop() == 0
        assert time.monotonic() - started < 3
        assert idle.recv(1) == b""


def test_sigint_ends_it_too(tmp_path: Path) -> None:
    with Gateway(tmp_path) as gateway:
        gateway.process.send_signal(signal.SIGINT)

        assert gateway.process.wait(PATIENCE) == 0


def test_a_second_sigterm_ends_it_at_once(tmp_path: Path) -> None:
    with Gateway(tmp_path, HANDLERS) as gateway, gateway.connect() as connection:
        connection.sendall(b"GET /wait/long HTTP/1.1\r\nHost: x\r\n\r\n")
        while gateway.metric("nexus_python_calls_total") < 1:
            pass
        gateway.process.send_signal(signal.SIGTERM)
        wait_until_refused(gateway)
        started = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        code = gateway.process.wait(PATIENCE)

    assert code == -signal.SIGTERM
    assert time.monotonic() - started < 3


def test_what_does_not_finish_is_cut_after_the_grace(tmp_path: Path) -> None:
    settings = {"NEXUS_SHUTDOWN_GRACE": "0.3"}
    with (
        Gateway(tmp_path, HANDLERS, environment=settings) as gateway,
        gateway.connect() as connection,
    ):
        connection.sendall(b"GET /wait/long HTTP/1.1\r\nHost: x\r\n\r\n")
        while gateway.metric("nexus_python_calls_total") < 1:
            pass
        started = time.monotonic()
        code = gateway.stop()

    assert code == 0
    assert 0.3 <= time.monotonic() - started < 2


def test_what_was_accepted_is_kept_over_a_kill(tmp_path: Path) -> None:
    place = "/api/intelligence/entities"
    with Gateway(tmp_path, environment=OWN) as gateway:
        with gateway.client(headers=bearer("*")) as client:
            for number in range(20):
                entity = {"entity_id": f"e{number}", "entity_type": "tool"}
                assert client.post(place, json=entity).status_code == 201
        gateway.process.kill()
    with (
        Gateway(tmp_path, environment=OWN) as gateway,
        gateway.client(headers=bearer("*")) as client,
    ):
        found = [client.get(f"{place}/e{number}").status_code for number in range(20)]

    assert found == [200] * 20


def test_a_database_of_a_newer_version_is_said_in_a_sentence(tmp_path: Path) -> None:
    run(tmp_path, "migrate", "up")
    with closing(sqlite3.connect(tmp_path / "data" / "nexus.db")) as database:
        database.execute("INSERT INTO schema_migration VALUES (9999, 'later', 'x', 'now')")
        database.commit()

    for command in (["serve", "--port", "0"], ["migrate", "up"], ["migrate", "status"]):
        ended = run(tmp_path, *command)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert len(ended.stderr.splitlines()) == 1
        assert "9999_later" in ended.stderr


def test_a_folder_that_cannot_be_written_is_said_in_a_sentence(tmp_path: Path) -> None:
    # A file where a folder must be: root may write everywhere else.
    (tmp_path / "data").write_text("in the way")

    for command in (["serve", "--port", "0"], ["migrate", "up"]):
        ended = run(tmp_path, *command, environment=OWN)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert len(ended.stderr.splitlines()) == 1
        assert "nexus.db" in ended.stderr


def test_a_file_that_is_no_database_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "nexus.db").write_text("not a database " * 100)

    for command in (["serve", "--port", "0"], ["migrate", "up"], ["migrate", "status"]):
        ended = run(tmp_path, *command)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert len(ended.stderr.splitlines()) == 1
        assert "nexus.db" in ended.stderr


def test_migrations_go_up_and_down(tmp_path: Path) -> None:
    def migrate(*arguments: str) -> str:
        ended = run(tmp_path, "migrate", *arguments)
        assert (ended.returncode, ended.stderr) == (0, "")
        return ended.stdout

    assert "missing" in migrate("status")
    assert "applied 0001" in migrate("up")
    assert migrate("up") == "up to date\n"
    assert "missing" not in migrate("status")
    down = run(tmp_path, "migrate", "down", "--to", "0", "--yes")
    assert "took back 0001" in down.stdout
    assert "missing" in migrate("status")
    assert migrate("down") == "nothing to take back\n"


@pytest.mark.parametrize("target", ["-1", "99", "-99999999999999999999"])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_migration_that_does_not_exist_is_refused(
    tmp_path: Path, direction: str, target: str
) -> None:
    run(tmp_path, "migrate", "up")

    ended = run(tmp_path, "migrate", direction, f"--to={target}", "--yes")

    assert (ended.returncode, ended.stdout) == (2, "")
    if int(target) < 0:  # the option itself is refused
        assert "--to" in ended.stderr
    else:
        assert ended.stderr.startswith(
            f"refused: there is no migration {target}: this version has 1 to"
        )
    assert "missing" not in run(tmp_path, "migrate", "status").stdout


@pytest.mark.parametrize(
    ("direction", "target", "reason"),
    [("up", "1", "use `migrate down --to 1`"), ("status", "1", "takes no --to")],
)
def test_a_migration_in_the_other_direction_is_refused(
    tmp_path: Path, direction: str, target: str, reason: str
) -> None:
    run(tmp_path, "migrate", "up")

    ended = run(tmp_path, "migrate", direction, "--to", target)

    assert ended.returncode == 2
    assert reason in ended.stderr


def test_a_downgrade_is_not_upwards(tmp_path: Path) -> None:
    run(tmp_path, "migrate", "up", "--to", "1")

    ended = run(tmp_path, "migrate", "down", "--to", "2", "--yes")

    assert ended.returncode == 2
    assert "the database is at 1; use `migrate up --to 2`" in ended.stderr


def test_a_downgrade_asks_first_and_is_refused_where_nobody_can_answer(tmp_path: Path) -> None:
    run(tmp_path, "migrate", "up")

    ended = run(tmp_path, "migrate", "down", "--to", "0")

    assert (ended.returncode, ended.stdout) == (2, "")
    assert "this deletes the tables and columns of" in ended.stderr
    assert "0001_entities" in ended.stderr
    assert "repeat it with --yes" in ended.stderr
    assert "missing" not in run(tmp_path, "migrate", "status").stdout


PG = "postgresql://nexus:pass-word@127.0.0.1"
URLS = [
    ("DATABASE_URL", f"{PG}:1/x?keepalives_idle=30", "tcp_keepalives_idle"),
    ("DATABASE_URL", f"{PG}:1/x?banana=1", "'banana' is not supported"),
    ("DATABASE_URL", f"{PG}:1/x?connect_timeout=5s", "whole seconds"),
    ("DATABASE_URL", f"{PG}:99999/x", "a port from 1 to 65535"),
    ("DATABASE_URL", "mysql://nexus:pass-word@127.0.0.1/x", "the scheme 'mysql'"),
    ("REDIS_URL", "redis://:pass-word@127.0.0.1:1/0?timeout=5s", "'timeout' is not supported"),
    ("REDIS_URL", "redis://:pass-word@127.0.0.1:1/0?ssl_cert_reqs=none", "'ssl_cert_reqs' is not"),
    ("REDIS_URL", "redis://:pass-word@127.0.0.1:1/zero", "the number of a database"),
    ("REDIS_URL", "rediss://:pass-word@127.0.0.1:1/0", "rediss:// is not supported"),
    ("NEO4J_URL", "bolt://127.0.0.1:1?x=1", "'x' is not supported"),
    ("NEO4J_URL", "neo4j://me:pass-word@127.0.0.1:1", "neo4j_user and neo4j_password"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "url", "reason"), URLS)
def test_a_url_that_cannot_be_used_is_said_in_a_sentence(
    tmp_path: Path, key: str, url: str, reason: str
) -> None:
    environment = {**OWN, f"NEXUS_{key}": url, "NEXUS_NEO4J_PASSWORD": "x"}
    if key != "NEO4J_URL":
        del environment["NEXUS_NEO4J_PASSWORD"]

    ended = run(tmp_path, "serve", "--port", "0", environment=environment)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert len(ended.stderr.splitlines()) == 1
    assert f"{key.lower()}: " in ended.stderr
    assert reason in ended.stderr
    assert "pass-word" not in ended.stderr


def test_check_passes_the_studio(tmp_path: Path) -> None:
    plain = run(tmp_path, "check", "--strict")
    report = run(tmp_path, "check", "--json")

    assert (plain.returncode, plain.stdout[:3]) == (0, "ok:")
    whole = decoded(report.stdout)
    assert [whole[name] for name in ("ok", "error", "findings")] == [True, None, []]


@pytest.mark.parametrize(
    ("attribute", "said"),
    [
        ("misnamed", ["show", "wrong.py:8", "number", "numbr"]),
        ("mistyped", ["add", "wrong.py:12", "number", "int", "str"]),
        ("miscounted", ["count", "wrong.py:16", "takes 2", "number"]),
    ],
)
def test_check_names_file_handler_and_value(
    tmp_path: Path, attribute: str, said: list[str]
) -> None:
    for command in (["check"], ["serve", "--port", "0"]):
        ended = run(tmp_path, *command, f"{WRONG}:{attribute}")

        assert ended.returncode == 2
        written = ended.stdout + ended.stderr
        assert [word for word in said if word not in written] == [], written
        assert "Traceback" not in written


def test_check_names_routes_that_contradict_or_are_open(tmp_path: Path) -> None:
    shadowed = run(tmp_path, "check", f"{WRONG}:shadowed")
    warned = run(tmp_path, "check", f"{WRONG}:unprotected")
    strict = run(tmp_path, "check", "--strict", f"{WRONG}:unprotected")

    assert shadowed.returncode == 2
    assert "/a" in shadowed.stdout + shadowed.stderr
    assert (warned.returncode, strict.returncode) == (0, 2)
    assert "POST /a" in warned.stdout


def test_routes_are_told_as_a_table_and_as_json(tmp_path: Path) -> None:
    table = run(tmp_path, "routes").stdout
    rows = run(tmp_path, "routes", "--json").stdout

    create = r"^POST +/api/intelligence/entities +auth\(intelligence:write\)"
    assert re.search(create, table, re.MULTILINE)
    assert "/api/intelligence/entities/{entity_id}" in rows
    assert len(table.splitlines()) == rows.count('"path"')


def test_the_plan_holds_no_secret(tmp_path: Path) -> None:
    ended = run(tmp_path, "plan", environment=OWN)

    assert ended.returncode == 0
    assert decoded(ended.stdout)["version"] == 1
    assert SECRET not in ended.stdout


def test_a_token_passes_with_what_it_was_made_for(tmp_path: Path) -> None:
    settings = {**OWN, "NEXUS_JWT_ISSUER": "me", "NEXUS_JWT_AUDIENCE": "you"}
    scope = ["--scope", "intelligence:read", "--scope", "metrics:read"]
    made = run(tmp_path, "token", "--sub", "alice", *scope, environment=settings)
    late = run(tmp_path, "token", "--sub", "a", "--lifetime", "-1", environment=settings)

    with Gateway(tmp_path, environment=settings) as gateway, gateway.client() as client:
        headers = {"authorization": f"Bearer {made.stdout.strip()}"}
        found = [
            client.get("/api/metrics", headers=headers).status_code,
            client.get("/api/intelligence/entities", headers=headers).status_code,
            client.post("/api/intelligence/entities", headers=headers, json={}).status_code,
        ]

    assert found == [200, 200, 403]
    assert late.stdout == "" or late.returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["bogus"],
        ["serve", "--nope"],
        ["serve", "--port", "many"],
        ["serve", "no.such.module:app"],
        ["serve", "json"],
        ["check", "json:loads"],
        ["token"],
        ["migrate", "sideways"],
        ["routes", "json:nothing"],
    ],
)
def test_wrong_usage_exits_with_2(tmp_path: Path, arguments: list[str]) -> None:
    ended = run(tmp_path, *arguments)

    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr


def test_an_application_of_ones_own_is_served(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text((ROOT / "examples" / "basic_server.py").read_text())

    with Gateway(tmp_path, "own:routes") as gateway, gateway.client() as client:
        assert client.get("/squares/9").json() == {"number": 9, "square": 81}


def test_several_threads_share_one_port_and_their_counters(tmp_path: Path) -> None:
    with Gateway(tmp_path, environment={"NEXUS_THREADS": "3"}) as gateway:
        for _ in range(60):
            with gateway.client() as client:
                assert client.get("/health").status_code == 200
        with gateway.client() as client:
            text = client.get("/metrics").text

    assert 'route="/health",method="GET",status="200"} 60\n' in text
