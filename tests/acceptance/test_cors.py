"""Pages of configured origins may call, and read refusals too; others are told nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.gateway_process import ORIGIN, Gateway, members

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

ENTITIES = "/api/intelligence/entities"


def preflight(client: httpx.Client, path: str, origin: str = ORIGIN) -> httpx.Response:
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, content-type",
    }
    return client.options(path, headers=asked)


def allowed(answer: httpx.Response) -> set[str]:
    return {name for name in answer.headers if name.startswith("access-control-allow")}


def test_a_preflight_of_an_allowed_origin_is_answered_without_a_token(studio: Gateway) -> None:
    with studio.client() as client:
        answer = preflight(client, ENTITIES)

    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert {"get", "post"} <= set(members(answer.headers["access-control-allow-methods"]))
    listed = set(members(answer.headers["access-control-allow-headers"]))
    assert {"authorization", "content-type"} <= listed
    assert int(answer.headers["access-control-max-age"]) > 0
    assert "origin" in members(answer.headers["vary"])


@pytest.mark.parametrize("origin", ["https://evil.example", "null", f"{ORIGIN}.evil.example"])
def test_a_foreign_origin_is_allowed_nothing(studio: Gateway, origin: str) -> None:
    with studio.client() as client:
        answers = [
            preflight(client, ENTITIES, origin),
            client.get("/health", headers={"origin": origin}),
            client.get("/nowhere", headers={"origin": origin}),
        ]

    for answer in answers:
        assert not allowed(answer)
        assert "origin" in members(answer.headers["vary"])


def test_an_answer_varies_by_origin_also_where_none_was_sent(client: httpx.Client) -> None:
    answer = client.get("/free")

    assert not allowed(answer)
    assert "origin" in members(answer.headers["vary"])


def test_credentials_are_allowed_where_the_gateway_says_so(client: httpx.Client) -> None:
    for answer in (preflight(client, "/notes"), client.get("/free", headers={"origin": ORIGIN})):
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert answer.headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.parametrize("path", [ENTITIES, "/health", "/nowhere"])
@pytest.mark.parametrize(
    "asked", ["x-evil", "authorization, x-evil", "X-EVIL", "*", "", "a b, <script>", "x" * 2000]
)
def test_the_headers_that_are_asked_for_are_never_repeated(
    studio: Gateway, path: str, asked: str
) -> None:
    headers = {
        "origin": ORIGIN,
        "access-control-request-method": "GET",
        "access-control-request-headers": asked,
    }
    with studio.client() as client:
        answer = client.options(path, headers=headers)
        plain = preflight(client, path)

    listed = answer.headers["access-control-allow-headers"]
    assert not {"x-evil", "*", "<script>", "x" * 2000} & set(members(listed))
    assert listed == plain.headers["access-control-allow-headers"]


def test_the_list_of_headers_is_a_setting(tmp_path: Path) -> None:
    settings = {"NEXUS_CORS_ORIGINS": ORIGIN, "NEXUS_CORS_HEADERS": "X-Own, authorization"}
    with Gateway(tmp_path, environment=settings) as gateway, gateway.client() as client:
        answer = preflight(client, ENTITIES)

    assert answer.headers["access-control-allow-headers"] == "x-own, authorization"


@pytest.mark.parametrize("doubled", [("origin", ORIGIN), ("access-control-request-method", "POST")])
def test_a_preflight_that_contradicts_itself_allows_nothing(
    studio: Gateway, doubled: tuple[str, str]
) -> None:
    lines = [("origin", ORIGIN), ("access-control-request-method", "POST"), doubled]
    with studio.client() as client:
        answer = client.options(ENTITIES, headers=lines)

    assert "access-control-allow-methods" not in answer.headers
    assert "access-control-allow-headers" not in answer.headers


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "TRACK"])
def test_a_method_that_browsers_may_not_send_is_not_allowed(studio: Gateway, method: str) -> None:
    headers = {"origin": ORIGIN, "access-control-request-method": method}
    with studio.client() as client:
        answers = [client.options(path, headers=headers) for path in (ENTITIES, "/nowhere")]

    for answer in answers:
        assert method.lower() not in members(answer.headers.get("access-control-allow-methods", ""))


@pytest.mark.parametrize("path", ["/nowhere", "/secret", "/broken", "/slow", "/typed/x"])
def test_a_page_may_read_why_it_was_refused(client: httpx.Client, path: str) -> None:
    answer = client.get(path, headers={"origin": ORIGIN})

    assert answer.status_code >= 400
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "x-request-id" in members(answer.headers["access-control-expose-headers"])


def test_options_without_an_origin_tells_the_methods(client: httpx.Client) -> None:
    answer = client.options("/notes")

    assert answer.status_code == 204
    assert {"post", "options"} <= set(members(answer.headers["allow"]))


def test_options_at_an_unknown_path_is_a_404(client: httpx.Client) -> None:
    assert client.options("/nowhere").status_code == 404


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize(
    ("path", "status"), [("/free", 200), ("/python", 200), ("/nowhere", 404), ("/broken", 500)]
)
def test_both_versions_of_http_mark_answers_alike(
    sample: Gateway, path: str, status: int, *, http2: bool
) -> None:
    with sample.client(http1=not http2, http2=http2) as client:
        answer = client.get(path, headers={"origin": ORIGIN})
        asked = preflight(client, "/notes")

    assert (answer.status_code, asked.status_code) == (status, 204)
    assert answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
    for each in (answer, asked):
        assert each.headers["access-control-allow-origin"] == ORIGIN
        assert each.headers["access-control-allow-credentials"] == "true"
        assert "origin" in members(each.headers["vary"])


def test_a_refused_handshake_of_a_websocket_can_be_read_by_a_page(studio: Gateway) -> None:
    handshake = {
        "origin": ORIGIN,
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    with studio.client() as client:
        answer = client.get("/ws/realtime", headers=handshake)

    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == ORIGIN
