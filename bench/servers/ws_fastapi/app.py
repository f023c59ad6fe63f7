"""Fan-out by the connection manager of FastAPI's documentation."""

import asyncio

from fastapi.responses import StreamingResponse

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()
subscribers: list[WebSocket] = []
streams: set[asyncio.Queue[str]] = set()


@app.get("/health")
async def health():
    return {"status": "ok"}


async def follow():
    published: asyncio.Queue[str] = asyncio.Queue()
    streams.add(published)
    try:
        while True:
            yield f"data: {await published.get()}\n\n"
    finally:
        streams.discard(published)


@app.get("/events")
async def events():
    return StreamingResponse(follow(), media_type="text/event-stream")


@app.websocket("/ws/sub")
async def subscribe(socket: WebSocket):
    await socket.accept()
    subscribers.append(socket)
    try:
        while True:
            await socket.receive_text()
    except WebSocketDisconnect:
        subscribers.remove(socket)


@app.websocket("/ws/pub")
async def publish(socket: WebSocket):
    await socket.accept()
    try:
        while True:
            message = await socket.receive_text()
            for stream in streams:
                stream.put_nowait(message)
            for subscriber in subscribers:
                await subscriber.send_text(message)
    except WebSocketDisconnect:
        pass
