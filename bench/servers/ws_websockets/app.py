"""Fan-out as a program of `websockets`, as its documentation writes it."""

import http
import os

import uvloop
from websockets.asyncio.server import broadcast, serve

subscribers = set()


async def live(socket):
    if socket.request.path == "/ws/pub":
        async for message in socket:
            broadcast(subscribers, message)
        return
    subscribers.add(socket)
    try:
        await socket.wait_closed()
    finally:
        subscribers.discard(socket)


def health(connection, request):
    if request.path == "/health":
        return connection.respond(http.HTTPStatus.OK, '{"status":"ok"}')
    return None


async def main():
    options = {"process_request": health, "compression": None, "ping_interval": None}
    async with serve(live, "127.0.0.1", int(os.environ["PORT"]), **options) as server:
        await server.serve_forever()


uvloop.run(main())
