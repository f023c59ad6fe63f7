/** What peers, platforms and programs do at the worst moment. */

import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import {
  type Gap,
  type Message,
  Realtime,
  type RealtimeError,
  type RealtimeOptions,
  type SocketConstructor,
  type Status,
  segment,
} from "../src/index.js";
import { Timer } from "../src/timer.js";
import { Hub, type Peer, until } from "./hub.js";

let hub: Hub;
beforeEach(async () => {
  hub = await Hub.start();
});
afterEach(() => {
  hub.stop();
  vi.restoreAllMocks();
});

const message = (offset: number) => ({
  type: "message",
  channel: "news",
  data: offset,
  epoch: "e1",
  offset,
  timestamp: "2026-01-01T00:00:00Z",
});

async function acknowledge(peer: Peer, offset: number): Promise<void> {
  const { id, channel } = await peer.next("subscribe");
  peer.send({ type: "ack", id, channel, epoch: "e1", offset });
}

describe("answers", () => {
  test("those of an earlier subscription are not taken for those of the next", async () => {
    const { client } = hub.client();
    const first: Message[] = [];
    const second: Message[] = [];
    const gaps: Gap[] = [];
    const acks: (number | undefined)[] = [];
    const peer = await hub.peer();
    peer.welcome();
    await until(() => client.status.state === "connected");

    client.subscribe("news", (one) => first.push(one)).unsubscribe();
    client.subscribe("news", {
      message: (one) => second.push(one),
      gap: (gap) => gaps.push(gap),
      subscribed: ({ offset }) => acks.push(offset),
    });
    await acknowledge(peer, 3);
    peer.send(message(4));
    const { id } = await peer.next("unsubscribe");
    peer.send({ type: "ack", id, channel: "news", subscribed: false });
    await acknowledge(peer, 7);
    peer.send(message(8));

    await until(() => second.length === 1);
    expect(acks).toEqual([7]);
    expect(second.map(({ offset }) => offset)).toEqual([8]);
    expect([first, gaps]).toEqual([[], []]);
  });

  test("a refusal of an earlier subscription is not reported to the next", async () => {
    const { client } = hub.client();
    const errors: RealtimeError[] = [];
    const peer = await hub.peer();
    peer.welcome();
    await until(() => client.status.state === "connected");
    client.subscribe("news", () => {}).unsubscribe();
    const subscription = client.subscribe("news", {
      message: () => {},
      error: (error) => errors.push(error),
    });

    const { id } = await peer.next("subscribe");
    peer.send({ type: "error", id, channel: "news", code: "permission_denied", error: "no" });
    await acknowledge(peer, 7);

    await until(() => subscription.position?.offset === 7);
    expect(errors).toEqual([]);
  });

  test("what the hub ends by itself is reported to the subscription", async () => {
    const { client } = hub.client();
    const codes: string[] = [];
    client.subscribe("news", { message: () => {}, error: ({ code }) => codes.push(code) });
    const peer = await hub.peer();
    peer.welcome();
    await acknowledge(peer, 0);

    peer.send({ type: "error", channel: "news", code: "permission_denied", error: "no longer" });

    await until(() => codes.length === 1);
    expect(codes).toEqual(["permission_denied"]);
  });
});

describe("closing", () => {
  test("while the token is fetched, no socket is ever made", async () => {
    let give: (token: string) => void = () => {};
    const sockets = vi.fn();
    class Counted extends WebSocket {
      constructor(url: string, protocols: string[]) {
        sockets();
        super(url, protocols);
      }
    }
    const { client, statuses } = hub.client({
      token: () => new Promise((resolve) => (give = resolve)),
      WebSocket: Counted as unknown as SocketConstructor,
    });

    client.close();
    give("token");
    await new Promise((resolve) => setImmediate(resolve));

    expect(sockets).not.toHaveBeenCalled();
    expect(statuses.map(({ state }) => state)).toEqual(["connecting", "closed"]);
  });

  test("while the token is fetched, its failure does not begin another attempt", async () => {
    let fail: (error: Error) => void = () => {};
    const { client, statuses } = hub.client({
      token: () => new Promise((_, reject) => (fail = reject)),
    });

    client.close();
    fail(new Error("too late"));
    await new Promise((resolve) => setImmediate(resolve));

    expect(statuses.map(({ state }) => state)).toEqual(["connecting", "closed"]);
  });

  test("a token that comes after its attempt has ended makes no second socket", async () => {
    const gives: ((token: string) => void)[] = [];
    hub.client({ connectTimeout: 20, token: () => new Promise((resolve) => gives.push(resolve)) });
    await until(() => gives.length === 2);

    for (const give of gives) {
      give("token");
    }

    (await hub.peer()).welcome();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(hub.peers.length).toBe(1);
  });

  test.each(["connecting", "waiting", "connected"])(
    "in onStatus at `%s` is final",
    async (state) => {
      const states: string[] = [];
      const closing: { client?: Realtime } = {};
      const { client } = hub.client({
        onStatus: (status) => {
          states.push(status.state);
          if (status.state === state && closing.client !== undefined) {
            closing.client.close();
          }
        },
      });
      closing.client = client;
      const peer = await hub.peer();
      if (state === "connected") {
        peer.welcome();
      } else {
        peer.socket.terminate();
      }

      await until(() => client.status.state === "closed");
      await new Promise((resolve) => setTimeout(resolve, 30));
      expect(states.at(-1)).toBe("closed");
      expect(hub.peers.length).toBe(1);
    },
  );

  test("in a callback ends the batch", async () => {
    const { client } = hub.client();
    const offsets: number[] = [];
    client.subscribe("news", ({ offset }) => {
      offsets.push(offset);
      client.close();
    });
    const peer = await hub.peer();
    peer.welcome();
    await acknowledge(peer, 0);

    peer.socket.send(JSON.stringify([message(1), message(2)]));

    await until(() => client.status.state === "closed");
    expect(offsets).toEqual([1]);
  });
});

describe("back-pressure", () => {
  test("a burst beyond what the socket holds is sent as it drains, in order", async () => {
    const { client } = hub.client({ maxBuffered: 100_000 });
    const peer = await hub.peer();
    peer.welcome({ max_bytes: 1 << 20 });
    await until(() => client.status.state === "connected");

    const all = Array.from({ length: 40 }, (_, number) =>
      client.publish("news", { number, text: "x".repeat(60_000) }),
    );
    const numbers: number[] = [];
    for (let number = 0; number < 40; number += 1) {
      const frame = await peer.next("publish");
      numbers.push((frame.data as { number: number }).number);
      peer.send({ type: "ack", id: frame.id, channel: "news", epoch: "e1", offset: number });
    }

    expect((await Promise.all(all)).length).toBe(40);
    expect(numbers).toEqual(Array.from({ length: 40 }, (_, number) => number));
  });

  test("what finds no room in time fails and is never sent", async () => {
    class Full extends WebSocket {
      constructor(url: string, protocols: string[]) {
        super(url, protocols);
        Object.defineProperty(this, "bufferedAmount", { value: 2 ** 30 });
      }
    }
    const { client } = hub.client({
      WebSocket: Full as unknown as SocketConstructor,
      requestTimeout: 30,
    });
    const peer = await hub.peer();
    peer.welcome();
    await until(() => client.status.state === "connected");

    await expect(client.publish("news", 1)).rejects.toMatchObject({
      code: "timeout",
      message: "it could not be sent within 30 ms",
    });
    expect(peer.frames).toEqual([]);
  });

  test("what the hub would close the connection for is refused here", async () => {
    const { client } = hub.client();
    const peer = await hub.peer();
    peer.welcome({ max_bytes: 1000 });

    const asked = client.publish("news", "ä".repeat(600));

    await expect(asked).rejects.toMatchObject({ code: "payload_too_large" });
    await expect(client.publish("news", 1n)).rejects.toThrow(TypeError);
    expect(client.status.state).toBe("connected");
  });
});

describe("timers", () => {
  test("a hidden tab, whose timers are throttled, keeps a connection that answers", async () => {
    const { setInterval: real } = globalThis;
    const throttled = (call: () => void, millis?: number) =>
      real(call, Math.max(millis ?? 0, 2200));
    vi.spyOn(globalThis, "setInterval").mockImplementation(throttled as typeof setInterval);
    const { client } = hub.client();
    const peer = await hub.peer();
    peer.welcome({ ping_seconds: 1 });

    await peer.next("ping");
    peer.send({ type: "pong" });

    expect(client.status.state).toBe("connected");
    expect(hub.peers.length).toBe(1);
  });

  test("timeouts above 2^31 ms do not act at once", async () => {
    const { client, statuses } = hub.client({
      connectTimeout: 2 ** 32,
      requestTimeout: Number.POSITIVE_INFINITY,
      backoff: { base: 0, cap: 2 ** 40 },
    });
    const peer = await hub.peer();
    const asked = client.presence("news");
    await new Promise((resolve) => setTimeout(resolve, 50));
    peer.welcome({ ping_seconds: 1e300 });
    const { id } = await peer.next("presence");
    await new Promise((resolve) => setTimeout(resolve, 50));
    peer.send({ type: "presence", id, members: [] });

    expect(await asked).toEqual([]);
    expect(statuses.map(({ state }) => state)).toEqual(["connecting", "connected"]);
  });

  test("a timer of any length fires when it is due", async () => {
    vi.useFakeTimers();
    try {
      const fired = vi.fn();
      new Timer(2 ** 32 + 5, fired);
      vi.advanceTimersByTime(2 ** 32 - 1000);
      expect(fired).not.toHaveBeenCalled();
      vi.advanceTimersByTime(1010);
      expect(fired).toHaveBeenCalledOnce();
    } finally {
      vi.useRealTimers();
    }
  });

  test.each([
    { connectTimeout: Number.NaN },
    { requestTimeout: -1 },
    { backoff: { cap: "1" as unknown as number } },
    { maxBuffered: Number.NaN },
  ])("a time that is none is refused: %o", (options: RealtimeOptions) => {
    expect(() => new Realtime(hub.url, options)).toThrow(RangeError);
  });
});

describe("exceptions", () => {
  test("of a WebSocket that cannot be made once: it is tried again", async () => {
    let tries = 0;
    class Unwilling extends WebSocket {
      constructor(url: string, protocols: string[]) {
        tries += 1;
        if (tries === 1) {
          throw new Error(`insufficient resources for ${protocols}`);
        }
        super(url, protocols);
      }
    }
    const made = { WebSocket: Unwilling as unknown as SocketConstructor, token: "secret-token" };
    const { statuses } = hub.client(made);

    await hub.peer();

    expect(statuses.map(({ state }) => state)).toEqual(["connecting", "waiting", "connecting"]);
    expect(JSON.stringify(statuses)).not.toContain("secret");
  });

  test("of an address that is none: it is closed, without its credentials", async () => {
    const statuses: Status[] = [];
    const client = new Realtime("http://user:secret@", {
      WebSocket: WebSocket as unknown as SocketConstructor,
      onStatus: (status) => statuses.push(status),
    });
    await until(() => client.status.state === "closed");

    expect(client.status).toMatchObject({ code: 1006 });
    expect(JSON.stringify(statuses)).not.toContain("secret");
    expect(() => client.subscribe("news", () => {})).toThrow("closed");
  });

  test("of callbacks are reported, and keep nothing from working", async () => {
    const errors: string[] = [];
    const offsets: number[] = [];
    const fail = (name: string) => {
      throw new Error(name);
    };
    const { client } = hub.client({
      onStatus: ({ state }) => fail(state),
      onError: (error) => errors.push(error.message),
    });
    client.subscribe("news", {
      message: async ({ offset }) => {
        offsets.push(offset);
        fail(`message ${offset}`);
      },
      gap: () => fail("gap"),
      subscribed: () => fail("subscribed"),
      presence: () => fail("presence"),
    });
    const peer = await hub.peer();
    peer.welcome();
    await acknowledge(peer, 0);
    const member = { connection: "c2", subject: "bob" };
    peer.send({ type: "join", channel: "news", member, timestamp: "t" });
    peer.send(message(1));
    peer.send(message(3));

    await until(() => errors.length === 7);
    expect(offsets).toEqual([1, 3]);
    expect(errors.sort()).toEqual(
      ["connected", "connecting", "gap", "message 1", "message 3", "presence", "subscribed"].sort(),
    );
  });

  test("without onError they are reported to the platform", async () => {
    const reported = vi.spyOn(console, "error").mockImplementation(() => {});
    const { client } = hub.client({
      onStatus: () => {
        throw new Error("mine");
      },
    });
    (await hub.peer()).welcome();

    await until(() => client.status.state === "connected");
    expect(reported).toHaveBeenCalledWith(expect.objectContaining({ message: "mine" }));
  });
});

describe("the end", () => {
  test.each([
    [401, { state: "closed", code: 4003 }],
    [403, { state: "closed", code: 1006 }],
    [429, { state: "waiting", code: 4029 }],
    [503, { state: "waiting", code: 1006 }],
  ])("of a handshake refused with %i, where the platform shows the status", async (status, end) => {
    const server = createServer();
    server.on("upgrade", (_, socket) => {
      socket.end(`HTTP/1.1 ${status} Refused\r\nconnection: close\r\n\r\n`);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const client = new Realtime(`http://127.0.0.1:${port}`, {
      WebSocket: WebSocket as unknown as SocketConstructor,
      token: "t0ken",
      backoff: { base: 60_000 },
    });

    await until(() => client.status.state !== "connecting");

    const reason = `the handshake was refused with HTTP ${status}`;
    expect(client.status).toMatchObject({ ...end, reason });
    client.close();
    server.close();
  });

  test("after a revocation `error` is called and `subscribe` fails", async () => {
    const { client } = hub.client({ token: "t0ken" });
    const errors: RealtimeError[] = [];
    client.subscribe("news", { message: () => {}, error: (error) => errors.push(error) });
    const peer = await hub.peer();
    peer.welcome();
    await acknowledge(peer, 0);

    peer.socket.close(4002, "the token has been revoked");

    await until(() => errors.length === 1);
    expect(errors[0]).toMatchObject({ code: "closed" });
    expect(errors[0]?.message).toContain("4002 the token has been revoked");
    expect(() => client.subscribe("other", () => {})).toThrow("4002");
    await expect(client.publish("news", 1)).rejects.toThrow("4002");
  });

  test("closed by the program, no subscription has an error", async () => {
    const { client } = hub.client();
    const errors: RealtimeError[] = [];
    client.subscribe("news", { message: () => {}, error: (error) => errors.push(error) });
    (await hub.peer()).welcome();
    await until(() => client.status.state === "connected");

    client.close();

    expect(errors).toEqual([]);
    expect(client.status).toMatchObject({ code: 1000 });
  });
});

describe("credentials", () => {
  const SECRET = "s3cr3t-9f8e7d6c";
  const malformed = [`${SECRET}\n`, ` ${SECRET}`, `${SECRET}\t`, `${SECRET}\0`, `${SECRET}é`, ""];

  test.each(malformed)("a malformed token is refused at once, and not quoted: %j", (token) => {
    let thrown: unknown;
    try {
      hub.client({ token });
    } catch (error) {
      thrown = error;
    }

    expect(thrown).toMatchObject({ code: "token_invalid" });
    expect(inspect(thrown)).not.toContain(SECRET);
  });

  test.each([...malformed, null, 7, Buffer.from(SECRET)])(
    "a function that gives a malformed token is asked a few times, and nothing quotes it: %j",
    async (token) => {
      const asked = vi.fn(() => token as string);
      const { client, statuses } = hub.client({ token: asked });
      client.subscribe("news", () => {});

      await until(() => client.status.state === "closed");

      expect(asked).toHaveBeenCalledTimes(4);
      expect(client.status).toMatchObject({ code: 4003 });
      expect(inspect([statuses, client], { depth: 9 })).not.toContain(SECRET);
      expect(hub.peers).toEqual([]);
    },
  );

  test("what a token function throws is not reported", async () => {
    const { statuses } = hub.client({
      token: async () => {
        throw new TypeError(`https://issuer/?client_secret=${SECRET}`);
      },
    });

    const waiting = await until(() => statuses.find(({ state }) => state === "waiting"));

    expect(waiting).toMatchObject({ reason: expect.stringContaining("TypeError") });
    expect(inspect(statuses)).not.toContain(SECRET);
  });

  test("a subprotocol cannot carry every token; the first message can", async () => {
    expect(() => hub.client({ token: "abc/def==" })).toThrow('use auth: "message"');

    hub.client({ token: "abc/def==", auth: "message" });

    expect(await (await hub.peer()).next("auth")).toMatchObject({ token: "abc/def==" });
  });

  test("a token that the server quotes is in no message, nor shown with the client", async () => {
    const errors: RealtimeError[] = [];
    let number = 0;
    const { client, statuses } = hub.client({ token: () => `${SECRET}${number++}` });
    client.subscribe("news", { message: () => {}, error: (error) => errors.push(error) });
    const peer = await hub.peer();
    peer.welcome();
    peer.send({ type: "expiring", seconds: 1 });
    await peer.next("auth");
    const { id } = await peer.next("subscribe");
    peer.send({ type: "error", id, code: "permission_denied", error: `no ${SECRET}1 no` });
    await until(() => errors.length === 1);
    peer.socket.close(4002, `revoked: ${SECRET}0`);
    await until(() => client.status.state === "closed");

    const seen = inspect([errors, statuses, client, JSON.stringify(client)], { depth: 9 });
    expect(errors[0]?.message).toBe("no [redacted] no");
    expect(client.status).toMatchObject({ reason: "revoked: [redacted]" });
    expect(seen).not.toContain("s3cr3t");
  });
});

test.each([
  ["acme", "acme"],
  ["acme:eu", "acme%3Aeu"],
  ["50%:a", "50%25%3Aa"],
])("a text is written as a segment of a channel's name: %s", (text, expected) => {
  expect(segment(text)).toBe(expected);
});
