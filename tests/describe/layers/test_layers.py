"""Layers: what is written of each, and what is refused while it is described."""

from __future__ import annotations

import pytest

from nexus_gateway import compress, cors, limit, log, plan


def test_a_log_has_a_level() -> None:
    assert log() == plan.Log(level="info")
    assert log("error") == plan.Log(level="error")


def test_cors_names_its_origins_and_what_scripts_may_read() -> None:
    layer = cors(["https://a.example", "http://localhost:5173"], headers=["X-A"], max_age=5)

    assert layer.origins == ("https://a.example", "http://localhost:5173")
    assert layer.headers == ("x-a",)
    assert layer.max_age == 5
    assert "x-request-id" in layer.expose


@pytest.mark.parametrize(
    "origin",
    [
        "https://a.example/",
        "a.example",
        "https://",
        "https://A.example",
        "https://u@a.example",
        "null",
        "https://a.example?x",
    ],
)
def test_an_origin_is_as_browsers_write_it(origin: str) -> None:
    with pytest.raises(ValueError, match="an origin is") as caught:
        cors([origin])

    assert repr(origin) in str(caught.value)


def test_a_star_stands_alone_and_without_credentials() -> None:
    assert cors(["*"]).origins == ("*",)
    with pytest.raises(ValueError, match="so it stands alone"):
        cors(["*", "https://a.example"])
    with pytest.raises(ValueError, match="does not go with credentials"):
        cors(["*"], credentials=True)


def test_the_request_headers_that_pages_may_send_are_a_list() -> None:
    assert {"authorization", "content-type", "if-match"} <= set(cors(["*"]).headers)
    assert cors(["*"], headers=["*"]).headers == ("*",)
    assert cors(["*"], headers=[]).headers == ()
    with pytest.raises(ValueError, match="so it stands alone"):
        cors(["*"], headers=["*", "x-a"])
    with pytest.raises(ValueError, match="does not go with credentials"):
        cors(["https://a.example"], headers=["*"], credentials=True)
    for wrong in ("", "a b", "a,b", "ü"):
        with pytest.raises(ValueError, match="a header's name"):
            cors(["*"], headers=[wrong])


def test_compression_knows_its_encodings() -> None:
    assert compress(min_bytes=1).min_bytes == 1
    with pytest.raises(ValueError, match="the encodings are br, gzip; found 'zstd'"):
        compress(encodings=["zstd"])


def test_an_address_limit_is_a_rate() -> None:
    assert limit("5/s burst 9") == plan.AddressLimit(requests=5, period_ms=1000, burst=9)
    assert limit("5/s", burst=9) == limit("5/s burst 9")
