"""`files`: a folder served from memory, with what browsers need to keep it, and no way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nexus_gateway import Routes, compress, get, param, path, tail
from nexus_gateway.compile import compile_routes
from nexus_gateway.describe import describe
from nexus_gateway.testing import Client, request
from tests.gateway import refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

YEAR = "public, max-age=31536000, immutable"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a page with an asset, a hidden file, and a secret beside the folder."""
    (tmp_path / "secret.txt").write_text("secret")
    page = tmp_path / "page"
    (page / "assets").mkdir(parents=True)
    (page / "more").mkdir()
    (page / "index.html").write_text("<!doctype html><title>page</title>")
    (page / "more" / "index.html").write_text("more")
    (page / "assets" / "app-1a2b.js").write_text("export const answer = 42;\n" * 100)
    (page / ".env").write_text("secret")
    return page


@pytest.fixture
def client(folder: Path) -> Iterator[Client]:
    """Serve the page as the studio serves its own."""
    chain = path("page") / tail("file") & get()
    served = (path("page") & get()).files(folder) | chain.files(
        folder, fallback=True, immutable=("assets/",), headers=(("referrer-policy", "same-origin"),)
    )
    with Client(served.wrap(compress())) as client:
        yield client


@pytest.mark.parametrize("target", ["/page", "/page/index.html", "/page/some/place", "/page/x"])
def test_the_index_answers_for_the_folder_and_for_places_within_the_page(
    client: Client, target: str
) -> None:
    answer = request(f"GET {target}").reply(client)

    assert (answer.status, answer.body) == (200, b"<!doctype html><title>page</title>")
    assert answer.header("content-type") == "text/html; charset=utf-8"
    assert answer.header("cache-control") == "no-cache"
    assert answer.header("x-content-type-options") == "nosniff"


def test_a_folder_below_has_its_own_index(client: Client) -> None:
    assert request("GET /page/more/").reply(client).body == b"more"


def test_a_file_that_never_changes_is_kept_for_a_year(client: Client) -> None:
    answer = request("GET /page/assets/app-1a2b.js").reply(client)

    assert answer.header("cache-control") == YEAR
    assert answer.header("content-type") == "text/javascript; charset=utf-8"
    assert answer.header("referrer-policy") == "same-origin"


def test_a_client_that_has_the_file_is_told_so(client: Client) -> None:
    asked = request("GET /page/assets/app-1a2b.js")
    tag = asked.reply(client).header("etag")
    assert tag is not None

    for given in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        answer = asked.header("if-none-match", given).reply(client)
        assert (answer.status, answer.body) == (304, b"")
        assert answer.header("etag") == tag
        assert answer.header("cache-control") == YEAR
    assert asked.header("if-none-match", '"other"').reply(client).status == 200


def test_a_compressed_file_has_a_weak_tag_that_is_known_again(client: Client) -> None:
    asked = request("GET /page/assets/app-1a2b.js").header("accept-encoding", "gzip")
    answer = asked.reply(client)
    tag = answer.header("etag")

    assert answer.header("content-encoding") == "gzip"
    assert tag is not None
    assert tag.startswith("W/")
    assert asked.header("if-none-match", tag).reply(client).status == 304


def test_head_tells_what_get_does_without_the_body(client: Client) -> None:
    answer = request("HEAD /page/assets/app-1a2b.js").reply(client)

    assert (answer.status, answer.body) == (200, b"")
    assert answer.header("content-length") == "2600"


@pytest.mark.parametrize(
    "target",
    [
        "/page/../secret.txt",
        "/page/..%2fsecret.txt",
        "/page/%2e%2e/secret.txt",
        "/page/assets/..%5c..%5csecret.txt",
        "/page/.env",
        "/page//secret.txt",
        "/page/missing.js",
        "/page/index.html%00.js",
    ],
)
def test_nothing_else_is_found(client: Client, target: str) -> None:
    status, said = refused(request(f"GET {target}").reply(client))

    assert (status, said.code) == (404, "not_found")


def test_without_a_fallback_only_what_is_there_is_found(folder: Path) -> None:
    routes = (path("page") / tail("file") & get()).files(folder)

    assert request("GET /page/some/place").reply(routes).status == 404


def test_a_link_that_leads_out_of_the_folder_keeps_the_gateway_from_starting(folder: Path) -> None:
    (folder / "link.txt").symlink_to(folder.parent / "secret.txt")

    with pytest.raises(ValueError, match=r"link\.txt leads out of the folder"):
        request("GET /").reply((path("") & get()).files(folder))


def test_a_link_to_a_folder_keeps_the_gateway_from_starting(folder: Path) -> None:
    (folder / "again").symlink_to(folder)

    with pytest.raises(ValueError, match="again is a link to a folder"):
        request("GET /").reply((path("") & get()).files(folder))


def test_a_folder_or_an_index_that_is_missing_keeps_the_gateway_from_starting(
    folder: Path,
) -> None:
    with pytest.raises(ValueError, match="No such file"):
        request("GET /").reply((path("") & get()).files(folder / "nowhere"))
    with pytest.raises(ValueError, match=r'the index "home.html" is not there'):
        request("GET /").reply((path("") & get()).files(folder, index="home.html"))


def test_a_header_that_cannot_be_sent_keeps_the_gateway_from_starting(folder: Path) -> None:
    with pytest.raises(ValueError, match="a header"):
        request("GET /").reply((path("") & get()).files(folder, headers=(("a b", "c"),)))


def test_a_chain_with_several_values_is_refused(folder: Path) -> None:
    chain = path("x") / param("a", str) / tail("file") & get()

    with pytest.raises(TypeError, match="extracts 2 values"):
        chain.files(folder)  # type: ignore[misc]  # what is tested


def test_a_fallback_needs_an_index(folder: Path) -> None:
    with pytest.raises(ValueError, match="there is none"):
        (path("x") & get()).files(folder, index=None, fallback=True)


def test_a_route_of_files_says_so(folder: Path) -> None:
    compiled = compile_routes(Routes((path("page") & get()).files(folder)))

    assert describe(compiled.plan.routes[0]).endswith(f"→ files({folder})")
    assert compiled.plan.routes[0].name == "files"
