"""The error by which a struct names the field that is wrong, and its wording; it imports nothing.

msgspec turns what `__post_init__` raises into an error of the whole object. `validation.explain`
and query parameters read this one as its cause, so that a refusal names the field.
"""

from __future__ import annotations


class FieldError(ValueError):
    """A value that `__post_init__` refuses, with the field that holds it.

    A plain `ValueError` is reported for the whole object, this one for the field.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


def within_sentence(text: str) -> str:
    """Begin another library's sentence in lower case; names such as `JSON` stay as they are.

    >>> within_sentence("Expected `int`"), within_sentence("JSON is malformed"), within_sentence("")
    ('expected `int`', 'JSON is malformed', '')
    """
    word = text.split(" ", 1)[0]
    return text if word[1:] != word[1:].lower() else f"{text[:1].lower()}{text[1:]}"
