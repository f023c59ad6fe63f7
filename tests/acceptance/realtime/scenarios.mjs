// What a program does with the TypeScript client, the same in Node and in a browser. Each scenario gives what it saw.

import { Realtime, segment } from "nexus-warp-realtime";

/** Waits until `look` gives something. */
async function until(look) {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const found = look();
    if (found) {
      return found;
    }
    if (Date.now() > deadline) {
      throw new Error(`what was waited for did not come: ${look}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Runs with a client that is closed afterwards. */
async function using({ url, token, WebSocket }, options, run) {
  const statuses = [];
  const onStatus = (status) => statuses.push(status);
  const client = new Realtime(url, { token, WebSocket, onStatus, ...options });
  try {
    return await run(client, statuses);
  } finally {
    client.close();
  }
}

/** Leaves a channel and comes back to it again and again while others publish. */
export const resubscribe = (setup) =>
  using(setup, {}, async (client) => {
    const channel = `room:${segment("again:and:again")}`;
    let [published, publishing] = [0, true];
    const publish = async () => {
      while (publishing) {
        published += 1;
        await client.publish(channel, published);
      }
    };
    const [gaps, acks, seen] = [[], [], []];
    const busy = publish();
    for (let round = 0; round < 20; round += 1) {
      client.subscribe(channel, { message: () => {}, gap: (gap) => gaps.push(gap) }).unsubscribe();
      const subscription = client.subscribe(channel, {
        message: ({ offset }) => seen.push([round, offset]),
        gap: (gap) => gaps.push(gap),
        subscribed: ({ offset }) => acks.push([round, offset]),
      });
      await until(() => seen.some(([number]) => number === round));
      subscription.unsubscribe();
    }
    publishing = false;
    await busy;
    const follows = acks.every(([round, offset]) => {
      const first = seen.find(([number]) => number === round);
      return first?.[1] === offset + 1;
    });
    return { gaps, acks: acks.length, follows };
  });

/** Publishes more than a socket holds at once. */
export const burst = (setup) =>
  using(setup, {}, async (client) => {
    const text = "x".repeat(60_000);
    const all = Array.from({ length: 40 }, (_, number) =>
      client.publish("room:burst", { number, text }),
    );
    const outcomes = await Promise.allSettled(all);
    const offsets = outcomes.map(({ value }) => value?.offset);
    return {
      failed: outcomes.filter(({ status }) => status !== "fulfilled").length,
      inOrder: offsets.every((offset, place) => place === 0 || offset === offsets[place - 1] + 1),
    };
  });

/** Is closed while the function that gives the token has not answered; afterwards it answers, or fails. */
export const closedEarly = async (setup) => {
  const seen = [];
  for (const outcome of ["answer", "failure"]) {
    let settle;
    const token = () =>
      new Promise((resolve, reject) => {
        settle = () => (outcome === "answer" ? resolve(setup.token) : reject(new Error("late")));
      });
    await using(setup, { token, backoff: { base: 10 } }, async (client, statuses) => {
      client.close();
      settle();
      await new Promise((resolve) => setTimeout(resolve, 200));
      seen.push(...statuses.map(({ state }) => state));
    });
  }
  return seen;
};

/** Has its token revoked. */
export const revoked = (setup) =>
  using(setup, {}, async (client) => {
    const errors = [];
    let subscribed = false;
    client.subscribe("room:revoked", {
      message: () => {},
      subscribed: () => (subscribed = true),
      error: ({ code, message }) => errors.push({ code, message }),
    });
    await until(() => subscribed);
    await fetch(new URL("/revocations", setup.url.replace("ws", "http")), {
      method: "POST",
      headers: { authorization: `Bearer ${setup.admin}`, "content-type": "application/json" },
      body: JSON.stringify({ jti: setup.jti }),
    });
    await until(() => errors.length > 0);
    let refused = "";
    try {
      client.subscribe("room:other", () => {});
    } catch (error) {
      refused = error.code;
    }
    return { errors, refused, code: client.status.code };
  });

/** Has times that no platform's timer can hold. */
export const longTimes = (setup) =>
  using(
    setup,
    { connectTimeout: 2 ** 32, requestTimeout: 2 ** 40, backoff: { cap: 2 ** 33 } },
    async (client, statuses) => {
      await client.publish("room:long", 1);
      return statuses.map(({ state }) => state);
    },
  );

/** Is in a hidden tab, where timers are called rarely: longer apart than two heartbeats. */
export const throttled = async (setup) => {
  const real = globalThis.setInterval;
  globalThis.setInterval = (call, millis) => real(call, Math.max(millis, 2200));
  try {
    return await using(setup, {}, async (client, statuses) => {
      await until(() => client.status.state === "connected");
      await new Promise((resolve) => setTimeout(resolve, 3000));
      return statuses.map(({ state }) => state);
    });
  } finally {
    globalThis.setInterval = real;
  }
};

/** Has callbacks that throw, and a token that is none. */
export const faults = async (setup) => {
  const errors = [];
  const onError = ({ message }) => errors.push(message);
  const onStatus = ({ state }) => {
    throw new Error(state);
  };
  const offsets = await using(setup, { onError, onStatus }, async (client) => {
    const offsets = [];
    client.subscribe("room:faults", ({ offset }) => {
      offsets.push(offset);
      throw new Error("message");
    });
    await client.publish("room:faults", 1);
    await client.publish("room:faults", 2);
    await until(() => offsets.length === 2);
    return offsets.length;
  });
  let refused = "";
  try {
    new Realtime(setup.url, { ...setup, token: `${setup.token}\n` });
  } catch (error) {
    refused = String(error);
  }
  const nowhere = new Realtime("http://user:s3cr3t@", setup);
  await until(() => nowhere.status.state === "closed");
  const said = JSON.stringify([refused, nowhere.status, nowhere]);
  const quoted = said.includes(setup.token) || said.includes("s3cr3t");
  return { offsets, errors, refused: refused.slice(0, 13), quoted };
};
