/** A server that says what a test tells it to, over real sockets, and keeps what clients said. */

import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { WebSocket, WebSocketServer } from "ws";
import {
  json,
  Realtime,
  type RealtimeOptions,
  type SocketConstructor,
  type Status,
} from "../src/index.js";
import { type Codec, type Frame, framesOf } from "../src/protocol.js";

const PATIENCE = 4000;

/** One socket, seen from the server. */
export class Peer {
  readonly frames: Frame[] = [];

  constructor(
    readonly socket: WebSocket,
    readonly offered: string[],
    private readonly codec: Codec,
  ) {
    socket.on("message", (data: Buffer, binary: boolean) => {
      const bytes = new Uint8Array(data).buffer;
      this.frames.push(...framesOf(codec.decode(binary ? bytes : data.toString())));
    });
  }

  send(frame: object): void {
    this.socket.send(this.codec.encode(frame));
  }

  welcome(fields: object = {}): void {
    this.send({ type: "welcome", connection: "c1", ping_seconds: 25, max_bytes: 65536, ...fields });
  }

  /** Waits for a frame of this type, in the order in which they came. */
  async next(type: string): Promise<Frame> {
    return await until(() => {
      const place = this.frames.findIndex((frame) => frame.type === type);
      return place < 0 ? undefined : this.frames.splice(place, 1)[0];
    });
  }
}

/** The server. */
export class Hub {
  readonly peers: Peer[] = [];
  private readonly clients: Realtime[] = [];

  private constructor(
    private readonly server: WebSocketServer,
    readonly url: string,
  ) {}

  static async start(codec: Codec = json): Promise<Hub> {
    const handleProtocols = (offered: Set<string>) =>
      offered.has(codec.protocol) ? codec.protocol : false;
    const server = new WebSocketServer({ host: "127.0.0.1", port: 0, handleProtocols });
    await once(server, "listening");
    const hub = new Hub(server, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    server.on("connection", (socket, request) => {
      const offered = (request.headers["sec-websocket-protocol"] ?? "").split(",");
      hub.peers.push(
        new Peer(
          socket,
          offered.map((name) => name.trim()),
          codec,
        ),
      );
    });
    return hub;
  }

  /** Makes a client with short times. */
  client(options: RealtimeOptions = {}): { client: Realtime; statuses: Status[] } {
    const statuses: Status[] = [];
    const client = new Realtime(this.url, {
      WebSocket: WebSocket as unknown as SocketConstructor,
      backoff: { base: 5, cap: 20 },
      onStatus: (status) => statuses.push(status),
      ...options,
    });
    this.clients.push(client);
    return { client, statuses };
  }

  /** Waits for the socket with this number. */
  async peer(number = 0): Promise<Peer> {
    return await until(() => this.peers[number]);
  }

  stop(): void {
    for (const client of this.clients) {
      client.close();
    }
    for (const { socket } of this.peers) {
      socket.terminate();
    }
    this.server.close();
  }
}

/** Looks again and again until there is something, or too late. */
export async function until<T>(look: () => T | undefined | false): Promise<T> {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const found = look();
    if (found !== undefined && found !== false) {
      return found;
    }
    if (Date.now() > deadline) {
      throw new Error("what was waited for did not come");
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
