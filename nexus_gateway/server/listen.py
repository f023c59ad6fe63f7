"""The server: an application's plan and handlers given to the core, from start to drain.

The core listens and answers on threads of its own; this module owns what is Python's: one asyncio
loop for the handlers, the lifespan of what they use, the signals that end it all.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeAlias, TypeVar

import msgspec

from nexus_gateway import _core, plan
from nexus_gateway.compile.compiler import Compiled, compile_routes
from nexus_gateway.describe.call_kind import check_lifespan
from nexus_gateway.describe.filters.auth import Claims
from nexus_gateway.describe.filters.trace import Trace
from nexus_gateway.describe.reply import Response
from nexus_gateway.describe.route import Route, Routes
from nexus_gateway.realtime.hub import Hub
from nexus_gateway.server.error_response import refuse
from nexus_gateway.server.log_handler import CoreHandler

if TYPE_CHECKING:
    from types import TracebackType

    from nexus_gateway.realtime.frames import Revocation
    from nexus_gateway.realtime.terminal import Position

T = TypeVar("T")
_logger = logging.getLogger("nexus_gateway.server")
Lifespan: TypeAlias = Callable[[], AbstractAsyncContextManager[None]]


class ListenError(OSError):
    """An address cannot be listened on; the message names it and what to do."""


class OutputError(RuntimeError):
    """The standard output cannot be written."""


class Tls(msgspec.Struct, frozen=True):
    """PEM files of a certificate with its chain, and of its private key."""

    certificate: Path
    key: Path


class Application(msgspec.Struct, frozen=True):
    """All that a gateway is: routes, what wraps them, how tokens are verified, what must be open.

    Attributes:
        routes: what is served.
        layers: what wraps every route.
        tokens: how bearer tokens are verified; needed where a route has `auth`.
        secrets: the keys that `tokens` names.
        bounds: what a request may be at most.
        hub: the channels that chains ending in `hub` are about.
        state: the objects that `state(T)` filters extract, by their type.
        lifespan: opens what the handlers use before the first request, and closes it at the end.
    """

    routes: Routes
    layers: plan.Layers = plan.Layers()
    tokens: plan.Tokens | None = None
    secrets: Mapping[str, bytes] = {}
    bounds: plan.Bounds = plan.Bounds()
    hub: Hub | None = None
    state: Mapping[object, object] = {}
    lifespan: Lifespan | None = None

    def __repr__(self) -> str:
        # Its keys are in no message.
        return f"Application({len(self.routes.routes)} routes, secrets={sorted(self.secrets)})"

    def compile(self) -> Compiled:
        """Check every handler against its chain and write the plan.

        Raises:
            TypeError: a handler does not fit its chain; the message names file, handler and value.
            ValueError: the routes contradict one another.
        """
        if self.lifespan is not None:
            check_lifespan(self.lifespan)
        return compile_routes(
            self.routes,
            layers=self.layers,
            tokens=self.tokens,
            bounds=self.bounds,
            hub=None if self.hub is None else self.hub.plan,
            state=self.state,
        )


Servable: TypeAlias = Application | Routes | Route


def as_application(served: Servable) -> Application:
    """Make an application of what a program describes; routes alone are one with no more to it."""
    if isinstance(served, Application):
        return served
    return Application(served if isinstance(served, Routes) else Routes(served))


class Server:
    """A gateway on the running loop, as an async context manager: open, it serves."""

    def __init__(
        self,
        served: Servable,
        *,
        listen: Sequence[tuple[str, int]] = (),
        threads: int = 1,
        tls: Tls | None = None,
        grace: float = 10.0,
        eager: bool = True,
    ) -> None:
        """Compile the application; nothing is opened yet.

        Args:
            served: what to serve.
            listen: hosts and ports; none serves `request` alone, port 0 takes a free port.
            threads: of the core, each with its own listener.
            tls: certificate and key; None serves in clear.
            grace: seconds that requests may take to finish at the end.
            eager: run a handler until it first waits as soon as its call is taken (`eager_start` of
            asyncio, Python 3.12 and newer); False leaves the first step to the loop.
        """
        self._application = as_application(served)
        self._hub = self._application.hub or Hub()
        self._core = _core.Core(*_compiled(self._application), _bridge())
        options = {"listen": listen, "threads": threads, "tls": tls, "eager": eager}
        self._options = msgspec.json.encode(options, enc_hook=str)  # the paths of `tls`
        self._listen = tuple(listen)
        self._grace = grace
        self._opened = AsyncExitStack()
        # Of an application that replaced another one; that of the first is in `_opened`.
        self._lifespan: _LifespanTask | None = None
        self._replacing = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()
        self.addresses: list[tuple[str, int]] = []

    async def __aenter__(self) -> Self:
        """Open what the handlers use, then listen."""
        async with AsyncExitStack() as opening:
            # First: what opens may have to wait for another process, and says so in the log.
            opening.enter_context(CoreHandler(self._core))
            if self._application.lifespan is not None:
                await opening.enter_async_context(self._application.lifespan())
            loop = asyncio.get_running_loop()
            self._hub.prime(self._core)
            try:
                self.addresses = self._core.start(self._options, loop)
            except OSError as error:
                raise _listen_error(self._listen, error) from error
            self._hub.attach(self._core)
            self._opened = opening.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Drain: accept nothing, let requests finish, then close what the handlers used."""
        try:
            stopped = await self._core.stop(self._grace)
            self._hub.attach(None)
            if not stopped:
                _logger.warning("requests were cut after %s s of grace", self._grace)
        finally:
            for task in self._retiring:
                task.cancel()
            await asyncio.gather(*self._retiring, return_exceptions=True)
            if self._lifespan is not None:
                await self._lifespan.close()
            await self._opened.aclose()

    async def replace(self, served: Servable) -> None:
        """Replace the application as a whole while the server runs.

        Requests in progress, also streams, finish with the application before; connections stay
        open. Counters, limits of the same name and rule, verified tokens (while the keys are the
        same), revocations and the hub continue. A new lifespan is opened first; that of the
        application before is closed when its last call has ended, that of the first one at the end
        of the server.

        Raises:
            TypeError: a handler does not fit its chain.
            ValueError: the plan cannot be executed, or changes the hub. Nothing has changed then.
            RuntimeError: the server is not open.
        """
        async with self._replacing:
            before, new = self._application, as_application(served)
            compiled = _compiled(new)
            lifespan = self._lifespan
            if new.lifespan is not before.lifespan:
                lifespan = await _LifespanTask.open(new.lifespan)
            try:
                ended = self._core.swap(*compiled)
            except BaseException:
                if lifespan is not None and lifespan is not self._lifespan:
                    await lifespan.close()
                raise
            hub, self._hub = self._hub, new.hub or Hub()
            self._hub.prime(self._core)
            self._hub.attach(self._core)
            task = asyncio.create_task(self._retire(ended, hub, self._lifespan))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
            self._application, self._lifespan = new, lifespan
            if lifespan is not None:
                lifespan.users += 1

    async def _retire(
        self, ended: asyncio.Future[None], hub: Hub, lifespan: _LifespanTask | None
    ) -> None:
        """Close what the handlers of a replaced application used, after their last call."""
        try:
            await ended
        finally:
            if hub is not self._hub:
                hub.attach(None)
            if lifespan is not None:
                lifespan.users -= 1
                if lifespan.users == 0:
                    await lifespan.close()

    async def publish(self, channel: str, value: object, *, key: str | None = None) -> Position:
        """Publish a value to whoever is subscribed to a channel of the application's hub.

        Raises:
            HubError: it was not published, or nobody knows whether it was.
        """
        return await self._hub.publish(channel, value, key=key)

    async def revoke(
        self, *, jti: str | None = None, sub: str | None = None, expires: int | None = None
    ) -> Revocation:
        """Make a token, or all of a subject, worthless at once, for requests and open sockets.

        Raises:
            HubError: neither `jti` nor `sub` is given, or the application has no hub.
        """
        return await self._hub.revoke(jti=jti, sub=sub, expires=expires)

    async def request(
        self, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Send a request through the same connection code as a socket's; status, headers, body."""
        return await self._core.request(method, target, headers, body)


class _LifespanTask:
    """A lifespan in a task of its own: the task that opens a context must close it."""

    def __init__(self, lifespan: Lifespan) -> None:
        # Applications with it that are in use or have calls.
        self.users = 0
        self._opened = asyncio.Event()
        self._ending = asyncio.Event()
        self._task = asyncio.create_task(self._run(lifespan))

    @classmethod
    async def open(cls, lifespan: Lifespan | None) -> _LifespanTask | None:
        """Open a lifespan, if there is one."""
        if lifespan is None:
            return None
        check_lifespan(lifespan)
        own = cls(lifespan)
        opened = asyncio.create_task(own._opened.wait())
        try:
            await asyncio.wait((opened, own._task), return_when=asyncio.FIRST_COMPLETED)
        finally:
            opened.cancel()
            if not own._opened.is_set():
                own._task.cancel()
        if not own._opened.is_set():
            await own._task  # raises what the lifespan has raised
        return own

    async def close(self) -> None:
        """Close it, and wait until it is closed."""
        self._ending.set()
        await asyncio.shield(self._task)

    async def _run(self, lifespan: Lifespan) -> None:
        async with lifespan():
            self._opened.set()
            await self._ending.wait()


def _compiled(
    application: Application,
) -> tuple[bytes, dict[str, bytes], list[_core.Endpoint]]:
    """What the core executes: the plan, its secrets, its handlers."""
    compiled = application.compile()
    endpoints = [
        _core.Endpoint(endpoint.call, endpoint.slots, endpoint.stream, endpoint.origin)
        for endpoint in compiled.endpoints
    ]
    secrets = dict(application.secrets)
    if application.hub is not None:
        secrets.update(application.hub.secrets)
    return msgspec.json.encode(compiled.plan), secrets, endpoints


def serve(
    served: Servable,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    threads: int = 1,
    tls: Tls | None = None,
    grace: float = 10.0,
    eager: bool = True,
    hint: str | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what runs and return.

    Args:
        served: an application, or routes alone.
        host: the address to listen on.
        port: 0 takes a free one.
        threads: of the core.
        tls: certificate and key; None serves in clear.
        grace: seconds that requests may take to finish at the end.
        eager: run a handler until it first waits as soon as its call is taken (`eager_start` of
            asyncio, Python 3.12 and newer); False leaves the first step to the loop.
        hint: a line for the person at the terminal, printed below the address.

    Raises:
        ListenError: an `OSError`, the address cannot be listened on.
        OutputError: the standard output cannot be written.
        TypeError: a handler does not fit its chain.
        ValueError: the plan cannot be executed.
    """
    server = Server(
        served, listen=[(host, port)], threads=threads, tls=tls, grace=grace, eager=eager
    )
    scheme = "http" if tls is None else "https"
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        complete(loop, loop.create_task(_run(server, scheme, hint)))


def complete(loop: asyncio.AbstractEventLoop, main: asyncio.Task[T]) -> T:
    """Run a loop until its main task is done, whatever other tasks and callbacks raise.

    asyncio ends a loop at `SystemExit` and `KeyboardInterrupt` of any task: that of a handler, or
    one that it has started, must not end the gateway for everybody.
    """
    main.add_done_callback(lambda _: loop.stop())
    while not main.done():
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt) as error:
            # Ctrl-C is a signal that `_run` handles; in tests it must end the test.
            if main.done():
                # The callback that stops the loop may not have run: it would stop the next run.
                loop.call_soon(loop.stop)
                loop.run_forever()
                break
            if _is_default_interrupt(error):
                break
            _logger.exception(
                "a task of the loop raised %s; the gateway goes on", type(error).__name__
            )
    if not main.done():
        main.cancel()
        raise KeyboardInterrupt
    try:
        return main.result()
    finally:
        del main  # its exception would refer to this frame, and this frame to it


def _is_default_interrupt(error: BaseException) -> bool:
    return (
        isinstance(error, KeyboardInterrupt)
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )


async def _run(server: Server, scheme: str, hint: str | None) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with server:
        _announce(server, scheme, hint)
        await ended.wait()
        # A second signal must be able to end a drain that takes too long.
        # Not Python's own handler of SIGINT: its exception would be that of the handler at hand.
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)


def _announce(server: Server, scheme: str, hint: str | None) -> None:
    try:
        for address, port in server.addresses:
            written = f"[{address}]" if ":" in address else address
            sys.stdout.write(f"listening on {scheme}://{written}:{port}\n")
        if hint is not None:
            sys.stdout.write(f"{hint}\n")
        sys.stdout.flush()
    except OSError as error:
        raise OutputError(f"the standard output cannot be written: {error.strerror}") from error


def _listen_error(listen: Sequence[tuple[str, int]], error: OSError) -> ListenError:
    addresses = ", ".join(f"{host}:{port}" for host, port in listen)
    remedies = {
        errno.EADDRINUSE: "stop what listens there, or choose another port",
        errno.EACCES: "ports below 1024 need a privilege; choose another port",
        errno.EADDRNOTAVAIL: "this machine has no such address; choose another host",
    }
    remedy = remedies.get(error.errno or 0)
    message = f"cannot listen on {addresses}: {error.strerror or error}"
    return ListenError(message if remedy is None else f"{message}; {remedy}")


def _bridge() -> _core.Bridge:
    return _core.Bridge(
        claims=Claims,
        trace=Trace,
        reply=Response,
        encode=msgspec.json.Encoder().encode_into,
        refuse=refuse,
        pump=_pump,
    )


async def _pump(chunks: AsyncIterator[bytes | str], stream: _core.Stream) -> None:
    """Write what a stream's handler yields, as fast as its client reads."""
    async for chunk in chunks:
        full = stream.send(chunk.encode() if isinstance(chunk, str) else chunk)
        if full is not None:
            await full
