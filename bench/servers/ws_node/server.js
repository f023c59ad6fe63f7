// Fan-out as a program of Node.js with `ws`, as its documentation writes it.

import { createServer } from 'node:http';
import { WebSocket, WebSocketServer } from 'ws';

const streams = new Set();
const server = createServer((request, response) => {
  if (request.url === '/events') {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
    streams.add(response);
    response.on('close', () => streams.delete(response));
  } else {
    response.end('{"status":"ok"}');
  }
});
const sockets = new WebSocketServer({ server, perMessageDeflate: false });
const subscribers = new Set();

function publish(data) {
  for (const stream of streams) {
    stream.write(`data: ${data}\n\n`);
  }
  for (const subscriber of subscribers) {
    if (subscriber.readyState === WebSocket.OPEN) {
      subscriber.send(data, { binary: false });
    }
  }
}

sockets.on('connection', (socket, request) => {
  socket.on('error', () => {}); // what a client does wrong closes its socket, not the program
  if (request.url === '/ws/pub') {
    socket.on('message', publish);
  } else {
    subscribers.add(socket);
    socket.on('close', () => subscribers.delete(socket));
  }
});

server.keepAliveTimeout = 120_000; // idle connections are counted
server.listen(Number(process.env.PORT), '127.0.0.1');
