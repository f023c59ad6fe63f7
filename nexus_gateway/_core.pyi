"""Types of the native module: the core, and the bridge between it and one asyncio loop.

Everything else in the package is typed Python; this is the one place where a value's type is not known.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, final

__version__: str

# How one argument of a handler is made:
#   ("value", convert | None)                 the core's next value, converted where it is not a plain one
#   ("record", type, names, converts)         a query record: type(**{name: convert(value)}), absent fields left out
#   ("constant", value)                       the same object every time
Slot: TypeAlias = (
    tuple[str, Callable[[Any], Any] | None]
    | tuple[str, Callable[..., Any], tuple[str, ...], tuple[Callable[[Any], Any] | None, ...]]
    | tuple[str, object]
)
# code, status, message, details as JSON or None, further headers
Refusal: TypeAlias = tuple[str, int, str, bytes | None, Sequence[tuple[str, str]]]

def json_fault(text: bytes, /) -> str | None:
    """Why a text is not one value of JSON as every entry point accepts it; None where it is."""

def kinds() -> list[tuple[str, int, str]]:
    """Every kind of refusal the core knows: code, status, sentence."""

@final
class Endpoint:
    """One handler as the bridge calls it.

    With `slots`, `call(*arguments)`. Without, `call(values)` with the core's values as one list: numbers, text,
    `None`, bytes, `Claims`, `Trace`, lists, and query records as tuples with `...` for an absent field.
    The result of `call` is a coroutine; where `stream` is the content type of a stream, an async iterator. `origin`
    names the handler in the log.
    """

    def __new__(
        cls, call: Callable[..., Any], slots: Sequence[Slot] | None, stream: str | None, origin: str
    ) -> Endpoint: ...

@final
class Bridge:
    """What the bridge needs of Python, given once.

    Args:
        claims: called with (subject, scopes: frozenset, tenant or None, token id or None, expires: int, issued: int
            or None, payload: bytes) for each verified token, and remembered with it.
        trace: called with (trace_id, span_id, parent_id or None, sampled, request_id, state or None).
        reply: the class of answers with a status; has `status`, `content`, `content_type` and `headers`.
        encode: writes JSON of any other answer into a buffer, from its beginning to its end.
        refuse: called with an exception of a handler or of a conversion, the request's id, the origin of the endpoint
            and whether its answer could not be encoded; what it is answered with.
        pump: `async def pump(iterator, stream)`, which writes a stream.
    """

    def __new__(
        cls,
        *,
        claims: Callable[..., Any],
        trace: Callable[..., Any],
        reply: type,
        encode: Callable[[Any, bytearray], None],
        refuse: Callable[[BaseException, str, str, bool], Refusal],
        pump: Callable[..., Any],
    ) -> Bridge: ...

@final
class Stream:
    """The chunks of one streamed answer, written from the loop."""

    def send(self, chunk: bytes) -> asyncio.Future[None] | None:
        """Hand over a chunk; await the future where one is returned, the client reads slowly.

        Raises:
            ConnectionError: the client has gone away.
        """

@final
class Pattern:
    """A regular expression that takes linear time, whatever its text: for patterns that come from clients.

    Look-around and back-references do not exist.

    Raises:
        ValueError: the pattern is not one, or too large.
    """

    def __new__(cls, pattern: str) -> Pattern: ...
    def occurs(self, text: str) -> bool:
        """Whether the pattern occurs anywhere in the text."""

class HubError(Exception):
    """The hub refuses: a code and a sentence."""

    args: tuple[str, str]

@final
class Core:
    """A compiled plan and the threads that execute it.

    Raises:
        ValueError: the plan cannot be executed; the message names the part.
    """

    def __new__(
        cls,
        plan: bytes,
        secrets: Mapping[str, bytes],
        endpoints: Sequence[Endpoint],
        bridge: Bridge,
    ) -> Core: ...
    def start(self, options: bytes, event_loop: asyncio.AbstractEventLoop) -> list[tuple[str, int]]:
        """Listen and serve; the addresses listened on. Call it on the loop's thread.

        `options` is JSON: `{"listen": [[host, port], ...], "threads": n, "tls": {"certificate": path, "key": path} |
        null, "eager": bool}`. Without addresses only `request` reaches the gateway.

        Raises:
            OSError: an address cannot be listened on.
            ValueError: the certificate or key cannot be read.
        """

    def swap(
        self, plan: bytes, secrets: Mapping[str, bytes], endpoints: Sequence[Endpoint]
    ) -> asyncio.Future[None]:
        """Replace the plan and its handlers as a whole; requests in progress keep theirs.

        The future is done when the last call of the plan before has ended.

        Raises:
            ValueError: the plan cannot be executed, or changes what cannot change at run time. Nothing has changed.
        """

    def request(
        self, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes
    ) -> asyncio.Future[tuple[int, list[tuple[str, str]], bytes]]:
        """Send a request through the same connection code as a socket's, without a socket."""

    def publish(
        self, channel: str, data: bytes, key: str | None, traceparent: str | None
    ) -> asyncio.Future[tuple[str, int]]:
        """Publish JSON to a channel of the hub; its epoch and offset.

        Raises:
            HubError: by the future.
        """

    def control(self, operation: str, arguments: bytes) -> asyncio.Future[bytes]:
        """Ask the hub for one of its controls; arguments and answer are JSON.

        Raises:
            HubError: by the future.
        """

    def restore_revocations(self, revocations: bytes) -> int:
        """Put stored revocations in force, before the start too; how many found no room.

        Raises:
            ValueError: they are not a JSON list of what `revoke` answers.
        """

    def stop(self, grace: float) -> asyncio.Future[bool]:
        """Stop accepting, let requests finish for `grace` seconds; whether all of them did."""

    def metrics(self) -> bytes:
        """The summary of `/api/metrics` as JSON."""

    def log(self, level: str, fields: bytes) -> None:
        """Write one line to the log; `fields` is a JSON object."""
