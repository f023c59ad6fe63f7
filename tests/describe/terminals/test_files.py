"""`files`: a folder served from memory, with what browsers need to keep it, and no way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nexus_gateway import Routes, compress, get, param, path, tail
from nexus_gateway.compile.compiler import compile_routes
from nexus_gateway.compile.format_plan import describe
from nexus_gateway.testing import Client, request
from tests.harness.in_process import refused

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


CONDITIONS = [
    # RFC 9110, section 13.2.2: If-Match, else If-Unmodified-Since; then If-None-Match, else
    # If-Modified-Since. `=` stands for the file's own tag or date.
    ([("if-match", "=")], 200),
    ([("if-match", '"other", =')], 200),
    ([("if-match", "*")], 200),
    ([("if-match", '"other"')], 412),
    ([("if-match", "W/=")], 412),
    ([("if-match", "")], 412),
    ([("if-unmodified-since", "=")], 200),
    ([("if-unmodified-since", "Thu, 01 Jan 2015 00:00:00 GMT")], 412),
    ([("if-unmodified-since", "yesterday")], 200),
    ([("if-match", "="), ("if-unmodified-since", "Thu, 01 Jan 2015 00:00:00 GMT")], 200),
    ([("if-match", '"other"'), ("if-none-match", "=")], 412),
    ([("if-match", "="), ("if-none-match", "=")], 304),
    ([("if-modified-since", "=")], 304),
    ([("if-modified-since", "Thu, 01 Jan 2099 00:00:00 GMT")], 304),
    ([("if-modified-since", "Thu, 01 Jan 2015 00:00:00 GMT")], 200),
    ([("if-modified-since", "1")], 200),
    ([("if-none-match", '"other"'), ("if-modified-since", "=")], 200),
    ([("if-none-match", "W/="), ("if-modified-since", "Thu, 01 Jan 2015 00:00:00 GMT")], 304),
    ([("if-unmodified-since", "="), ("if-modified-since", "=")], 304),
]


@pytest.mark.parametrize(("conditions", "status"), CONDITIONS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_conditions_decide_in_the_order_of_the_standard(
    client: Client, conditions: list[tuple[str, str]], status: int, method: str
) -> None:
    asked = request(f"{method} /page/assets/app-1a2b.js")
    plain = asked.reply(client)
    tag, date = plain.header("etag"), plain.header("last-modified")
    assert tag is not None
    assert date is not None

    for name, value in conditions:
        asked = asked.header(name, value.replace("=", date if name.endswith("since") else tag))
    answer = asked.reply(client)

    assert answer.status == status
    if status == 412 and method == "GET":
        assert refused(answer)[1].code == "precondition_failed"
    if status == 304:
        assert answer.body == b""
        assert (answer.header("etag"), answer.header("last-modified")) == (tag, date)
        assert answer.header("content-type") is None


def test_a_condition_that_finds_nothing_is_a_404(client: Client) -> None:
    assert request("GET /page/missing.js").header("if-match", "*").reply(client).status == 404


def test_a_compressed_file_that_is_known_keeps_its_weak_tag(client: Client) -> None:
    asked = request("GET /page/assets/app-1a2b.js").header("accept-encoding", "gzip")
    tag = asked.reply(client).header("etag")
    assert tag is not None

    answer = asked.header("if-none-match", tag).reply(client)

    assert (answer.status, answer.header("etag")) == (304, tag)


@pytest.mark.parametrize("fallback", [False, True])
def test_a_folder_is_its_index_and_redirects_where_its_slash_is_missing(
    folder: Path, *, fallback: bool
) -> None:
    (folder / "more" / "a b").mkdir()
    (folder / "more" / "a b" / "index.html").write_text("deeper")
    routes = (path("p") / tail("file") & get()).files(folder, fallback=fallback)
    with Client(routes) as client:
        for target in ("/p/", "/p/index.html"):
            assert b"<title>page" in request(f"GET {target}").reply(client).body
        assert request("GET /p/more/").reply(client).body == b"more"
        assert request("GET /p/more/a%20b/").reply(client).body == b"deeper"
        assert request("HEAD /p/").reply(client).status == 200
        for target, location in [
            ("/p", "/p/"),
            ("/p?a=1&b=%2F", "/p/?a=1&b=%2F"),
            ("/p/more", "/p/more/"),
            ("/p/more?x", "/p/more/?x"),
            ("/p/more/a%20b", "/p/more/a%20b/"),
        ]:
            answer = request(f"GET {target}").reply(client)
            assert (answer.status, answer.header("location"), answer.body) == (308, location, b"")
        # A folder without an index is nothing of its own.
        expected = 200 if fallback else 404
        assert request("GET /p/assets").reply(client).status == expected
        assert request("GET /p/assets/").reply(client).status == expected


def test_files_at_the_root_answer_for_the_root(folder: Path) -> None:
    with Client((path("") / tail("file") & get()).files(folder)) as client:
        assert b"<title>page" in request("GET /").reply(client).body
        assert request("GET /more").reply(client).header("location") == "/more/"
        assert request("GET //more").reply(client).status in {308, 404}
        assert request("GET //evil.example/").reply(client).status == 404


def test_without_an_index_a_folder_is_not_found(folder: Path) -> None:
    with Client((path("p") / tail("file") & get()).files(folder, index=None)) as client:
        for target in ("/p", "/p/", "/p/more", "/p/more/"):
            assert request(f"GET {target}").reply(client).status == 404
        assert request("GET /p/more/index.html").reply(client).status == 200


def test_a_route_of_its_own_answers_before_the_folder(folder: Path) -> None:
    routes = (path("p") / tail("file") & get()).files(folder) | (path("p") & get()).answer("own")

    assert request("GET /p").reply(routes).body == b"own"
    assert b"<title>page" in request("GET /p/").reply(routes).body


TYPES = {
    "a.mp4": "video/mp4",
    "a.webm": "video/webm",
    "a.mp3": "audio/mpeg",
    "a.ogg": "audio/ogg",
    "a.wav": "audio/wav",
    "a.flac": "audio/flac",
    "a.ttf": "font/ttf",
    "a.otf": "font/otf",
    "a.woff": "font/woff",
    "a.woff2": "font/woff2",
    "a.vtt": "text/vtt; charset=utf-8",
    "a.yaml": "application/yaml",
    "a.yml": "application/yaml",
    "a.toml": "application/toml",
    "a.md": "text/markdown; charset=utf-8",
    "a.avif": "image/avif",
    "a.webp": "image/webp",
    "a.wasm": "application/wasm",
    "a.mjs": "text/javascript; charset=utf-8",
    "a.js.map": "application/json",
    "a.jsonl": "application/x-ndjson",
    "a.csv": "text/csv; charset=utf-8",
    "a.pdf": "application/pdf",
    "a.ics": "text/calendar; charset=utf-8",
    "a.PNG": "image/png",
    "a.unknown": "application/octet-stream",
    "a": "application/octet-stream",
    "a.glb": "model/gltf-binary",
    "a.txt": "text/plain; charset=iso-8859-1",
}


def test_each_kind_of_file_has_its_type_and_may_be_given_another(folder: Path) -> None:
    for name in TYPES:
        (folder / name).write_bytes(b"x")
    own = {".GLB": "model/gltf-binary", "txt": "text/plain; charset=iso-8859-1"}
    with Client((path("p") / tail("file") & get()).files(folder, types=own)) as client:
        found = {
            name: request(f"GET /p/{name}").reply(client).header("content-type") for name in TYPES
        }

    assert found == TYPES


@pytest.mark.parametrize("types", [{"": "a/b"}, {"tar.gz": "a/b"}, {"a/b": "a/b"}, {"x": "text"}])
def test_types_that_cannot_be_are_refused(folder: Path, types: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"types names extensions|is not a content type"):
        request("GET /").reply((path("") & get()).files(folder, types=types))


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("a b.txt", "a%20b.txt"),
        ("a+b.txt", "a+b.txt"),
        ("a+b.txt", "a%2Bb.txt"),
        ("grün.txt", "gr%C3%BCn.txt"),
        ("100%.txt", "100%25.txt"),
        ("q?.txt", "q%3F.txt"),
        ("a#b.txt", "a%23b.txt"),
        ("~a;b=c,d.txt", "~a;b=c,d.txt"),
        ("~a.txt", "%7Ea.txt"),
    ],
)
def test_a_name_is_found_by_its_percent_encoding(folder: Path, name: str, target: str) -> None:
    (folder / name).write_text(name)

    answer = request(f"GET /p/{target}").reply((path("p") / tail("file") & get()).files(folder))

    assert answer.body.decode() == name


def test_hidden_files_are_not_served_wherever_they_are(folder: Path) -> None:
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("secret")
    (folder / "more" / ".htpasswd").write_text("secret")
    with Client((path("p") / tail("file") & get()).files(folder, fallback=True)) as client:
        for target in (".git/config", "more/.htpasswd", ".git", "%2egit/config"):
            assert b"secret" not in request(f"GET /p/{target}").reply(client).body


def test_head_tells_what_get_does_without_the_body(client: Client) -> None:
    answer = request("HEAD /page/assets/app-1a2b.js").reply(client)

    assert (answer.status, answer.body) == (200, b"")
    assert answer.header("content-length") == "2600"


@pytest.mark.parametrize("target", ["/page/.env", "/page//secret.txt", "/page/missing.js"])
def test_nothing_else_is_found(client: Client, target: str) -> None:
    status, said = refused(request(f"GET {target}").reply(client))

    assert (status, said.code) == (404, "not_found")


@pytest.mark.parametrize(
    "target",
    [
        "/page/../secret.txt",
        "/page/..%2fsecret.txt",
        "/page/%2e%2e/secret.txt",
        "/page/assets/..%5c..%5csecret.txt",
        "/page/index.html%00.js",
    ],
)
def test_a_path_that_climbs_or_cuts_is_no_path(client: Client, target: str) -> None:
    assert refused(request(f"GET {target}").reply(client))[0] in {400, 404}


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
