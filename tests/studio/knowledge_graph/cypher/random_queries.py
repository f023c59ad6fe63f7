"""Queries at random: patterns, conditions and results of whatever is known where they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hypothesis.strategies import DrawFn, SearchStrategy

PROPERTIES = ("entity_id", "name", "entity_type", "size", "price", "mark", "attributes.version")
NUMBERS = ("size", "price", "revision")
TEXTS = ("'a'", "'Alpha'", "'pkg'", "'other '", "$id", "''")
SIGNS = ("=", "<>", "<", "<=", ">", ">=")
ARROWS = (("-", "->"), ("<-", "-"), ("-", "-"))
STEPS = ("", "", "", "*1..2", "*2", "*0..1", ":depends", ":depends|uses", ":depends*1..3")


def queries() -> SearchStrategy[str]:
    """Make a query whose rows may come in any order."""
    return _query()


@st.composite
def _query(draw: DrawFn) -> str:
    known: list[str] = []
    parts = [draw(_match(known, "MATCH"))]
    for _ in range(draw(st.integers(0, 2))):
        kind = draw(st.sampled_from(["MATCH", "OPTIONAL MATCH", "WITH", "UNWIND"]))
        if kind == "WITH":
            parts.append(f"WITH DISTINCT {', '.join(known)}")
        elif kind == "UNWIND":
            name = f"u{len(parts)}"
            listed = draw(st.sampled_from(["$ids", "[1, 20, null]", "['a', 'x']"]))
            parts.append(f"UNWIND {listed} AS {name}")
            parts.append(draw(_match(known, "OPTIONAL MATCH")))
        else:
            parts.append(draw(_match(known, kind)))
    results = draw(st.lists(_result(known), min_size=1, max_size=3))
    named = ", ".join(f"{result} AS r{number}" for number, result in enumerate(results))
    distinct = draw(st.sampled_from(["", "DISTINCT "]))
    return f"{' '.join(parts)} RETURN {distinct}{named}"


@st.composite
def _match(draw: DrawFn, known: list[str], word: str) -> str:
    before = tuple(known)
    pattern = draw(_pattern(known))
    where = draw(st.none() | _condition(known))
    assert set(before) <= set(known)
    return f"{word} {pattern}" + ("" if where is None else f" WHERE {where}")


@st.composite
def _pattern(draw: DrawFn, known: list[str]) -> str:
    text = draw(_node(known))
    for _ in range(draw(st.integers(0, 2))):
        left, right = draw(st.sampled_from(ARROWS))
        text += f"{left}[{draw(st.sampled_from(STEPS))}]{right}{draw(_node(known))}"
    return text


@st.composite
def _node(draw: DrawFn, known: list[str]) -> str:
    name = draw(st.sampled_from("abcd"))
    if name in known:
        return f"({name})"
    known.append(name)
    label = draw(st.sampled_from(["", "", ":pkg", ":lib|app", ":Entity"]))
    properties = draw(
        st.sampled_from(["", "", " {entity_id: $id}", " {size: 20}", " {mark: 'other '}"])
    )
    return f"({name}{label}{properties})"


def _condition(known: Sequence[str]) -> SearchStrategy[str]:
    return st.recursive(
        _simple(known),
        lambda inner: st.one_of(
            inner.map(lambda one: f"NOT ({one})"),
            st.tuples(inner, st.sampled_from(["AND", "OR", "XOR"]), inner).map(
                lambda three: f"({three[0]}) {three[1]} ({three[2]})"
            ),
        ),
        max_leaves=4,
    )


@st.composite
def _simple(draw: DrawFn, known: Sequence[str]) -> str:
    one, other = draw(st.sampled_from(known)), draw(st.sampled_from(known))
    number, text = draw(st.sampled_from(NUMBERS)), draw(st.sampled_from(TEXTS))
    sign = draw(st.sampled_from(SIGNS))
    return draw(
        st.sampled_from(
            [
                f"{one}.{number} {sign} {draw(st.integers(-1, 31))}",
                f"{one}.{number} + 1 {sign} {other}.{number}",
                f"{one}.name {sign} {text}",
                f"{one}.name CONTAINS {text}",
                f"{one}.name STARTS WITH {text}",
                f"{one}.name IS NULL",
                f"{one}.entity_id IN [{text}, 'b', 'c']",
                f"'x' IN {one}.tags",
                f"{one} = {other}",
                f"({one})-->({other})",
                f"({one})-[:depends*1..2]-()",
                f"EXISTS {{ ({one})-[q]->(z) WHERE z.size {sign} {other}.size }}",
                f"COUNT {{ ({one})--(z:pkg) }} {sign} 1",
                f"any(t IN {one}.tags WHERE t = 'y')",
                f"coalesce({one}.name, {text}) {sign} 'B'",
                f"{one}.created_at {sign} $when",
            ]
        )
    )


@st.composite
def _result(draw: DrawFn, known: Sequence[str]) -> str:
    one, other = draw(st.sampled_from(known)), draw(st.sampled_from(known))
    name = draw(st.sampled_from(PROPERTIES))
    return draw(
        st.sampled_from(
            [
                one,
                f"{one}.{name}",
                f"{one}.attributes",
                f"[{one}.{name}, {other}.size]",
                f"{{k: {one}, v: {other}.name}}",
                f"collect({one}.{name})",
                f"collect(DISTINCT {one})",
                f"count({one})",
                f"count(DISTINCT {one}.{name})",
                "count(*)",
                f"min({one}.{name})",
                f"sum({one}.size)",
                f"[({one})-->(z) | z.{name}]",
                f"[({one})-[q]-(z:lib) WHERE z.size > 4 | z]",
                f"[t IN {one}.tags WHERE t <> 'x' | t + '!']",
                f"CASE WHEN {one}.size > 10 THEN {one}.name ELSE {other}.name END",
                f"EXISTS {{ ({one})-[:uses]->() }}",
                f"size({one}.tags) + {other}.size",
                f"toUpper({one}.name) + {other}.entity_id",
            ]
        )
    )
