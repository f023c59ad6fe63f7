"""The error by which a struct names the field that is wrong; it imports nothing.

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
