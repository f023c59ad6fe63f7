"""A gateway in one file: a greeting, a typed path parameter and a JSON body."""

import msgspec

from nexus_gateway import body, get, param, path, post, public
from nexus_gateway.server import serve


class Note(msgspec.Struct):
    title: str
    tags: list[str] = []


async def square(number: int) -> dict[str, int]:
    return {"number": number, "square": number * number}


async def keep(note: Note) -> Note:
    return note


routes = (
    (path("hello") & get()).answer({"message": "hello"})
    | (path("squares") / param("number", int) & get()).then(square)
    | (path("notes") & post() & public() & body(Note)).then(keep, status=201)
)

if __name__ == "__main__":
    serve(routes, port=8000)
