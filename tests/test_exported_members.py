"""The public names of the kernel: what a program may import stays where it is."""

from __future__ import annotations

import inspect

import pytest

import nexus_gateway
import nexus_gateway.describe.filters
import nexus_gateway.describe.layers
import nexus_gateway.describe.terminals
import nexus_gateway.realtime.hub
import nexus_gateway.server

NAMES = [
    "Chunks",
    "Claims",
    "Code",
    "Detail",
    "Filter",
    "Kind",
    "Layer",
    "Param",
    "Path",
    "Reject",
    "Reply",
    "Response",
    "Route",
    "Routes",
    "Trace",
    "accepted",
    "auth",
    "blocking",
    "body",
    "body_bytes",
    "body_text",
    "compress",
    "cors",
    "created",
    "delete",
    "get",
    "head",
    "header",
    "html",
    "limit",
    "log",
    "method",
    "no_content",
    "options",
    "param",
    "patch",
    "path",
    "post",
    "public",
    "put",
    "query",
    "query_method",
    "rate_limit",
    "require",
    "route",
    "see_other",
    "state",
    "tail",
    "timeout",
    "trace",
    "use",
]
PACKAGES = [
    nexus_gateway,
    nexus_gateway.describe.filters,
    nexus_gateway.describe.layers,
    nexus_gateway.describe.terminals,
    nexus_gateway.realtime.hub,
    nexus_gateway.server,
]


def test_the_public_names_are_these() -> None:
    assert nexus_gateway.__all__ == NAMES


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_all_names_exist_and_are_sorted(package: object) -> None:
    names: list[str] = getattr(package, "__all__")  # noqa: B009  # a module's, whichever it is

    assert names == sorted(names)
    assert [name for name in names if not hasattr(package, name)] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_documented(name: str) -> None:
    member: object = getattr(nexus_gateway, name)

    if inspect.isclass(member) or inspect.isfunction(member):
        assert inspect.getdoc(member)
