"""URLs of servers: what each part means, and that all else is refused by name."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_gateway.studio.storage.urls import check_neo4j_url, check_redis_url, postgres_address

PLAIN = "postgresql://nexus:p%40ss@db.example:5433/studio"


def test_a_plain_url_is_left_as_it_is() -> None:
    address = postgres_address(PLAIN)

    assert (address.dsn, address.connect_timeout, address.settings) == (PLAIN, None, {})


def test_parameters_go_to_whom_they_concern() -> None:
    address = postgres_address(
        f"{PLAIN}?connect_timeout=7&sslmode=require&application_name=mine&tcp_keepalives_idle=30"
        "&client_encoding=UTF-8"
    )

    assert address.dsn == f"{PLAIN}?sslmode=require"
    assert address.connect_timeout == 7
    assert address.settings == {"application_name": "mine", "tcp_keepalives_idle": "30"}


def test_a_connect_timeout_of_0_leaves_the_gateways_own() -> None:
    assert postgres_address(f"{PLAIN}?connect_timeout=0").connect_timeout is None


def test_several_hosts_and_ipv6_are_addresses() -> None:
    url = "postgresql://nexus@one:5432,[::1]:5433,three/studio?target_session_attrs=read-write"

    assert postgres_address(url).dsn == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (f"{PLAIN}?keepalives=1", "'keepalives' is not supported: use the server's"),
        (f"{PLAIN}?statement_timeout=5", "set NEXUS_DATABASE_TIMEOUT"),
        (f"{PLAIN}?pool_size=5", "set NEXUS_DATABASE_POOL"),
        (f"{PLAIN}?sslmode=yes", "'sslmode': expected one of disable, allow"),
        (f"{PLAIN}?sslmode=require&sslmode=disable", "'sslmode' is there twice"),
        (f"{PLAIN}?sslmode=", "'sslmode' has no value"),
        (f"{PLAIN}?sslmode", "name=value"),
        (f"{PLAIN}?connect_timeout=-1", "whole seconds from 0 to 600"),
        (f"{PLAIN}?connect_timeout=1e3", "whole seconds"),
        (f"{PLAIN}?client_encoding=LATIN1", "only UTF8"),
        (f"{PLAIN}?default_transaction_isolation=serializable", "isolation of each transaction"),
        ("postgresql+asyncpg://db/x", "found the scheme 'postgresql+asyncpg'"),
        ("postgresql:/db/x", "found the scheme"),
        ("postgresql://db:0/x", "a port from 1 to 65535"),
        ("postgresql://db:x/x", "a port from 1 to 65535"),
        ("postgresql://[::1/x", "expected postgresql://"),
        ("postgresql://u:100%@db/x", "'%' itself is %25"),
        ("postgresql://u:a#b@db/x", "is %23"),
        ("postgresql://d b/x", "a space"),
    ],
)
def test_a_part_that_is_not_supported_is_named(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)) as caught:
        postgres_address(url)

    assert "p%40ss" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["redis://localhost", "redis://:p@[::1]:6379/15", "redis://u:p@r.example:6379/"]
)
def test_a_redis_has_an_address_and_a_number(url: str) -> None:
    check_redis_url(url)


@pytest.mark.parametrize("url", ["redis://a,b:1/0", "redis:///0", "redis://h/-1", "redis://h/٣"])
def test_a_redis_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        check_redis_url(url)


def test_a_neo4j_has_an_address_alone() -> None:
    check_neo4j_url("neo4j+s://db.example:7687")
    with pytest.raises(ValueError, match="found the path"):
        check_neo4j_url("bolt://db/graph")


@given(st.text(max_size=40))
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    for check in (postgres_address, check_redis_url, check_neo4j_url):
        for scheme in ("postgresql://", "redis://", "bolt://", ""):
            with contextlib.suppress(ValueError):
                check(scheme + text)
