"""Fan-out by the native publish of uWebSockets, driven from Python."""

import os

from socketify import App, OpCode

app = App()
app.get("/health", lambda response, request: response.end('{"status":"ok"}'))
app.ws("/ws/sub", {"open": lambda socket: socket.subscribe("all")})
app.ws(
    "/ws/pub",
    {"message": lambda socket, message, opcode: app.publish("all", message, OpCode.TEXT)},
)
app.listen(int(os.environ["PORT"]), lambda config: None)
app.run()
