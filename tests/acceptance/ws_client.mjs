// A client by Node's `ws`: tells in JSON what it got, for test_websocket.py.

import { once } from 'node:events';
import WebSocket from 'ws';

const url = process.argv[2];
const seen = {};

async function open(path, options = {}) {
  const socket = new WebSocket(url + path, { maxPayload: 64 << 20, ...options });
  await once(socket, 'open');
  return socket;
}

async function next(socket) {
  const [data, isBinary] = await once(socket, 'message');
  return isBinary ? data : data.toString();
}

async function closed(socket) {
  const [code, reason] = await once(socket, 'close');
  return [code, reason.toString()];
}

const socket = await open('/ws/echo');
seen.deflated = socket.extensions;

socket.send('grüße');
seen.text = await next(socket);

socket.send(Buffer.from([0, 1, 255]));
seen.binary = [...(await next(socket))];

socket.send('one ', { fin: false });
socket.ping('there?');
socket.send('two ', { fin: false });
socket.send('three');
const [pong, fragments] = await Promise.all([once(socket, 'pong'), next(socket)]);
seen.pong = pong[0].toString();
seen.fragments = fragments;

const large = Buffer.alloc(8 << 20, 'large messages ');
socket.send(large);
const back = await next(socket);
seen.large = [back.length, back.equals(large)];

socket.close(4321, 'bye');
seen.closed = await closed(socket); // the code comes back, without the reason

const plain = await open('/ws/echo', { perMessageDeflate: false });
seen.plain = plain.extensions;
plain.close();
await closed(plain);

const short = await open('/ws/short');
short.send('x'.repeat(1001));
seen.tooBig = (await closed(short))[0];

console.log(JSON.stringify(seen));
