"""What is not of the language is refused at its place, with what was expected."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nexus_gateway.studio.knowledge_graph.cypher.cost import estimate
from nexus_gateway.studio.knowledge_graph.cypher.figures import Figures
from nexus_gateway.studio.knowledge_graph.cypher.functions import NAMES
from nexus_gateway.studio.knowledge_graph.cypher.misread import Misread, Writes, place
from nexus_gateway.studio.knowledge_graph.cypher.parse import CLAUSES, parse
from nexus_gateway.studio.knowledge_graph.cypher.statement import compiled

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("", (1, 1), "expected MATCH, OPTIONAL MATCH, UNWIND, WITH or RETURN, found the end"),
        ("MATCH (n)", (1, 10), "expected WHERE, MATCH,"),
        ("MATCH (n RETURN n", (1, 10), "expected ':', '{' or ')', found 'RETURN'"),
        ("MATCH n RETURN n", (1, 7), "expected a node, such as (n), found 'n'"),
        ("MATCH (a)-[r]>(b) RETURN a", (1, 14), "expected '-', found '>'"),
        ("MATCH (a)-[*]->(b) RETURN b", (1, 12), "a length with an end of at most 6"),
        ("MATCH (a)-[*2..]->(b) RETURN b", (1, 12), "a length with an end of at most 6"),
        ("MATCH (a)-[*1..7]->(b) RETURN b", (1, 12), "a length with an end of at most 6"),
        ("MATCH (a)-[*3..2]->(b) RETURN b", (1, 12), "does not end before it begins"),
        ("MATCH (n:a&b) RETURN n", (1, 11), "'|' between labels"),
        ("MATCH (n:a:b) RETURN n", (1, 9), "a node has one type"),
        ("MATCH (n WHERE n.x = 1) RETURN n", (1, 10), "a condition stands after the pattern"),
        ("MATCH (n $map) RETURN n", (1, 10), "a map of properties"),
        ("MATCH (n) WHERE n.name =~ '.*' RETURN n", (1, 24), "regular expressions"),
        ("RETURN 'open", (1, 8), "a text has no end"),
        ("RETURN `open", (1, 8), "a name has no end"),
        ("RETURN ``", (1, 8), "a name between the backquotes"),
        ("RETURN '\\q'", (1, 9), "expected an escape"),
        ("RETURN '\\ud800'", (1, 9), "which is none"),
        ("RETURN 12abc", (1, 8), "expected a number such as"),
        ("RETURN 9223372036854775808", (1, 8), "a number of 64 bits"),
        ("RETURN 1e999", (1, 8), "a number of 64 bits"),
        ("RETURN 123456789012345678901234567890", (1, 8), "a number of 64 bits"),
        ("RETURN #", (1, 8), "expected a part of a query, found '#'"),
        ("RETURN $", (1, 8), "a parameter's name"),
        ("RETURN (1", (1, 10), "expected ')', found the end"),
        ("RETURN [1, 2", (1, 13), "expected ',' or ']'"),
        ("RETURN {a 1}", (1, 11), "expected ':'"),
        ("RETURN {a: 1, a: 2}", (1, 8), "a name twice"),
        ("RETURN CASE 1 END", (1, 15), "expected WHEN"),
        ("RETURN 1 AS", (1, 12), "expected a name"),
        ("RETURN 1,", (1, 10), "expected a value"),
        ("RETURN 1 LIMIT 1 SKIP 1", (1, 18), "expected the end of the query"),
        ("RETURN 1; RETURN 2", (1, 11), "expected the end of the query, found 'RETURN'"),
        ("RETURN 1 UNION RETURN 1 UNION ALL RETURN 1", (1, 25), "either each has ALL or none"),
        ("RETURN EXISTS { MATCH (n) RETURN n }", (1, 27), "a subquery is one MATCH here"),
        ("RETURN shortestPath((a)-[*..3]->(b))", (1, 8), "stands in MATCH"),
        ("MATCH shortestPath((a)-->(b)) RETURN a", (1, 7), "one edge of variable length"),
        ("MATCH allShortestPaths((a)-[*..3]->(b)) RETURN a", (1, 7), "ask /paths"),
        ("RETURN " + "(" * 50 + "1" + ")" * 50, (1, 48), "40 levels"),
        ("RETURN " + "[" * 50 + "1" + "]" * 50, (1, 48), "40 levels"),
        ("RETURN apoc.text.join(['a'], '')", (1, 22), "whose names have no dot"),
        ("RETURN " + "1 + " * 90 + "1", (1, 72), "80 parts within one another"),
        ("RETURN $x" + "[0]" * 90, (1, 56), "80 parts within one another"),
        ("RETURN $x" + ".attributes" * 90, (1, 8), "80 parts within one another"),
        ("RETURN [" + "1, " * 2000 + "1]", (1, 6006), "no more than 4,000 words and signs"),
        ("MATCH (a)" + "--()" * 40 + " RETURN a", (1, 136), "32 nodes in all patterns"),
        (" WITH 1 AS x" * (CLAUSES + 1), (1, 1 + 12 * CLAUSES + 1), "no more than 24 clauses"),
    ],
)
def test_a_text_that_cannot_be_read_is_refused_at_its_place(
    text: str, where: tuple[int, int], message: str
) -> None:
    with pytest.raises(Misread) as caught:
        parse(text)

    assert message in str(caught.value)
    assert place(text, caught.value.at) == where


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("RETURN n", "the name 'n' is not known here"),
        ("MATCH (n) WITH n.name AS x RETURN n", "the name 'n' is not known here"),
        ("MATCH (n) WITH n.name RETURN 1", "expected a name for n.name, with AS"),
        ("MATCH (n) WHERE (n)-->(m) RETURN n", "the name 'm' is not known here: use EXISTS"),
        ("MATCH (n), (m {size: n.size}) RETURN m", "the name 'n' is not known here"),
        ("MATCH (n)-[n]->() RETURN n", "the name 'n' is known, and stands alone here"),
        ("MATCH (a)-[r]->(b) MATCH (r) RETURN a", "is of something that is no node"),
        ("MATCH p = (n), p = (m) RETURN p", "the name 'p' is known already"),
        ("UNWIND [1] AS x UNWIND [2] AS x RETURN x", "the name 'x' is known already"),
        ("MATCH (n) RETURN n.name, n.name", "two columns are called 'n.name'"),
        ("MATCH (n) RETURN n + 1", "a value"),
        ("MATCH (n) RETURN n < n", "expected a value before <, found a node"),
        ("MATCH (n) RETURN n = 1", "what a node can be compared with, found a value"),
        ("MATCH (n) RETURN toLower(n)", "expected a value, found a node"),
        ("MATCH (n) RETURN type(n)", "expected an edge, found a node"),
        ("MATCH (n) RETURN length(n)", "expected a path, found a node"),
        ("MATCH (n) RETURN n ORDER BY n", "a value to sort by"),
        ("MATCH (n) RETURN sum(n)", "expected a value, found a node"),
        ("MATCH (n) RETURN n.attributes + 1", "what all attributes of a thing can be added to"),
        ("MATCH (n {attributes: {a: 1}}) RETURN n", "all attributes of a thing"),
        ("MATCH (n) WHERE n.name.first = 1 RETURN n", "a value that is no map has no property"),
        ("MATCH (n) WHERE n.created_at > 1 RETURN n", "a time, as a text or a parameter"),
        ("MATCH (n) WHERE n.created_at > 'now' RETURN n", "a time such as '2026-01-01T00:00:00Z'"),
        ("MATCH (n) WHERE n.created_at > '2026-01-01T00:00:00' RETURN n", "expected a time"),
        ("MATCH (n) RETURN n.`a b`", "words of at most 64 letters"),
        ("MATCH (n)-[:`a b`]->() RETURN n", "is no type of edges"),
        ("MATCH ()-[r {source: 'a'}]->() RETURN r", "is said by its pattern"),
        ("MATCH (n) WHERE count(n) > 1 RETURN n", "count stands in WITH or RETURN"),
        ("MATCH (n) RETURN sum(count(n))", "and in no other aggregate"),
        ("MATCH (n) RETURN count(*) + n.size", "'n' stands beside an aggregate"),
        ("MATCH (n) RETURN DISTINCT n.name ORDER BY n.size", "a column to sort by"),
        ("MATCH (n) RETURN count(n) ORDER BY n.size", "a column to sort by"),
        ("MATCH (n) RETURN n LIMIT n.size", "a whole number from 0 on, or a parameter"),
        ("MATCH (n) RETURN n LIMIT -1", "a whole number from 0 on, or a parameter"),
        ("RETURN range(1)", "expected 2 to 3 arguments of range, found 1"),
        ("MATCH (n) RETURN range(1, n.size)", "a number, a parameter or a size"),
        ("RETURN rand()", "expected one of the functions abs,"),
        ("RETURN *", "something that is known before '*'"),
        ("RETURN {`a b`: 1}", "a plain word as a map's key"),
        ("RETURN 1 AS x UNION RETURN 1 AS y", "the columns of before UNION: x"),
        ("MATCH (n) RETURN n AS x UNION RETURN 1 AS x", "the columns of before UNION"),
        ("MATCH p = shortestPath((a)-[r*..3]->(b)) RETURN p", "no name and no properties"),
        ("MATCH p = shortestPath((a)-[*2..3]->(b)) RETURN p", "begins with 1 step"),
    ],
)
def test_a_query_that_means_nothing_is_refused_with_a_sentence(text: str, message: str) -> None:
    with pytest.raises(Misread) as caught:
        compiled(text, None)

    assert message in str(caught.value)
    assert 0 <= caught.value.at <= len(text)


@pytest.mark.parametrize("word", ["create", "Merge", "SET", "DELETE", "REMOVE", "CALL", "INSERT"])
@pytest.mark.parametrize("before", ["", "MATCH (n) ", "MATCH (n) WHERE n.x = 1 ", "WITH 1 AS x "])
def test_a_clause_that_writes_is_refused_wherever_a_clause_may_stand(
    before: str, word: str
) -> None:
    text = f"{before}{word} (n) RETURN n"

    with pytest.raises(Writes) as caught:
        parse(text)

    assert caught.value.clause == word.upper()
    assert caught.value.at == len(before)


def test_what_looks_like_a_clause_in_a_text_or_a_name_is_none() -> None:
    parse("MATCH (n) WHERE n.`delete` = 'DELETE n' RETURN n.set AS `create` // SET n.x = 1")


@given(
    st.text(max_size=200) | st.text("()[]{}<>-=*.,:;|'\"`$\\ \nMATCHRETURNWHnrxp01", max_size=80)
)
@example("MATCH (n) RETURN n.\x00")
@example("RETURN \N{ARABIC-INDIC DIGIT ONE}")
@example("RETURN 1" + "٣")
def test_any_text_is_read_or_refused_with_its_place(text: str) -> None:
    assert 0 <= _end_of(text) <= len(text)


def _end_of(text: str) -> int:
    """Tell where reading stopped."""
    try:
        compiled(text, None)
    except Misread as error:
        return error.at
    return len(text)


@pytest.mark.parametrize(
    "text",
    [
        "RETURN " + "(1 = " * 38 + "1" + ")" * 38,
        "RETURN " + "NOT (" * 38 + "true" + ")" * 38,
        "RETURN " + "[x IN " * 38 + "$x" + " | x]" * 38,
        "RETURN $x" + ".attributes" * 70,
        "MATCH (n) WHERE " + " OR ".join(["n.x = 1"] * 400) + " RETURN n",
        "MATCH (a) RETURN "
        + "[x IN [(a)--(b) WHERE size(" * 12
        + "[1]"
        + ") > 0 | b] | x.name]" * 12,
    ],
)
def test_what_is_deep_or_long_is_read_and_estimated_in_little_time(text: str) -> None:
    began = time.process_time()

    query = compiled(text, None)
    estimate(query.query, Figures({}, ()), {}, 1)

    # Each of them would take years, were a part read twice for each part around it.
    assert time.process_time() - began < 2.0


def test_the_guide_names_every_function() -> None:
    guide = (ROOT / "docs" / "guides" / "graph-queries.md").read_text(encoding="utf-8")

    assert [name for name in NAMES if f"`{name}`" not in guide] == []
