/**
 * The client: one socket that comes back by itself, the channels listened to, and the requests on their way.
 */

import { Backoff, type BackoffOptions } from "./backoff.js";
import { RealtimeError } from "./errors.js";
import {
  type Ack,
  type Codec,
  type Frame,
  framesOf,
  type History,
  json,
  type Member,
  type Message,
  type PresenceEvent,
  verdictOf,
} from "./protocol.js";
import { Requests } from "./requests.js";
import { type Handlers, type SubscribeOptions, Subscription } from "./subscription.js";

/** The part of a WebSocket that is used: a browser's, Node's own, or that of the package `ws`. */
export interface Socket {
  binaryType: string;
  readonly bufferedAmount: number;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
}

/** Makes a socket. */
export type SocketConstructor = new (url: string, protocols: string[]) => Socket;

/** How the connection stands. `retryIn` is milliseconds. */
export type Status =
  | { readonly state: "connecting" }
  | { readonly state: "connected"; readonly connection: string }
  | {
      readonly state: "waiting";
      readonly retryIn: number;
      readonly code: number;
      readonly reason: string;
    }
  | { readonly state: "closed"; readonly code: number; readonly reason: string };

/** How a client connects. Times are milliseconds. */
export interface RealtimeOptions {
  /** The token, or what gives a fresh one: asked for each connection and when one expires. */
  readonly token?: string | (() => string | Promise<string>);
  /** How the token is brought: `subprotocol` (browsers too), or by the first `message`. */
  readonly auth?: "subprotocol" | "message";
  /** JSON, or MessagePack by `nexus-warp-realtime/msgpack`. */
  readonly codec?: Codec;
  /** Where there is none of the platform: that of the package `ws`. */
  readonly WebSocket?: SocketConstructor;
  readonly backoff?: Partial<BackoffOptions>;
  /** For a connection to be made and welcomed. */
  readonly connectTimeout?: number;
  /** For an answer to a request. */
  readonly requestTimeout?: number;
  /** Requests that may wait for an answer. */
  readonly maxRequests?: number;
  /** Bytes that may wait in the socket. */
  readonly maxBuffered?: number;
  /** Called at each change. */
  readonly onStatus?: (status: Status) => void;
  readonly random?: () => number;
}

const TOO_LATE = 4000;

/** A connection to the hub. It begins to connect at once; `close` ends it for good. */
export class Realtime {
  private readonly subscriptions = new Map<string, Subscription>();
  private readonly asking = new Map<number, string>();
  private readonly requests: Requests;
  private readonly backoff: Backoff;
  private readonly codec: Codec;
  private readonly random: () => number;
  private readonly url: string;
  private socket: Socket | undefined;
  private welcomed = 0;
  private heard = 0;
  private comeBackAt = 0;
  private refusedTokens = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private advice: ReturnType<typeof setTimeout> | undefined;
  private pulse: ReturnType<typeof setInterval> | undefined;
  private current: Status = { state: "connecting" };

  /** @param url of the hub; `http` is read as `ws`. */
  constructor(
    url: string,
    private readonly options: RealtimeOptions = {},
  ) {
    this.url = url.replace(/^http/, "ws");
    this.codec = options.codec ?? json;
    this.random = options.random ?? Math.random;
    const times = { base: 500, cap: 30_000, stable: 5000, ...options.backoff };
    this.backoff = new Backoff(times, this.random);
    this.requests = new Requests(options.maxRequests ?? 256, options.requestTimeout ?? 10_000);
    void this.connect();
  }

  /** How the connection stands. */
  get status(): Status {
    return this.current;
  }

  /**
   * Listens to a channel, now and after each reconnection, until it is unsubscribed.
   *
   * @throws RealtimeError `already_subscribed`: a socket has each channel once.
   */
  subscribe<T = unknown>(
    channel: string,
    handlers: Handlers<T> | Handlers<T>["message"],
    options: SubscribeOptions = {},
  ): Subscription<T> {
    if (this.subscriptions.has(channel)) {
      throw new RealtimeError("already_subscribed", `the channel ${channel} has a subscription`);
    }
    const all = typeof handlers === "function" ? { message: handlers } : handlers;
    const made = new Subscription<T>(channel, all, options, () => this.forget(channel));
    // What comes is what was published: its type is the publisher's promise, which nobody can check here.
    const kept = made as unknown as Subscription;
    this.subscriptions.set(channel, kept);
    if (this.welcomed > 0) {
      this.ask(kept);
    }
    return made;
  }

  /** Publishes; resolves when the hub has taken it. Before there is a connection it waits for one. */
  async publish(
    channel: string,
    data: unknown,
    options: { readonly key?: string; readonly traceparent?: string } = {},
  ): Promise<Ack> {
    return (await this.request({ type: "publish", channel, data, ...options })) as unknown as Ack;
  }

  /**
   * Says that a message and all before it are taken, in a channel that delivers at least once. What is not acknowledged
   * comes again to a client that starts anew.
   */
  async acknowledge(message: Message): Promise<Ack> {
    const { channel, epoch, offset } = message;
    return (await this.request({ type: "ack", channel, epoch, offset })) as unknown as Ack;
  }

  /** Reads what a channel has kept after a position, oldest first. */
  async history<T = unknown>(
    channel: string,
    options: { readonly epoch?: string; readonly offset?: number; readonly limit?: number } = {},
  ): Promise<History<T>> {
    const answer = await this.request({ type: "history", channel, ...options });
    return answer as unknown as History<T>;
  }

  /** Says who is subscribed to a channel. */
  async presence(channel: string): Promise<readonly Member[]> {
    const answer = await this.request({ type: "presence", channel });
    return Array.isArray(answer.members) ? (answer.members as Member[]) : [];
  }

  /** Ends the connection for good; what waits for an answer is refused with `closed`. */
  close(): void {
    this.finish(1000, "closed by this client");
  }

  private async connect(): Promise<void> {
    this.tell({ state: "connecting" });
    const deadline = this.options.connectTimeout ?? 10_000;
    this.timer = setTimeout(() => this.drop(TOO_LATE, "no welcome came in time"), deadline);
    let token: string | undefined;
    try {
      token = await this.token();
    } catch (error) {
      this.lost(4003, `no token: ${error instanceof Error ? error.message : String(error)}`, true);
      return;
    }
    if (this.current.state === "connecting" && this.socket === undefined) {
      this.open(token);
    }
  }

  private async token(): Promise<string | undefined> {
    const given = this.options.token;
    return typeof given === "function" ? await given() : given;
  }

  private open(token: string | undefined): void {
    const Made = this.options.WebSocket ?? (globalThis.WebSocket as unknown as SocketConstructor);
    const first = token !== undefined && this.options.auth === "message";
    const protocols: string[] = [this.codec.protocol];
    if (token !== undefined) {
      protocols.push(first ? "nexus.auth" : `nexus.bearer.${token}`);
    }
    const socket = new Made(this.url, protocols);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => first && this.write({ type: "auth", token });
    socket.onmessage = (event: { data: string | ArrayBuffer }) => {
      if (this.socket === socket) {
        this.read(event.data);
      }
    };
    socket.onerror = () => {}; // a close follows, and says as much
    socket.onclose = (event: { code: number; reason: string }) => {
      if (this.socket === socket) {
        this.lost(event.code, event.reason);
      }
    };
    this.socket = socket;
  }

  private read(data: string | ArrayBuffer): void {
    this.heard = Date.now();
    let decoded: unknown;
    try {
      decoded = this.codec.decode(data);
    } catch {
      this.drop(1007, "a frame cannot be read");
      return;
    }
    for (const frame of framesOf(decoded)) {
      this.take(frame);
    }
  }

  private take(frame: Frame): void {
    const subscription = this.subscriptions.get(String(frame.channel));
    switch (frame.type) {
      case "welcome":
        this.welcome(frame);
        break;
      case "message":
      case "metrics_update":
        subscription?.received(frame);
        break;
      case "dropped":
        subscription?.dropped(frame);
        break;
      case "join":
      case "leave":
        subscription?.handlers.presence?.(frame as unknown as PresenceEvent);
        break;
      case "ack":
        this.acknowledged(frame);
        break;
      case "history":
      case "presence":
        this.requests.answer(frame.id, frame);
        break;
      case "error":
        this.refused(frame);
        break;
      case "expiring":
        void this.refresh();
        break;
      case "reconnect":
        this.advised(frame);
        break;
      case "ping":
        this.write({ type: "pong" });
        break;
    }
  }

  private welcome(frame: Frame): void {
    clearTimeout(this.timer);
    this.welcomed = Date.now();
    this.refusedTokens = 0;
    const seconds = typeof frame.ping_seconds === "number" ? frame.ping_seconds : 25;
    this.watch(Math.max(1, seconds) * 1000);
    this.tell({ state: "connected", connection: String(frame.connection) });
    for (const subscription of this.subscriptions.values()) {
      this.ask(subscription);
    }
    this.requests.flush((waiting) => this.write(waiting));
  }

  /** Pings while the socket is quiet, and gives it up where nothing comes back. */
  private watch(period: number): void {
    clearInterval(this.pulse);
    this.pulse = setInterval(() => {
      const quiet = Date.now() - this.heard;
      if (quiet > 2 * period) {
        this.drop(TOO_LATE, "nothing was heard within two heartbeats");
      } else if (quiet >= period / 2) {
        this.write({ type: "ping" });
      }
    }, period / 2);
  }

  private ask(subscription: Subscription): void {
    const id = this.requests.id();
    this.asking.set(id, subscription.channel);
    if (!this.write(subscription.request(id))) {
      this.asking.delete(id); // asked again with the next connection
    }
  }

  private acknowledged(frame: Frame): void {
    const channel = this.asked(frame);
    if (channel === undefined) {
      this.requests.answer(frame.id, frame);
    } else {
      this.subscriptions.get(channel)?.acknowledged(frame as unknown as Ack);
    }
  }

  private refused(frame: Frame): void {
    const after = typeof frame.retry_after === "number" ? frame.retry_after : undefined;
    const error = new RealtimeError(String(frame.code), String(frame.error), after);
    const channel = this.asked(frame);
    if (channel === undefined) {
      this.requests.answer(frame.id, error);
    } else {
      this.subscriptions.get(channel)?.handlers.error?.(error);
    }
  }

  private asked(frame: Frame): string | undefined {
    const id = frame.id as number;
    const channel = this.asking.get(id);
    this.asking.delete(id);
    return channel;
  }

  private forget(channel: string): void {
    if (this.subscriptions.delete(channel)) {
      this.write({ type: "unsubscribe", channel });
    }
  }

  private async refresh(): Promise<void> {
    if (typeof this.options.token === "function") {
      try {
        this.write({ type: "auth", token: await this.token() });
      } catch {
        // The hub closes with 4001, and the next connection asks again.
      }
    }
  }

  private advised(frame: Frame): void {
    const millis = typeof frame.delay_ms === "number" ? Math.min(frame.delay_ms, 600_000) : 0;
    const part = this.random() * Math.max(0, millis);
    this.comeBackAt = Date.now() + part;
    clearTimeout(this.advice);
    this.advice = setTimeout(() => this.drop(1000, "asked to reconnect"), part);
  }

  /** Gives the socket up from this side, and comes back. */
  private drop(code: number, reason: string): void {
    const socket = this.socket;
    this.lost(code === 1000 ? 1001 : code, reason);
    // A page may close with 1000 or a code of its own, and with no other.
    socket?.close(code === 1000 || code >= 3000 ? code : TOO_LATE, reason);
  }

  private lost(code: number, reason: string, providerFailed = false): void {
    this.disconnect();
    const verdict = providerFailed ? "retry" : this.judge(code, reason);
    if (verdict === "stop") {
      this.finish(code, reason);
      return;
    }
    const advised = this.comeBackAt - Date.now();
    this.comeBackAt = 0;
    const later = verdict === "later" ? 5000 : 0;
    const retryIn = advised > 0 ? advised : later + this.backoff.next();
    this.tell({ state: "waiting", retryIn, code, reason });
    this.timer = setTimeout(() => void this.connect(), retryIn);
  }

  private judge(code: number, reason: string): "retry" | "later" | "stop" {
    const verdict = verdictOf(code, reason);
    if (verdict !== "fresh-token") {
      return verdict;
    }
    this.refusedTokens += 1;
    const canRenew = typeof this.options.token === "function" && this.refusedTokens <= 3;
    return canRenew ? "retry" : "stop";
  }

  /** Leaves the socket behind; what was on its way with it is told. */
  private disconnect(): void {
    clearTimeout(this.timer);
    clearTimeout(this.advice);
    clearInterval(this.pulse);
    if (this.welcomed > 0) {
      this.backoff.lasted(Date.now() - this.welcomed);
    }
    this.welcomed = 0;
    this.socket = undefined;
    this.asking.clear();
    this.requests.lost();
  }

  private finish(code: number, reason: string): void {
    const socket = this.socket;
    this.disconnect();
    socket?.close(1000);
    this.requests.close(new RealtimeError("closed", `the connection is closed: ${code} ${reason}`));
    this.tell({ state: "closed", code, reason });
  }

  private request(fields: object): Promise<Frame> {
    if (this.current.state === "closed") {
      return Promise.reject(new RealtimeError("closed", "the connection is closed"));
    }
    return this.requests.ask(fields, (frame) => this.welcomed > 0 && this.write(frame));
  }

  /** Sends a frame; false where there is no socket, or too much waits in it already. */
  private write(frame: object): boolean {
    const socket = this.socket;
    if (socket === undefined || socket.bufferedAmount > (this.options.maxBuffered ?? 1 << 20)) {
      return false;
    }
    try {
      socket.send(this.codec.encode(frame));
      return true;
    } catch {
      return false; // still connecting, or closing: the close tells
    }
  }

  private tell(status: Status): void {
    this.current = status;
    this.options.onStatus?.(status);
  }
}
