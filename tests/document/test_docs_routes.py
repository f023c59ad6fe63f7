"""The pages of the contract: served by the core, self-contained, and one for every code."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
from shutil import which

import msgspec
import pytest

from nexus_gateway import Routes, get, param, path
from nexus_gateway.describe.reject import KINDS, Kind
from nexus_gateway.document.docs_routes import contract_routes
from nexus_gateway.testing import Answer, Client, request


async def show(id: int) -> str:
    """Show one."""
    return str(id)


ROUTES = Routes((path("x") / param("id", int) & get()).then(show))
SERVED = ROUTES | contract_routes(ROUTES, title="Test & more", version="2.0")


def answer(target: str) -> Answer:
    return request(f"GET {target}").reply(SERVED)


def test_the_document_is_served_as_json() -> None:
    found = answer("/openapi.json")

    document = msgspec.json.decode(found.body)
    assert found.header("content-type") == "application/json"
    assert document["info"] == {"title": "Test & more", "version": "2.0"}
    assert list(document["paths"]) == ["/x/{id}"]


def test_the_docs_page_needs_nothing_from_elsewhere() -> None:
    page = answer("/docs").body.decode()

    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    assert "@import" not in page
    assert 'fetch("openapi.json")' in page


@pytest.mark.parametrize("target", ["/docs", "/errors", "/errors/token_expired"])
def test_a_page_allows_only_what_it_is_shipped_with(target: str) -> None:
    found = answer(target)

    policy = found.header("content-security-policy") or ""
    page = found.body.decode()
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        for block in re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL):
            digest = base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in policy
    assert not re.search(r"\son\w+=|\sstyle=|javascript:", page)
    assert found.header("x-content-type-options") == "nosniff"


def test_the_script_of_the_docs_page_is_javascript(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", answer("/docs").body.decode(), re.DOTALL)
    file = tmp_path_factory.mktemp("script") / "docs.js"
    file.write_text(script)

    node = which("node")
    if node is None:
        pytest.skip("no node here")
    done = subprocess.run([node, "--check", file], capture_output=True, check=False, text=True)

    assert done.stderr == ""


def test_every_code_has_a_page_and_the_list_links_it() -> None:
    with Client(SERVED) as client:
        listed = client.send(request("GET /errors")).body.decode()
        for kind in KINDS:
            page = client.send(request(f"GET /errors/{kind.code}"))
            text = page.body.decode()

            assert page.status == 200
            assert f'href="/errors/{kind.code}"' in listed
            assert f"Status {kind.status}" in text


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_a_page_says_whether_to_retry(kind: Kind) -> None:
    assert "<h2>Retry?</h2>" in answer(f"/errors/{kind.code}").body.decode()


def test_a_code_that_does_not_exist_is_not_found() -> None:
    assert answer("/errors/teapot").status == 404
