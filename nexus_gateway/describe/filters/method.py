"""`method`: the request's method. Those of one path make the `Allow` header of its 405."""

from __future__ import annotations

from nexus_gateway.describe.filter import Filter
from nexus_gateway.describe.node import Method


def get() -> Filter[()]:
    """Match GET, and HEAD, which the core answers with the head of the same answer."""
    return method("GET")


def head() -> Filter[()]:
    """Match HEAD only, for an answer whose head is cheaper made on its own."""
    return method("HEAD")


def post() -> Filter[()]:
    """Match POST."""
    return method("POST")


def put() -> Filter[()]:
    """Match PUT."""
    return method("PUT")


def patch() -> Filter[()]:
    """Match PATCH."""
    return method("PATCH")


def delete() -> Filter[()]:
    """Match DELETE."""
    return method("DELETE")


def options() -> Filter[()]:
    """Match OPTIONS; a CORS preflight is answered by the layer `cors` before it comes here."""
    return method("OPTIONS")


def query_method() -> Filter[()]:
    """Match QUERY: safe and repeatable like GET, with the question in the body (RFC 10008)."""
    return method("QUERY")


def method(name: str) -> Filter[()]:
    """Match one method by its name, upper case; join several with `|`.

    Raises:
        ValueError: the name is not an upper-case word.
    """
    if not (name.isascii() and name.isalpha() and name.isupper()):
        raise ValueError(f"a method is an upper-case word such as 'GET', found {name!r}")
    return Filter(Method(name))
