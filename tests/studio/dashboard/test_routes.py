"""`/dashboard`: the built page with its policy, or a page that says how to build it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nexus_gateway.studio.dashboard.routes import POLICY, routes
from nexus_gateway.testing import request

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """Make what a build makes."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "index-1a2b.js").write_text("export {};")
    (tmp_path / "index.html").write_text("<!doctype html><title>page</title>")
    return tmp_path


def test_the_page_is_served_with_a_policy_that_allows_nothing_from_elsewhere(dist: Path) -> None:
    answer = request("GET /dashboard").reply(routes(dist))

    assert (answer.status, answer.body) == (200, b"<!doctype html><title>page</title>")
    assert answer.header("content-security-policy") == POLICY
    assert "unsafe" not in POLICY
    assert answer.header("cache-control") == "no-cache"


def test_the_parts_of_the_page_are_kept_by_browsers(dist: Path) -> None:
    answer = request("GET /dashboard/assets/index-1a2b.js").reply(routes(dist))

    assert answer.status == 200
    assert "immutable" in str(answer.header("cache-control"))
    assert answer.header("content-security-policy") == POLICY


def test_what_is_not_part_of_the_page_is_not_found(dist: Path) -> None:
    assert request("GET /dashboard/other").reply(routes(dist)).status == 404


def test_a_page_that_is_not_built_says_how_to_build_it(tmp_path: Path) -> None:
    answer = request("GET /dashboard").reply(routes(tmp_path))

    assert answer.status == 503
    assert b"make setup" in answer.body
    assert answer.header("content-security-policy") == POLICY
