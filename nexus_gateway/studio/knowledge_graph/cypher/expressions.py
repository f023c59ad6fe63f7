"""Reads expressions: by the strength of what stands between two values, then what is left alone.

OR < XOR < AND < NOT < comparisons < IN, texts, IS NULL < + - < * / % < ^ < minus < . [] :
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from nexus_gateway.studio.knowledge_graph.cypher import tree
from nexus_gateway.studio.knowledge_graph.cypher.atoms import Atoms
from nexus_gateway.studio.knowledge_graph.cypher.misread import Misread
from nexus_gateway.studio.knowledge_graph.cypher.tokens import WIDEST

if TYPE_CHECKING:
    from nexus_gateway.studio.knowledge_graph.cypher.tree import Expression

_LOGIC = ("OR", "XOR", "AND")
_COMPARISONS = ("=", "<>", "<", "<=", ">", ">=")
_ARITHMETIC = (("+", "-"), ("*", "/", "%"), ("^",))


class Expressions(Atoms):
    """Reads an expression from a stream."""

    def expression(self) -> Expression:
        """Read one, as long as it goes.

        Raises:
            Misread: there is none.
        """
        with self.stream.deeper():
            return self._logic(0)

    def _logic(self, strength: int) -> Expression:
        if strength == len(_LOGIC):
            return self._negation()
        word = _LOGIC[strength]
        operands = [self._logic(strength + 1)]
        while self.stream.skip_word(word):
            operands.append(self._logic(strength + 1))
        return _balanced(word, operands)

    def _negation(self) -> Expression:
        found: list[int] = []
        while self.stream.is_word("NOT"):
            found.append(self.stream.take().at)
        of = self._comparison()
        # Two of them leave what is true true, and of null null.
        return tree.Unary(sign="NOT", of=of, at=found[0]) if len(found) % 2 else of

    def _comparison(self) -> Expression:
        left = self._predicate()
        compared: list[Expression] = []
        while self.stream.is_sign(*_COMPARISONS):
            sign = self.stream.take().text
            right = self._predicate()
            compared.append(tree.Binary(sign=sign, left=left, right=right, at=left.at))
            left = right
        if not compared:
            return left
        # `a < b < c` means both; one engine does not read it.
        whole = compared[0]
        for one in compared[1:]:
            whole = tree.Binary(sign="AND", left=whole, right=one, at=whole.at)
        return whole

    def _predicate(self) -> Expression:
        left = self._arithmetic(0)
        while (sign := self._predicate_sign()) is not None:
            if sign in ("IS NULL", "IS NOT NULL"):
                left = tree.Unary(
                    sign="IS NULL" if sign == "IS NULL" else "IS NOT NULL", of=left, at=left.at
                )
            else:
                right = self._arithmetic(0)
                left = tree.Binary(sign=sign, left=left, right=right, at=left.at)
        return left

    def _predicate_sign(self) -> str | None:
        stream = self.stream
        if stream.is_sign("=~"):
            raise Misread(
                stream.now.at,
                "expected STARTS WITH, ENDS WITH or CONTAINS, found '=~': regular expressions"
                " differ between the engines, and may run without end",
            )
        if stream.skip_word("IN"):
            return "IN"
        if stream.skip_word("CONTAINS"):
            return "CONTAINS"
        if stream.is_word("STARTS", "ENDS"):
            start = stream.take().keyword
            stream.word("WITH")
            return f"{start} WITH"
        if stream.skip_word("IS"):
            sign = "IS NOT NULL" if stream.skip_word("NOT") else "IS NULL"
            stream.word("NULL")
            return sign
        return None

    def _arithmetic(self, strength: int) -> Expression:
        if strength == len(_ARITHMETIC):
            return self._signed()
        left = self._arithmetic(strength + 1)
        while self.stream.is_sign(*_ARITHMETIC[strength]):
            sign = self.stream.take().text
            right = self._arithmetic(strength + 1)
            left = tree.Binary(sign=sign, left=left, right=right, at=left.at)
        return left

    def _signed(self) -> Expression:
        negative: int | None = None
        while self.stream.is_sign("-", "+"):
            token = self.stream.take()
            if token.text == "-":
                negative = token.at if negative is None else None
        of = self._postfix()
        if isinstance(of, tree.Constant) and type(of.value) in (int, float):
            number = cast("int | float", of.value)
            if negative is not None:
                return tree.Constant(value=-number, at=negative)
            if number == WIDEST:
                raise Misread(of.at, "expected a number of 64 bits")
        return of if negative is None else tree.Unary(sign="-", of=of, at=negative)

    def _postfix(self) -> Expression:
        of = self.atom()
        stream = self.stream
        while True:
            if stream.skip_sign("."):
                of = tree.Property(of=of, name=stream.name("a property's name"), at=of.at)
                if stream.is_sign("("):
                    stream.refuse(
                        "a function of the list that is documented, whose names have no dot"
                    )
            elif stream.skip_sign("["):
                of = self._index(of)
            elif stream.is_sign(":") and isinstance(of, tree.Variable):
                of = tree.HasLabel(of=of, labels=self.labels(), at=of.at)
            else:
                return of

    def _index(self, of: Expression) -> Expression:
        stream = self.stream
        first = None if stream.is_sign("..") else self.expression()
        if not stream.skip_sign(".."):
            stream.sign("]")
            if first is None:  # pragma: no cover - `..` was next
                stream.refuse("an index")
            return tree.Index(of=of, key=first, at=of.at)
        end = None if stream.is_sign("]") else self.expression()
        stream.sign("]")
        return tree.Slice(of=of, first=first, end=end, at=of.at)


def _balanced(word: str, operands: list[Expression]) -> Expression:
    """Join many conditions evenly, so that a hundred of them are seven deep and not a hundred."""
    if len(operands) == 1:
        return operands[0]
    half = len(operands) // 2
    left, right = _balanced(word, operands[:half]), _balanced(word, operands[half:])
    return tree.Binary(sign=word, left=left, right=right, at=left.at)
