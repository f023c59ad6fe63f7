"""Health: what answers without asking, and what the dependencies say."""

from __future__ import annotations

import errno

import msgspec
import pytest

from nexus_gateway.studio import health
from nexus_gateway.studio.health import Dependency, Readiness
from nexus_gateway.studio.storage.errors import StorageUnavailable
from nexus_gateway.testing import request
from tests.harness.waiting import never


async def well() -> None:
    """Answer at once."""


async def ill() -> None:
    raise ConnectionError("secret.example refused")


async def silent() -> None:
    await never()


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/startup"])
def test_the_core_answers_that_it_lives(path: str) -> None:
    answer = request(f"GET {path}").reply(health.routes("1.2.3", {"x": Dependency(ill)}))

    assert answer.status == 200
    assert b'"status":"ok"' in answer.body


def test_health_names_the_service_and_its_version() -> None:
    answer = request("GET /health").reply(health.routes("1.2.3", {}))

    assert answer.json() == {"status": "ok", "service": "nexus-gateway", "version": "1.2.3"}


def test_ready_asks_every_dependency() -> None:
    routes = health.routes("1", {"a": Dependency(well), "b": Dependency(well)})

    answer = request("GET /health/ready").reply(routes)

    found = msgspec.json.decode(answer.body, type=Readiness)
    assert (answer.status, found.status) == (200, "ok")
    assert {name: check.status for name, check in found.checks.items()} == {"a": "ok", "b": "ok"}
    assert answer.header("cache-control") == "no-store"


def test_a_required_dependency_that_fails_answers_503_and_says_why() -> None:
    routes = health.routes("1", {"a": Dependency(well), "b": Dependency(ill)})

    answer = request("GET /health/ready").reply(routes)

    found = msgspec.json.decode(answer.body, type=Readiness)
    assert (answer.status, found.status) == (503, "degraded")
    assert (found.checks["a"].status, found.checks["b"].status) == ("ok", "failed")
    assert found.checks["b"].reason == "ConnectionError"
    assert b"secret" not in answer.body


def caused_by(cause: Exception) -> StorageUnavailable:
    error = StorageUnavailable("secret.example")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (caused_by(ConnectionRefusedError(errno.ECONNREFUSED, "secret")), "connection refused"),
        (caused_by(OSError(errno.ENOSPC, "secret")), "no space left on device"),
        (caused_by(TimeoutError("secret")), "no answer in time"),
        (caused_by(caused_by(KeyError("secret"))), "KeyError"),
        (StorageUnavailable("secret.example"), "StorageUnavailable"),
    ],
)
def test_the_reason_is_the_first_cause_in_words_that_name_nobody(
    error: Exception, reason: str
) -> None:
    assert health.reason_of(error) == reason


def test_one_that_is_not_required_only_degrades() -> None:
    routes = health.routes("1", {"a": Dependency(ill, required=False)})

    answer = request("GET /health/ready").reply(routes)

    assert answer.status == 200
    assert msgspec.json.decode(answer.body, type=Readiness).status == "degraded"


def test_one_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PATIENCE", 0.05)

    answer = request("GET /health/ready").reply(health.routes("1", {"a": Dependency(silent)}))

    check = msgspec.json.decode(answer.body, type=Readiness).checks["a"]
    assert (answer.status, check.reason) == (503, "no answer within 0.05 s")
