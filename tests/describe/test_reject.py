"""Refusals: the kinds that the core knows, `Reject`, and what an exception is answered with."""

from __future__ import annotations

import logging

import msgspec
import pytest

from nexus_gateway import Detail, Reject, _core, get, path
from nexus_gateway.describe.reject import BY_CODE, KINDS
from nexus_gateway.server.error_response import refuse
from nexus_gateway.testing import request
from tests.harness.in_process import refused


async def fail() -> None:
    raise LookupError("the password is hunter2")


def test_the_kinds_are_the_cores() -> None:
    assert [(kind.code, kind.status, kind.sentence) for kind in KINDS] == _core.kinds()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_a_kind_says_what_to_do(kind: object) -> None:
    advice: str = getattr(kind, "advice")  # noqa: B009  # the parameter's type is pytest's to know

    assert advice.endswith(".")
    assert len(advice) > 60


def test_a_rejection_has_the_status_and_sentence_of_its_kind() -> None:
    rejection = Reject("not_found")

    assert (rejection.status, rejection.message) == (404, BY_CODE["not_found"].sentence)
    assert refuse(rejection, "r1") == ("not_found", 404, BY_CODE["not_found"].sentence, None, ())


def test_a_rejection_may_say_more() -> None:
    detail = Detail("body", "tags[0]", "str", "expected `str`, got `int`")
    rejection = Reject(
        "validation_error",
        "a tag is wrong",
        status=400,
        details=[detail],
        headers=[("x-a", "b")],
        retry_after=3,
    )

    code, status, message, details, headers = refuse(rejection, "r1")

    assert (code, status, message) == ("validation_error", 400, "a tag is wrong")
    assert msgspec.json.decode(details or b"", type=list[Detail]) == [detail]
    assert headers == (("x-a", "b"), ("retry-after", "3"))


def test_a_code_that_does_not_exist_is_refused() -> None:
    with pytest.raises(
        ValueError, match="'teapot' is not a kind of refusal: authentication_failed"
    ):
        Reject("teapot")  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [200, 399, 600])
def test_a_status_that_is_no_error_is_refused(status: int) -> None:
    with pytest.raises(ValueError, match=f"found {status}"):
        Reject("conflict", status=status)


def test_anything_else_is_an_internal_error_that_tells_nothing() -> None:
    answer = request("GET /x").reply((path("x") & get()).then(fail))

    status, error = refused(answer)

    assert (status, error.code, error.error) == (500, "internal_error", "the gateway failed")
    assert b"hunter2" not in answer.body


def test_an_internal_error_is_logged_once_with_its_handler(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        request("GET /x").reply((path("x") & get()).then(fail))

    (record,) = [each for each in caplog.records if each.name == "nexus_gateway.describe.handler"]
    assert "fail() (" in record.getMessage()
    assert "test_reject.py:" in record.getMessage()
    assert "raised LookupError" in record.getMessage()
    assert record.exc_info is not None


def test_an_internal_error_in_a_map_names_the_function(caplog: pytest.LogCaptureFixture) -> None:
    async def show(value: object) -> None: ...

    def broken() -> int:
        raise ZeroDivisionError

    request("GET /x").reply((path("x") & get()).map(broken).then(show))

    assert "broken() (" in caplog.text


def test_an_exception_that_was_never_raised_is_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    assert refuse(ValueError("x"), "r1")[0] == "internal_error"
    assert "a handler raised ValueError" in caplog.text


def test_a_validation_error_of_the_handlers_own_is_no_fault_of_the_caller() -> None:
    async def decode() -> list[int]:
        return msgspec.json.decode(b'"x"', type=list[int])

    status, error = refused(request("GET /x").reply((path("x") & get()).then(decode)))

    assert (status, error.code) == (500, "internal_error")
