// What the test says, done with the package `ws`: one JSON object on the command line, one line for each frame.

import { WebSocket } from "ws";

const { url, protocols, token, send, until } = JSON.parse(process.argv[2]);
const headers = token ? { authorization: `Bearer ${token}` } : {};
const socket = new WebSocket(url, protocols, { headers });
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

socket.on("open", () => say({ open: socket.protocol, extensions: socket.extensions }));
socket.on("message", (data, binary) => {
  const frame = JSON.parse(data.toString());
  say({ frame, binary });
  if (frame.type === "welcome") {
    for (const one of send) {
      socket.send(JSON.stringify(one));
    }
  }
  if (frame.type === until) {
    socket.close(1000);
  }
});
socket.on("unexpected-response", (_, response) => {
  say({ refused: response.statusCode });
  process.exit(0);
});
socket.on("close", (code) => say({ close: code }));
socket.on("error", (error) => say({ error: error.message }));
setTimeout(() => process.exit(1), 10_000).unref();
