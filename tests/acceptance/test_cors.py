"""Pages of configured origins may call, and read refusals too; others are told nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.support import ORIGIN, Gateway, members

if TYPE_CHECKING:
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
    asked = set(members(answer.headers["access-control-allow-headers"]))
    assert asked == {"authorization", "content-type"}
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
