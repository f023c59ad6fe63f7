"""Fan-out by the connection manager of FastAPI's documentation."""

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()
subscribers: list[WebSocket] = []


@app.get("/health")
async def health():
    return {"status": "ok"}


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
            for subscriber in subscribers:
                await subscriber.send_text(message)
    except WebSocketDisconnect:
        pass
