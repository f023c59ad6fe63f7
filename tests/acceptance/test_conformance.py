"""The OpenAPI document is true: a client that was made from it meets no answer it does not know."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec

from nexus_gateway.server.tokens import mint
from tests.harness.gateway_process import SECRET, Gateway

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
METHODS = {"get", "post", "put", "patch", "delete"}
CONFIGURATION = Path(__file__).with_name("schemathesis")
# Cases of each operation. `make contract` runs more of them, and the phases that take long: each
# boundary of a schema, and operations that follow each other.
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "1"))
SEED = os.environ.get("SCHEMATHESIS_SEED", "7")
PHASES = "examples,fuzzing" + (",coverage,stateful" if EXAMPLES > 1 else "")
OPERATIONS_MIN = 80


class Document(msgspec.Struct):
    """What is read of `/openapi.json`."""

    openapi: str
    paths: dict[str, dict[str, Operation]]


class Operation(msgspec.Struct):
    """A method of a path."""

    responses: dict[str, object]
    parameters: list[Parameter] = []
    security: list[object] = []
    body: Body | None = msgspec.field(default=None, name="requestBody")


class Parameter(msgspec.Struct):
    """A value in the path, the query or the head."""

    name: str
    schema: dict[str, object]


class Body(msgspec.Struct):
    """What a request brings."""

    content: dict[str, dict[str, object]]


def document(gateway: Gateway) -> Document:
    with gateway.client() as client:
        return msgspec.json.decode(client.get("/openapi.json").content, type=Document)


def test_no_answer_is_off_the_document(studio: Gateway, tmp_path: Path) -> None:
    token = mint(SECRET.encode(), "alice", ["*"], 7200, tenant="acme")
    options = ["--header", f"Authorization: Bearer {token}", "--checks", "all"]
    # Python 3.11 sometimes fails to parse source in two threads at once, which Hypothesis does.
    bounds = ["--max-examples", str(EXAMPLES), "--seed", SEED, "--phases", PHASES, "--workers", "1"]
    quiet = ["--no-color", "--warnings", "off", "--generation-database", ":memory:"]

    ended = subprocess.run(
        [
            str(SCHEMATHESIS),
            "--config-file",
            str(CONFIGURATION / "schemathesis.toml"),
            "run",
            # With QUERY, which 3.1 has no place for.
            f"{studio.url}/openapi-3.2.json",
            *options,
            *bounds,
            *quiet,
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(CONFIGURATION), "SCHEMATHESIS_HOOKS": "hooks"},
        capture_output=True,
        text=True,
        timeout=120 if EXAMPLES == 1 else 7200,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout
    tested = re.search(r"Tested: (\d+)", ended.stdout)
    assert tested is not None
    assert int(tested[1]) >= OPERATIONS_MIN


def test_every_route_but_pages_and_query_is_in_the_document(studio: Gateway) -> None:
    found = document(studio)

    assert found.openapi.startswith("3.1")
    assert {"/health", "/health/ready", "/metrics", "/api/metrics"} <= found.paths.keys()
    entity = found.paths["/api/intelligence/entities/{entity_id}"]
    assert METHODS - {"post"} <= entity.keys()


def test_a_route_with_a_token_tells_its_refusals(studio: Gateway) -> None:
    for path, operations in document(studio).paths.items():
        for operation in operations.values():
            if path.startswith("/api/intelligence"):
                assert operation.security, path
                assert {"401", "403", "429"} <= operation.responses.keys(), path


def test_every_body_has_a_schema(studio: Gateway) -> None:
    bodies = [
        (path, media["schema"])
        for path, operations in document(studio).paths.items()
        for operation in operations.values()
        if operation.body is not None
        for media in operation.body.content.values()
    ]

    assert len(bodies) >= 4
    assert [path for path, schema in bodies if not schema] == []


def test_every_parameter_has_a_schema(studio: Gateway) -> None:
    parameters = [
        (path, parameter)
        for path, operations in document(studio).paths.items()
        for operation in operations.values()
        for parameter in operation.parameters
    ]

    assert len(parameters) > 50
    assert [(path, one.name) for path, one in parameters if not one.schema] == []


def test_the_statuses_of_success_are_in_the_document(studio: Gateway) -> None:
    paths = document(studio).paths
    entity = paths["/api/intelligence/entities/{entity_id}"]

    assert "201" in paths["/api/intelligence/entities"]["post"].responses
    assert {"200", "201", "412", "422"} <= entity["put"].responses.keys()
    assert {"200", "304", "404"} <= entity["get"].responses.keys()
    assert {"204", "404", "412"} <= entity["delete"].responses.keys()
    assert {"200", "503"} <= paths["/health/ready"]["get"].responses.keys()


def test_the_page_of_documents_is_served_from_here(studio: Gateway) -> None:
    with studio.client() as client:
        page = client.get("/docs")
        start = client.get("/")

    assert page.headers["content-type"].startswith("text/html")
    assert "/openapi.json" in page.text
    assert not re.search(r"""(?:src|href)=["']https?://""", page.text)
    assert (start.status_code, start.headers["location"]) == (303, "/docs")
