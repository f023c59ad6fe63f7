"""The composition: what the whole studio answers, keeps, and refuses to start with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nexus_gateway.compile.lint import lint
from nexus_gateway.server.settings import Secret, Settings, SettingsError
from nexus_gateway.server.tokens import mint
from nexus_gateway.studio.app import compose
from nexus_gateway.studio.engines import graph_of, migrate_database
from nexus_gateway.studio.storage.errors import SchemaMismatch
from nexus_gateway.testing import Client, request
from tests.harness.servers import free_port
from tests.harness.tokens import TOKEN_LIFETIME_S

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 303),
        ("/health", 200),
        ("/health/ready", 200),
        ("/metrics", 200),
        ("/openapi.json", 200),
        ("/docs", 200),
        ("/errors/conflict", 200),
        ("/api/metrics", 401),
        ("/api/metrics/routes", 401),
        ("/api/intelligence/entities", 401),
        ("/nowhere", 404),
    ],
)
def test_the_studio_answers(client: Client, path: str, status: int) -> None:
    assert request(f"GET {path}").reply(client).status == status


def test_the_routes_have_nothing_that_a_lint_would_name(settings: Settings) -> None:
    assert lint(compose(settings).routes) == []


def test_metrics_as_json_need_their_scope(client: Client, settings: Settings) -> None:
    secret = settings.secret() or b""
    token = mint(secret, "alice", ["metrics:read"], TOKEN_LIFETIME_S)

    summary = request("GET /api/metrics").bearer(token).reply(client)
    by_route = request("GET /api/metrics/routes").bearer(token).reply(client)

    assert (summary.status, by_route.status) == (200, 200)


def test_what_was_stored_is_there_after_a_restart(settings: Settings) -> None:
    token = mint(settings.secret() or b"", "alice", ["*"], TOKEN_LIFETIME_S)
    place = "/api/intelligence/entities"
    entity = {"entity_id": "a", "entity_type": "tool"}

    with Client(compose(settings)) as client:
        request(f"POST {place}").bearer(token).json(entity).reply(client)
    with Client(compose(settings)) as client:
        answer = request(f"GET {place}/a").bearer(token).reply(client)

    assert answer.status == 200


def test_pages_of_allowed_origins_may_call(tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path, log_level="error", cors_origins=("https://app.example.com",)
    )

    answer = (
        request("GET /health").header("origin", "https://app.example.com").reply(compose(settings))
    )

    assert answer.header("access-control-allow-origin") == "https://app.example.com"


def test_another_kind_of_database_is_refused(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, database_url="mysql://host/name")

    with pytest.raises(SettingsError, match="database_url"):
        compose(settings)


def test_a_database_url_names_the_file(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, database_url=f"sqlite:///{tmp_path}/other.db")

    migrate_database(settings, "up", None)

    assert (tmp_path / "other.db").exists()


def test_migrate_goes_up_tells_and_goes_down(settings: Settings) -> None:
    assert migrate_database(settings, "status", None)[0].endswith("missing")
    assert migrate_database(settings, "up", None)[0] == "applied 0001_entities"
    assert migrate_database(settings, "up", None) == ["up to date"]
    assert not migrate_database(settings, "status", None)[0].endswith("missing")
    assert migrate_database(settings, "down", 0)[-1] == "took back 0001_entities"
    assert migrate_database(settings, "down", 0) == ["nothing to take back"]


def test_a_database_of_a_newer_version_keeps_the_gateway_from_starting(
    settings: Settings,
) -> None:
    import sqlite3

    migrate_database(settings, "up", None)
    connection = sqlite3.connect(settings.data_dir / "nexus.db")
    connection.execute("INSERT INTO schema_migration VALUES (9999, 'later', 'x', 'now')")
    connection.commit()
    connection.close()

    with pytest.raises(SchemaMismatch, match="9999_later"), Client(compose(settings)):
        pass


def test_the_graph_is_a_file_unless_neo4j_is_set(tmp_path: Path) -> None:
    embedded = graph_of(Settings(data_dir=tmp_path))
    server = graph_of(Settings(neo4j_url="bolt://db:7687", neo4j_password=Secret("x")))

    assert embedded.name == "embedded"
    assert server.name == "neo4j"


def test_readiness_names_the_graph(client: Client) -> None:
    answer = request("GET /health/ready").reply(client)

    assert b'"graph":{"status":"ok"' in answer.body


def test_readiness_names_the_cache_and_why_it_is_away(tmp_path: Path) -> None:
    url = f"redis://127.0.0.1:{free_port()}"
    settings = Settings(data_dir=tmp_path, log_level="error", redis_url=url)
    with Client(compose(settings)) as client:
        answer = request("GET /health/ready").reply(client)

    assert answer.status == 200
    assert b'"status":"degraded"' in answer.body
    assert b'"cache":{"status":"failed"' in answer.body
