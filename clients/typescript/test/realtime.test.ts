import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Gap, Message } from "../src/index.js";
import { msgpack } from "../src/msgpack.js";
import { Hub, type Peer, until } from "./hub.js";

let hub: Hub;
beforeEach(async () => {
  hub = await Hub.start();
});
afterEach(() => hub.stop());

const message = (offset: number, epoch = "e1") => ({
  type: "message",
  channel: "news",
  data: { offset },
  epoch,
  offset,
  timestamp: "2026-01-01T00:00:00Z",
});

/** Subscribes to `news` and keeps what comes. */
function listen(client: ReturnType<Hub["client"]>["client"]) {
  const messages: Message[] = [];
  const gaps: Gap[] = [];
  const errors: string[] = [];
  const subscription = client.subscribe("news", {
    message: (one) => messages.push(one),
    gap: (gap) => gaps.push(gap),
    error: (error) => errors.push(error.code),
  });
  return { messages, gaps, errors, subscription };
}

/** Answers the subscription that the client asks for. */
async function subscribed(peer: Peer, answer: object): Promise<Record<string, unknown>> {
  const frame = await peer.next("subscribe");
  peer.send({ type: "ack", id: frame.id, channel: frame.channel, ...answer });
  return frame;
}

describe("acknowledging", () => {
  test("a consumer subscribes by its name and acknowledges a message by its place", async () => {
    const { client } = hub.client();
    const messages: Message[] = [];
    client.subscribe("news", (one) => messages.push(one), { consumer: "c" });
    const peer = await hub.peer();
    peer.welcome();
    const frame = await subscribed(peer, { epoch: "e1", offset: 0, recovered: false });
    peer.send({ ...message(1), redelivered: true });
    await until(() => messages.length === 1);

    const done = client.acknowledge(messages[0] as Message);
    const ack = await peer.next("ack");
    peer.send({ type: "ack", id: ack.id, channel: "news", epoch: "e1", offset: 1 });

    expect(frame.consumer).toBe("c");
    expect(messages[0]?.redelivered).toBe(true);
    expect(ack).toMatchObject({ channel: "news", epoch: "e1", offset: 1 });
    expect((await done).offset).toBe(1);
  });
});

describe("connecting", () => {
  test("a token travels as a subprotocol, asked for anew with each connection", async () => {
    let asked = 0;
    hub.client({ token: async () => `t${++asked}` });

    const first = await hub.peer(0);
    first.welcome();
    first.socket.terminate();
    const second = await hub.peer(1);

    expect(first.offered).toEqual(["nexus.json", "nexus.bearer.t1"]);
    expect(second.offered).toEqual(["nexus.json", "nexus.bearer.t2"]);
  });

  test("a token may be the first message instead, and is then not in the handshake", async () => {
    hub.client({ token: "secret", auth: "message" });

    const peer = await hub.peer();

    expect(peer.offered).toEqual(["nexus.json", "nexus.auth"]);
    expect(await peer.next("auth")).toEqual({ type: "auth", token: "secret" });
  });

  test("a fresh token is sent when the old one expires", async () => {
    let asked = 0;
    hub.client({ token: () => `t${++asked}` });
    const peer = await hub.peer();
    peer.welcome();

    peer.send({ type: "expiring", seconds: 30 });

    expect(await peer.next("auth")).toEqual({ type: "auth", token: "t2" });
  });

  test.each([1000, 4002, 4009])("a close with %i is final, and requests are told", async (code) => {
    const { client, statuses } = hub.client();
    const peer = await hub.peer();
    const asked = client.publish("news", 1);
    asked.catch(() => {});

    peer.socket.close(code, "go away");

    await expect(asked).rejects.toMatchObject({ code: "closed" });
    expect(statuses.at(-1)).toEqual({ state: "closed", code, reason: "go away" });
    await expect(client.history("news")).rejects.toMatchObject({ code: "closed" });
    expect(hub.peers.length).toBe(1);
  });

  test.each([1001, 1011, 4008, 4010, 4012])("after a close with %i it comes back", async (code) => {
    hub.client();
    (await hub.peer(0)).socket.close(code);

    await hub.peer(1);
  });

  test("a refused token is final, at once or where the fresh ones are refused too", async () => {
    const { client } = hub.client({ token: "bad" });
    (await hub.peer(0)).socket.close(4003);
    await until(() => client.status.state === "closed");

    const { client: provided } = hub.client({ token: () => "bad" });
    for (let number = 1; number <= 4; number += 1) {
      (await hub.peer(number)).socket.close(4003);
    }
    await until(() => provided.status.state === "closed");
    expect(hub.peers.length).toBe(5);
  });

  test("a token that cannot be had is asked for again", async () => {
    let asked = 0;
    hub.client({
      token: () => {
        asked += 1;
        if (asked === 1) {
          throw new Error("offline");
        }
        return "t";
      },
    });

    expect((await hub.peer()).offered).toContain("nexus.bearer.t");
  });

  test("the advice to reconnect is followed within its delay", async () => {
    const { statuses } = hub.client({ random: () => 0.5 });
    const peer = await hub.peer();
    peer.welcome();
    peer.send({ type: "reconnect", delay_ms: 60, reason: "draining" });
    peer.socket.close(4012);

    await hub.peer(1);

    const waiting = statuses.find((status) => status.state === "waiting");
    expect(waiting?.code).toBe(4012);
    expect(waiting?.retryIn).toBeGreaterThan(5);
    expect(waiting?.retryIn).toBeLessThanOrEqual(30);
  });

  test("advised, it leaves by itself where the server does not close", async () => {
    hub.client();
    const peer = await hub.peer();
    peer.welcome();

    peer.send({ type: "reconnect", delay_ms: 10, reason: "elsewhere" });

    await hub.peer(1);
  });

  test("a server that says nothing is given up", async () => {
    hub.client({ connectTimeout: 30 });

    await hub.peer(1);
  });

  test("a silent connection is pinged, and given up where nothing comes back", async () => {
    const { statuses } = hub.client();
    const peer = await hub.peer();
    peer.welcome({ ping_seconds: 1 });

    await peer.next("ping");
    await hub.peer(1);

    expect(statuses.find((status) => status.state === "waiting")).toMatchObject({ code: 4000 });
  });

  test("what is not a frame does no harm; what cannot be read is reported and left out", async () => {
    const errors: Error[] = [];
    const { client } = hub.client({ onError: (error) => errors.push(error) });
    const { messages, gaps } = listen(client);
    const peer = await hub.peer();
    peer.welcome();
    peer.socket.send('[null, 1, {"no": "type"}, {"type": "unheard_of"}, {"type": "message"}]');
    peer.send({ type: "ping" });
    await peer.next("pong");
    await subscribed(peer, { epoch: "e1", offset: 0 });

    peer.send(message(1));
    peer.socket.send('{"type": "message", "channel": "news", "offset": 2');
    peer.socket.send(Buffer.from([0xff, 0xfe]));
    peer.send(message(3));

    await until(() => messages.length === 2);
    expect(errors).toMatchObject([{ code: "malformed_body" }, { code: "malformed_body" }]);
    expect(gaps).toEqual([{ channel: "news", reason: "missing", count: 1 }]);
    expect(client.status.state).toBe("connected");
    expect(hub.peers.length).toBe(1);
  });
});

describe("channels", () => {
  test("messages come in order, once, from the position of the subscription", async () => {
    const { client } = hub.client();
    const { messages, gaps, subscription } = listen(client);
    const peer = await hub.peer();
    peer.welcome();
    const frame = await subscribed(peer, { epoch: "e1", offset: 4 });

    peer.socket.send(JSON.stringify([5, 6, 6, 5, 7].map((offset) => message(offset))));

    await until(() => messages.length === 3);
    expect(frame).not.toHaveProperty("epoch");
    expect(messages.map(({ offset }) => offset)).toEqual([5, 6, 7]);
    expect(subscription.position).toEqual({ epoch: "e1", offset: 7 });
    expect(gaps).toEqual([]);
  });

  test("after a cut it asks from where it was, and a whole recovery is no gap", async () => {
    const { client } = hub.client();
    const { messages, gaps } = listen(client);
    const first = await hub.peer(0);
    first.welcome();
    await subscribed(first, { epoch: "e1", offset: 0 });
    first.send(message(1));
    await until(() => messages.length === 1);
    first.socket.terminate();

    const second = await hub.peer(1);
    second.welcome();
    const frame = await subscribed(second, { epoch: "e1", offset: 3, recovered: true, missed: 2 });
    second.socket.send(JSON.stringify([message(2), message(3)]));

    await until(() => messages.length === 3);
    expect(frame).toMatchObject({ epoch: "e1", offset: 1 });
    expect(gaps).toEqual([]);
  });

  test("what cannot be recovered is told before the next message", async () => {
    const { client } = hub.client();
    const { messages, gaps } = listen(client);
    const first = await hub.peer(0);
    first.welcome();
    await subscribed(first, { epoch: "e1", offset: 9 });
    first.send(message(10));
    await until(() => messages.length === 1);
    first.socket.terminate();

    const second = await hub.peer(1);
    second.welcome();
    await subscribed(second, { epoch: "e2", offset: 3, recovered: false });
    second.send(message(4, "e2"));

    await until(() => messages.length === 2);
    expect(gaps).toEqual([{ channel: "news", reason: "lost" }]);
  });

  test("a drop is told once, with its count", async () => {
    const { client } = hub.client();
    const { messages, gaps } = listen(client);
    const peer = await hub.peer();
    peer.welcome();
    await subscribed(peer, { epoch: "e1", offset: 0 });

    peer.send({ type: "dropped", channel: "news", count: 3, epoch: "e1", offset: 4 });
    peer.send(message(4));
    peer.send({ type: "dropped", channel: "news", count: 0, epoch: "e2", offset: 1 });
    peer.send(message(2, "e2"));

    await until(() => messages.length === 2);
    expect(gaps).toEqual([
      { channel: "news", reason: "dropped", count: 3 },
      { channel: "news", reason: "dropped" },
    ]);
  });

  test("a hole that nobody told is told", async () => {
    const { client } = hub.client();
    const { messages, gaps } = listen(client);
    const peer = await hub.peer();
    peer.welcome();
    await subscribed(peer, { epoch: "e1", offset: 0 });

    for (const one of [message(1), message(4), message(1, "e2")]) {
      peer.send(one);
    }

    await until(() => messages.length === 3);
    expect(gaps).toEqual([
      { channel: "news", reason: "missing", count: 2 },
      { channel: "news", reason: "missing" },
    ]);
  });

  test("a subscription refused with `retry_after` is asked for again after that time", async () => {
    const { client } = hub.client();
    const { errors, messages } = listen(client);
    const peer = await hub.peer();
    peer.welcome();
    const { id } = await peer.next("subscribe");
    const begin = performance.now();
    peer.send({ type: "error", id, code: "rate_limit_exceeded", error: "slow", retry_after: 0.1 });

    const second = await subscribed(peer, { epoch: "e1", offset: 0, recovered: false });
    const passed = performance.now() - begin;
    peer.send(message(1));
    await until(() => messages.length === 1);

    expect(second.id).not.toBe(id);
    expect(passed).toBeGreaterThan(90);
    expect(errors).toEqual([]);
  });

  test("a refused subscription is told, and asked for again with the next connection", async () => {
    const { client } = hub.client();
    const { errors } = listen(client);
    const peer = await hub.peer();
    peer.welcome();
    const frame = await peer.next("subscribe");
    peer.send({ type: "error", id: frame.id, code: "permission_denied", error: "no" });
    await until(() => errors.length === 1);
    peer.socket.terminate();

    const second = await hub.peer(1);
    second.welcome();
    await second.next("subscribe");
    expect(errors).toEqual(["permission_denied"]);
  });

  test("a channel is subscribed to once, and again after it was left", async () => {
    const { client } = hub.client();
    const { subscription } = listen(client);
    expect(() => client.subscribe("news", () => {})).toThrow("has a subscription");
    const peer = await hub.peer();
    peer.welcome();
    await peer.next("subscribe");

    subscription.unsubscribe();
    subscription.unsubscribe();
    expect(await peer.next("unsubscribe")).toMatchObject({ channel: "news" });
    client.subscribe("news", () => {}, { presence: true, position: { epoch: "e9", offset: 2 } });

    expect(await peer.next("subscribe")).toMatchObject({ presence: true, epoch: "e9", offset: 2 });
  });

  test("who comes and leaves is told", async () => {
    const { client } = hub.client();
    const seen: string[] = [];
    client.subscribe("news", { message: () => {}, presence: ({ type }) => seen.push(type) });
    const peer = await hub.peer();
    peer.welcome();
    await subscribed(peer, { epoch: "e1", offset: 0 });

    const member = { connection: "c2", subject: "bob" };
    for (const type of ["join", "leave"]) {
      peer.send({ type, channel: "news", member, timestamp: "t" });
    }

    await until(() => seen.length === 2);
    expect(seen).toEqual(["join", "leave"]);
  });
});

describe("requests", () => {
  test("what is published before the connection stands is sent then, in order", async () => {
    const { client } = hub.client();
    const all = [client.publish("news", 1, { key: "k" }), client.publish("news", 2)];
    const peer = await hub.peer();
    peer.welcome();

    const first = await peer.next("publish");
    const second = await peer.next("publish");
    peer.send({ type: "ack", id: second.id, channel: "news", epoch: "e1", offset: 2 });
    peer.send({ type: "ack", id: first.id, channel: "news", epoch: "e1", offset: 1 });

    expect(first).toMatchObject({ channel: "news", data: 1, key: "k" });
    expect((await Promise.all(all)).map(({ offset }) => offset)).toEqual([1, 2]);
  });

  test("a refusal is an error with its code and when to try again", async () => {
    const { client } = hub.client();
    const asked = client.publish("news", 1);
    const peer = await hub.peer();
    peer.welcome();
    const { id } = await peer.next("publish");

    peer.send({ type: "error", id, code: "rate_limit_exceeded", error: "slow", retry_after: 2 });

    await expect(asked).rejects.toMatchObject({ code: "rate_limit_exceeded", retryAfter: 2 });
  });

  test("an answer that is lost is told, and nothing is sent twice", async () => {
    const { client } = hub.client();
    const asked = client.publish("news", 1);
    const peer = await hub.peer();
    peer.welcome();
    await peer.next("publish");

    peer.socket.terminate();

    await expect(asked).rejects.toMatchObject({ code: "connection_lost" });
    const second = await hub.peer(1);
    second.welcome();
    const later = client.presence("news");
    const { id } = await second.next("presence");
    const members = [{ connection: "c", subject: "s" }];
    second.send({ type: "presence", id, channel: "news", members });
    expect(await later).toEqual(members);
    expect(second.frames.filter(({ type }) => type === "publish")).toEqual([]);
  });

  test("requests are bounded, and none waits for ever", async () => {
    const { client } = hub.client({ maxRequests: 2, requestTimeout: 30 });

    const waiting = [client.history("a"), client.history("b")];
    const refused = client.history("c");

    await expect(refused).rejects.toMatchObject({ code: "queue_full" });
    for (const outcome of await Promise.allSettled(waiting)) {
      expect(outcome).toMatchObject({ status: "rejected", reason: { code: "timeout" } });
    }
  });

  test("history is what the hub has kept", async () => {
    const { client } = hub.client();
    const asked = client.history("news", { limit: 1 });
    const peer = await hub.peer();
    peer.welcome();
    const { id, limit } = await peer.next("history");
    const items = [{ offset: 1, data: 1, timestamp: "t" }];
    peer.send({ type: "history", id, channel: "news", epoch: "e1", items, recovered: true });

    expect(limit).toBe(1);
    expect((await asked).items).toEqual(items);
  });
});

test("the same in MessagePack", async () => {
  const binary = await Hub.start(msgpack);
  try {
    const { client } = binary.client({ codec: msgpack });
    const { messages } = listen(client);
    const peer = await binary.peer();
    peer.welcome();
    await subscribed(peer, { epoch: "e1", offset: 0 });
    peer.send(message(1));

    await until(() => messages.length === 1);
    expect(peer.offered).toEqual(["nexus.msgpack"]);
    expect(messages[0]?.data).toEqual({ offset: 1 });
  } finally {
    binary.stop();
  }
});
