"""Methods: each matches its own; the router answers the others 405 with `Allow`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nexus_gateway import (
    Filter,
    delete,
    get,
    head,
    method,
    options,
    patch,
    path,
    post,
    put,
    query_method,
)
from nexus_gateway.testing import request

if TYPE_CHECKING:
    from collections.abc import Callable

METHODS: list[tuple[Callable[[], Filter[()]], str]] = [
    (get, "GET"),
    (head, "HEAD"),
    (post, "POST"),
    (put, "PUT"),
    (patch, "PATCH"),
    (delete, "DELETE"),
    (options, "OPTIONS"),
    (query_method, "QUERY"),
]


@pytest.mark.parametrize(("make", "name"), METHODS)
def test_a_method_matches_its_own(make: Callable[[], Filter[()]], name: str) -> None:
    route = (path("x") & make()).answer("ok")

    assert request(f"{name} /x").reply(route).status == 200


def test_another_method_is_a_405_that_lists_those_there_are() -> None:
    routes = (path("x") & get()).answer("a") | (path("x") & post()).answer("b")

    found = request("DELETE /x").reply(routes)

    assert found.status == 405
    assert {"GET", "POST"} <= set((found.header("allow") or "").split(", "))


@pytest.mark.parametrize("name", ["", "get", "G T", "GËT"])
def test_a_method_is_an_upper_case_word(name: str) -> None:
    with pytest.raises(ValueError, match="an upper-case word"):
        method(name)
