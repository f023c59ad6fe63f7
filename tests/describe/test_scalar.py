"""Types as scalars of the plan: what the core can check, and what is refused before any request."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Literal, NewType

import msgspec
import pytest
from msgspec import Meta

from nexus_gateway import Filter, header, param, plan, query
from nexus_gateway.describe.node import Native
from nexus_gateway.describe.scalar import parameter

if TYPE_CHECKING:
    from collections.abc import Callable

EntityId = NewType("EntityId", int)


class Word(enum.Enum):
    UP = "up"
    DOWN = "down"


class Number(enum.IntEnum):
    ONE = 1
    TWO = 2


class Sorting(enum.StrEnum):
    ASCENDING = "asc"


@pytest.mark.parametrize(
    ("kind", "scalar"),
    [
        (int, plan.Int()),
        (EntityId, plan.Int()),
        (Annotated[int, Meta(ge=1, le=9)], plan.Int(ge=1, le=9)),
        (Annotated[int, Meta(gt=1, lt=9)], plan.Int(ge=2, le=8)),
        (Annotated[EntityId, Meta(ge=1)], plan.Int(ge=1)),
        (float, plan.Float()),
        (Annotated[float, Meta(gt=0, le=1)], plan.Float(gt=0.0, le=1.0)),
        (Annotated[float, Meta(ge=0, lt=1)], plan.Float(ge=0.0, lt=1.0)),
        (bool, plan.Bool()),
        (str, plan.Str()),
        (
            Annotated[str, Meta(min_length=1, max_length=5, pattern="^a")],
            plan.Str(min_length=1, max_length=5, pattern="^a"),
        ),
        (Annotated[str, Meta(description="a name")], plan.Str()),
        (Literal["a", "b"], plan.Choice(values=("a", "b"))),
        (Literal[1, 2], plan.Choice(values=("1", "2"))),
        (Word, plan.Choice(values=("up", "down"))),
        (Number, plan.Choice(values=("1", "2"))),
        (uuid.UUID, plan.Uuid()),
        (dt.datetime, plan.Datetime()),
        (Annotated[dt.datetime, Meta(tz=True)], plan.Datetime()),
        (dt.date, plan.Date()),
        (int | None, plan.Int()),
    ],
)
def test_a_type_is_a_scalar(kind: object, scalar: plan.Scalar) -> None:
    assert parameter("query", "x", kind).kind == scalar


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (Decimal, "the core cannot check Decimal"),
        (dict[str, int], "the core cannot check dict"),
        (int | str, "the core cannot check"),
        (msgspec.Struct, "the core cannot check Struct"),
        (bytes, "the core cannot check bytes"),
        (dt.timedelta, "the core cannot check timedelta"),
        (Annotated[dt.datetime, Meta(tz=False)], "the core cannot check"),
        (Annotated[int, Meta(multiple_of=2)], "cannot check multiple_of"),
        (Annotated[float, Meta(multiple_of=0.5)], "cannot check multiple_of"),
        (Annotated[int, Meta(ge=2**63)], "don't fit in an int64"),
        (Annotated[int, Meta(gt=2**63 - 1)], "gt >= 2**63 - 1 is not supported"),
        (Annotated[str, Meta(pattern="(?=a)b")], "has look-around or a back-reference"),
        (Annotated[str, Meta(pattern=r"(a)\1")], "has look-around or a back-reference"),
        (Annotated[str, Meta(ge=1)], "ge"),
    ],
)
@pytest.mark.parametrize("describe", [param, header, query])
def test_a_type_that_the_core_cannot_check_is_refused_by_name(
    describe: Callable[[str, object], object], kind: object, problem: str
) -> None:
    with pytest.raises(TypeError, match="parameter 'x'") as caught:
        describe("x", kind)

    assert problem in str(caught.value)


@pytest.mark.parametrize("describe", [param, header])
def test_only_a_query_may_repeat_a_value(describe: Callable[[str, object], object]) -> None:
    with pytest.raises(TypeError, match="parameter 'x': the core cannot check list"):
        describe("x", list[int])


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (list[dict[str, int]], "the core cannot check"),
        (tuple[int, ...], "repeated values are a list"),
        (Annotated[list[int], Meta(max_length=3)], "cannot check the length"),
        (list[list[int]], "the core cannot check"),
    ],
)
def test_a_list_that_the_core_cannot_check_is_refused(kind: object, problem: str) -> None:
    with pytest.raises(TypeError, match="query parameter 'x'") as caught:
        query("x", kind)  # type: ignore[call-overload]  # a type known at run time only

    assert problem in str(caught.value)


def test_words_of_text_need_no_conversion() -> None:
    assert parameter("path", "x", Literal["a", "b"]).conversion is None
    assert parameter("path", "x", Word).conversion is not None
    assert parameter("path", "x", Sorting).conversion is not None


def test_a_filter_holds_the_plans_step() -> None:
    chain: Filter[int] = header("X-Depth", int)

    assert chain.node == Native(plan.Header(name="x-depth", kind=plan.Int()), int)
