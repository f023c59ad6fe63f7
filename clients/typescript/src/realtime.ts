/**
 * The client of the hub: it reconnects, resumes its subscriptions and sends requests.
 */

import { Backoff, type BackoffOptions } from "./backoff.js";
import { Callbacks } from "./callbacks.js";
import { Credentials } from "./credentials.js";
import { RealtimeError } from "./errors.js";
import { Heartbeat } from "./heartbeat.js";
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
import { type Content, Requests } from "./requests.js";
import { type Handlers, type SubscribeOptions, Subscription } from "./subscription.js";
import { checkedNumber, Timer } from "./timer.js";

/** The part of a WebSocket that the client uses: a browser's, Node's, or that of the package `ws`. */
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

/** The constructor of a socket. */
export type SocketConstructor = new (url: string, protocols: string[]) => Socket;

/** The state of the connection. `retryIn` is in milliseconds. */
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

/** Options of a client. Times are in milliseconds; `Infinity` means no limit. */
export interface RealtimeOptions {
  /**
   * The token, or a function that returns one. The client calls it for each connection, and when a token expires. It
   * never sends a malformed token, and no message, status or error contains one.
   */
  readonly token?: string | (() => string | Promise<string>);
  /** How the token is sent: in a `subprotocol`, or in the first `message`. */
  readonly auth?: "subprotocol" | "message";
  /** JSON, or MessagePack from `nexus-warp-realtime/msgpack`. */
  readonly codec?: Codec;
  /** For a platform without its own: the one of the package `ws`. */
  readonly WebSocket?: SocketConstructor;
  readonly backoff?: Partial<BackoffOptions>;
  /** Until a connection is open and the hub has sent its welcome. */
  readonly connectTimeout?: number;
  /** Until a request is sent, and again until it is answered. */
  readonly requestTimeout?: number;
  /** The number of requests that may wait to be sent or answered. */
  readonly maxRequests?: number;
  /** Bytes that may wait in the socket; while there are more, requests wait in the client. */
  readonly maxBuffered?: number;
  /** Called at each change of the status. */
  readonly onStatus?: (status: Status) => void;
  /**
   * Called with an error that concerns no request: a frame that cannot be decoded, which is skipped, or an exception of
   * a callback. Without it the error is reported to the page, or written to the console.
   */
  readonly onError?: (error: Error) => void;
  readonly random?: () => number;
}

const TIMED_OUT = 4000;
const ABNORMAL = 1006;
/** Interval of the checks whether the socket has room again; browsers have no event for it. */
const DRAIN_POLL_MS = 20;
const RECONNECT_DELAY_MS_MAX = 600_000;
const RETRY_AFTER_MS_MAX = 600_000;
/** Exceptions of the constructor after which another attempt cannot succeed. */
const NOT_RETRIED: readonly string[] = ["SyntaxError", "SecurityError"];

/** A client of the hub. It connects at once, and until `close` it reconnects. */
export class Realtime {
  // Private fields of the language, so that logging a client logs no token.
  readonly #options: RealtimeOptions;
  readonly #url: string;
  readonly #credentials = new Credentials();
  readonly #requests: Requests;
  #socket: Socket | undefined;
  private readonly subscriptions = new Map<string, Subscription>();
  private readonly backoff: Backoff;
  private readonly codec: Codec;
  private readonly random: () => number;
  private readonly callbacks: Callbacks;
  private readonly heartbeat: Heartbeat;
  private readonly connectTimeout: number;
  private readonly maxBuffered: number;
  private attempt = 0;
  private welcomed: number | undefined;
  private maxFrameBytes = Number.POSITIVE_INFINITY;
  private reconnectAt = 0;
  private refusedTokens = 0;
  private handshakeStatus = 0;
  private timer: Timer | undefined;
  private reconnectTimer: Timer | undefined;
  private readonly retries = new Map<string, Timer>();
  private drain: ReturnType<typeof setTimeout> | undefined;
  private current: Status = { state: "connecting" };

  /**
   * @param url of the hub; `http` means `ws`.
   * @throws RealtimeError `token_invalid`: `token` is malformed.
   * @throws RangeError a time or a bound is negative or not a number.
   */
  constructor(url: string, options: RealtimeOptions = {}) {
    this.#options = options;
    this.#url = url.replace(/^http/i, "ws");
    this.codec = options.codec ?? json;
    this.random = options.random ?? Math.random;
    this.callbacks = new Callbacks(options.onError);
    const times = { base: 500, cap: 30_000, stable: 5000, ...options.backoff };
    for (const [name, millis] of Object.entries(times)) {
      checkedNumber(`backoff.${name}`, millis);
    }
    this.backoff = new Backoff(times, this.random);
    this.connectTimeout = checkedNumber("connectTimeout", options.connectTimeout ?? 10_000);
    const timeout = checkedNumber("requestTimeout", options.requestTimeout ?? 10_000);
    this.maxBuffered = checkedNumber("maxBuffered", options.maxBuffered ?? 1 << 20);
    this.#requests = new Requests(
      checkedNumber("maxRequests", options.maxRequests ?? 256),
      timeout,
      (frame) => this.codec.encode(frame),
      (content) => this.transmit(content),
    );
    this.heartbeat = new Heartbeat(
      () => void this.write({ type: "ping" }),
      () => this.drop(TIMED_OUT, "nothing was heard within two heartbeats"),
    );
    if (typeof options.token === "string") {
      this.#credentials.checked(options.token, options.auth !== "message");
    }
    void this.connect();
  }

  /** The state of the connection. */
  get status(): Status {
    return this.current;
  }

  /**
   * Subscribes to a channel, now and after each reconnection, until `unsubscribe`.
   *
   * @throws RealtimeError `already_subscribed`: a client has one subscription of a channel. `closed`: the client is
   *   closed.
   */
  subscribe<T = unknown>(
    channel: string,
    handlers: Handlers<T> | Handlers<T>["message"],
    options: SubscribeOptions = {},
  ): Subscription<T> {
    if (this.current.state === "closed") {
      throw this.closedError(this.current);
    }
    if (this.subscriptions.has(channel)) {
      throw new RealtimeError("already_subscribed", `the channel ${channel} has a subscription`);
    }
    const all = typeof handlers === "function" ? { message: handlers } : handlers;
    const end = () => this.forget(made as unknown as Subscription);
    const made = new Subscription<T>(channel, all, options, this.callbacks, end);
    // The type of the data is the publisher's promise; it cannot be checked here.
    const untyped = made as unknown as Subscription;
    this.subscriptions.set(channel, untyped);
    if (this.welcomed !== undefined) {
      this.ask(untyped);
    }
    return made;
  }

  /**
   * Publishes a message; resolves when the hub has accepted it. Waits for a connection and for room in the socket.
   *
   * @throws TypeError `data` cannot be encoded.
   */
  async publish(
    channel: string,
    data: unknown,
    options: { readonly key?: string; readonly traceparent?: string } = {},
  ): Promise<Ack> {
    return (await this.request({ type: "publish", channel, data, ...options })) as unknown as Ack;
  }

  /**
   * Acknowledges a message and all before it, on a channel with at-least-once delivery. After a restart the program
   * receives the messages that are not acknowledged.
   */
  async acknowledge(message: Message): Promise<Ack> {
    const { channel, epoch, offset } = message;
    return (await this.request({ type: "ack", channel, epoch, offset })) as unknown as Ack;
  }

  /** Reads the stored messages of a channel after a position, the oldest first. */
  async history<T = unknown>(
    channel: string,
    options: { readonly epoch?: string; readonly offset?: number; readonly limit?: number } = {},
  ): Promise<History<T>> {
    const answer = await this.request({ type: "history", channel, ...options });
    return answer as unknown as History<T>;
  }

  /** Lists the subscribers of a channel. */
  async presence(channel: string): Promise<readonly Member[]> {
    const answer = await this.request({ type: "presence", channel });
    return Array.isArray(answer.members) ? (answer.members as Member[]) : [];
  }

  /** Closes the client; pending requests fail with `closed`. */
  close(): void {
    this.finish(1000, "closed by this client", false);
  }

  private async connect(): Promise<void> {
    this.attempt += 1;
    const attempt = this.attempt;
    const late = () => this.drop(TIMED_OUT, "no welcome came in time");
    this.timer = new Timer(this.connectTimeout, late, true);
    this.setStatus({ state: "connecting" });
    let token: string | undefined;
    try {
      token = await this.token();
    } catch (error) {
      if (this.attempt === attempt) {
        this.tokenFailed(error);
      }
      return;
    }
    // Meanwhile the client may have been closed, or another attempt may have started.
    if (this.attempt === attempt) {
      this.open(token);
    }
  }

  /** Reports only the type of the error: the text of an exception of the program may quote credentials. */
  private tokenFailed(error: unknown): void {
    if (error instanceof RealtimeError && error.code === "token_invalid") {
      this.lost(4003, error.message);
    } else {
      const name = error instanceof Error ? error.name : typeof error;
      this.lost(ABNORMAL, `the function that gives the token has thrown ${name}`);
    }
  }

  private async token(): Promise<string | undefined> {
    const source = this.#options.token;
    if (source === undefined) {
      return undefined;
    }
    const token: unknown = typeof source === "function" ? await source() : source;
    return this.#credentials.checked(token, this.#options.auth !== "message");
  }

  private open(token: string | undefined): void {
    const inMessage = token !== undefined && this.#options.auth === "message";
    const protocols: string[] = [this.codec.protocol];
    if (token !== undefined) {
      protocols.push(inMessage ? "nexus.auth" : `nexus.bearer.${token}`);
    }
    const socket = this.createSocket(protocols);
    if (socket === undefined) {
      return;
    }
    this.handshakeStatus = 0;
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      if (inMessage && this.#socket === socket) {
        this.write({ type: "auth", token });
      }
    };
    socket.onmessage = (event: { data: string | ArrayBuffer }) => this.read(socket, event.data);
    // A close follows. The package `ws` says here which status the handshake was refused with; browsers do not.
    socket.onerror = (event: { message?: unknown }) => {
      const status = /Unexpected server response: (\d{3})/.exec(String(event?.message));
      this.handshakeStatus = this.#socket === socket && status !== null ? Number(status[1]) : 0;
    };
    socket.onclose = (event: { code: number; reason: string }) => {
      if (this.#socket === socket) {
        this.ended(event.code, event.reason);
      }
    };
  }

  /** Creates a socket. An exception is reported without its message, which may quote the token or the URL. */
  private createSocket(protocols: string[]): Socket | undefined {
    const Constructor =
      this.#options.WebSocket ?? (globalThis.WebSocket as unknown as SocketConstructor | undefined);
    if (Constructor === undefined) {
      this.finish(ABNORMAL, "this platform has no WebSocket: give one as the option WebSocket");
      return undefined;
    }
    try {
      return new Constructor(this.#url, protocols);
    } catch (error) {
      const name = error instanceof Error ? error.name : typeof error;
      const reason = `the WebSocket cannot be made: ${name}`;
      if (NOT_RETRIED.includes(name)) {
        this.finish(ABNORMAL, `${reason}; is the URL one of ws, wss, http or https?`);
      } else {
        this.lost(ABNORMAL, reason);
      }
      return undefined;
    }
  }

  private ended(code: number, reason: string): void {
    const status = this.handshakeStatus;
    if (status === 0) {
      this.lost(code, reason);
    } else if (status === 401) {
      this.lost(4003, "the handshake was refused with HTTP 401");
    } else if (status === 429) {
      this.lost(4029, "the handshake was refused with HTTP 429");
    } else if (status >= 500) {
      this.lost(code, `the handshake was refused with HTTP ${status}`);
    } else {
      this.finish(code, `the handshake was refused with HTTP ${status}`);
    }
  }

  private read(socket: Socket, data: string | ArrayBuffer): void {
    if (this.#socket !== socket) {
      return;
    }
    this.heartbeat.received();
    let frames: Frame[];
    try {
      frames = framesOf(this.codec.decode(data));
    } catch (error) {
      const name = error instanceof Error ? error.name : typeof error;
      const message = `a frame of the hub cannot be read, and is left out: ${name}`;
      this.callbacks.report(new RealtimeError("malformed_body", message));
      return;
    }
    for (const frame of frames) {
      if (this.#socket === socket) {
        this.onFrame(frame);
      }
    }
    this.flush();
  }

  private onFrame(frame: Frame): void {
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
        subscription?.moved(frame as unknown as PresenceEvent);
        break;
      case "ack":
        this.acknowledged(frame);
        break;
      case "history":
      case "presence":
        this.#requests.answer(frame.id, frame);
        break;
      case "error":
        this.refused(frame);
        break;
      case "expiring":
        void this.refresh();
        break;
      case "reconnect":
        this.onReconnect(frame);
        break;
      case "ping":
        if (this.hasRoom()) {
          this.write({ type: "pong" });
        }
        break;
    }
  }

  private welcome(frame: Frame): void {
    this.timer?.cancel();
    this.welcomed = performance.now();
    this.refusedTokens = 0;
    const { max_bytes } = frame;
    this.maxFrameBytes = typeof max_bytes === "number" ? max_bytes : Number.POSITIVE_INFINITY;
    this.heartbeat.start(frame.ping_seconds);
    for (const subscription of this.subscriptions.values()) {
      this.ask(subscription);
    }
    this.flush();
    this.setStatus({ state: "connected", connection: String(frame.connection) });
  }

  private ask(subscription: Subscription): void {
    this.write(subscription.request(this.#requests.id()));
  }

  private acknowledged(frame: Frame): void {
    const subscription = this.asked(frame);
    if (subscription === undefined) {
      this.#requests.answer(frame.id, frame);
    } else {
      subscription.acknowledged(frame as unknown as Ack);
    }
  }

  private refused(frame: Frame): void {
    const after = typeof frame.retry_after === "number" ? frame.retry_after : undefined;
    const message = this.#credentials.redacted(String(frame.error));
    const error = new RealtimeError(String(frame.code), message, after);
    if (this.#requests.answer(frame.id, error)) {
      return;
    }
    // Without an id the hub has ended a subscription: a new token does not permit it, for example.
    const ended =
      frame.id === undefined ? this.subscriptions.get(String(frame.channel)) : undefined;
    const asked = this.asked(frame);
    const subscription = asked ?? ended;
    if (asked !== undefined && after !== undefined) {
      this.askAfter(asked, after);
    } else if (subscription !== undefined) {
      subscription.refused(error);
    } else if (frame.id === undefined) {
      this.callbacks.report(error);
    }
  }

  /** Subscribes again after `seconds`, unless the subscription or the connection has ended by then. */
  private askAfter(subscription: Subscription, seconds: number): void {
    const { attempt } = this;
    const { channel } = subscription;
    const millis = Math.min(Math.max(0, seconds * 1000 || 0), RETRY_AFTER_MS_MAX);
    this.retries.get(channel)?.cancel();
    const timer = new Timer(millis, () => {
      this.retries.delete(channel);
      if (this.attempt === attempt && this.subscriptions.get(channel) === subscription) {
        this.ask(subscription);
      }
    });
    this.retries.set(channel, timer);
  }

  /** The subscription that waits for this answer, which may not be the current one of the channel. */
  private asked(frame: Frame): Subscription | undefined {
    if (typeof frame.id !== "number") {
      return undefined;
    }
    for (const subscription of this.subscriptions.values()) {
      if (subscription.pending === frame.id) {
        return subscription;
      }
    }
    return undefined;
  }

  private forget(subscription: Subscription): void {
    const { channel } = subscription;
    if (this.subscriptions.get(channel) === subscription) {
      this.subscriptions.delete(channel);
      if (this.welcomed !== undefined) {
        // With an id, so that its answer is not mistaken for one of the next subscription.
        this.write({ type: "unsubscribe", channel, id: this.#requests.id() });
      }
    }
  }

  private async refresh(): Promise<void> {
    const attempt = this.attempt;
    if (typeof this.#options.token === "function") {
      try {
        const token = await this.token();
        if (this.attempt === attempt && this.welcomed !== undefined) {
          this.write({ type: "auth", token });
        }
      } catch {
        // The hub closes with 4001, and the next connection gets a token.
      }
    }
  }

  private onReconnect(frame: Frame): void {
    const delay = typeof frame.delay_ms === "number" ? frame.delay_ms : 0;
    const millis = Math.min(Math.max(0, delay), RECONNECT_DELAY_MS_MAX);
    const part = this.random() * millis;
    this.reconnectAt = performance.now() + part;
    this.reconnectTimer?.cancel();
    this.reconnectTimer = new Timer(part, () => this.drop(1000, "asked to reconnect"));
  }

  /** Closes the socket and reconnects. */
  private drop(code: number, reason: string): void {
    const socket = this.#socket;
    this.lost(code === 1000 ? 1001 : code, reason);
    // A page may close with 1000 or a code from 3000, and with no other.
    shut(socket, code === 1000 || code >= 3000 ? code : TIMED_OUT, reason);
  }

  private lost(code: number, reason: string): void {
    this.disconnect();
    const verdict = this.judge(code, reason);
    if (verdict === "stop") {
      this.finish(code, reason);
      return;
    }
    const requested = this.reconnectAt - performance.now();
    this.reconnectAt = 0;
    const extra = verdict === "later" ? 5000 : 0;
    const retryIn = requested > 0 ? requested : extra + this.backoff.next();
    this.timer = new Timer(retryIn, () => void this.connect());
    this.setStatus({ state: "waiting", retryIn, code, reason: this.#credentials.redacted(reason) });
  }

  private judge(code: number, reason: string): "retry" | "later" | "stop" {
    const verdict = verdictOf(code, reason);
    if (verdict !== "fresh-token") {
      return verdict;
    }
    this.refusedTokens += 1;
    const canRenew = typeof this.#options.token === "function" && this.refusedTokens <= 3;
    return canRenew ? "retry" : "stop";
  }

  /** Forgets the socket; requests that were sent on it fail with `connection_lost`. */
  private disconnect(): void {
    this.attempt += 1;
    this.timer?.cancel();
    this.reconnectTimer?.cancel();
    for (const retry of this.retries.values()) {
      retry.cancel();
    }
    this.retries.clear();
    clearTimeout(this.drain);
    this.drain = undefined;
    this.heartbeat.stop();
    if (this.welcomed !== undefined) {
      this.backoff.lasted(performance.now() - this.welcomed);
    }
    this.welcomed = undefined;
    this.#socket = undefined;
    this.#requests.lost();
  }

  private finish(code: number, reason: string, failed = true): void {
    if (this.current.state === "closed") {
      return;
    }
    const socket = this.#socket;
    this.disconnect();
    shut(socket, 1000);
    const closed = { state: "closed", code, reason: this.#credentials.redacted(reason) } as const;
    const error = this.closedError(closed);
    const subscriptions = [...this.subscriptions.values()];
    this.subscriptions.clear();
    this.setStatus(closed);
    this.#requests.close(error);
    if (failed) {
      for (const subscription of subscriptions) {
        subscription.refused(error);
      }
    }
  }

  private closedError({ code, reason }: { code: number; reason: string }): RealtimeError {
    return new RealtimeError("closed", `the connection is closed: ${code} ${reason}`);
  }

  private async request(fields: object): Promise<Frame> {
    if (this.current.state === "closed") {
      throw this.closedError(this.current);
    }
    const answer = this.#requests.ask(fields);
    this.flush();
    return await answer;
  }

  /** Sends waiting requests; if the socket is full, the rest as soon as it has room. */
  private flush(): void {
    if (this.welcomed === undefined || this.#requests.flush() || this.drain !== undefined) {
      return;
    }
    this.drain = setTimeout(() => {
      this.drain = undefined;
      this.flush();
    }, DRAIN_POLL_MS);
  }

  private hasRoom(): boolean {
    return this.#socket !== undefined && this.#socket.bufferedAmount <= this.maxBuffered;
  }

  /** Sends a request; returns false if it must wait for a connection or for room. */
  private transmit(content: Content): boolean | RealtimeError {
    if (this.welcomed === undefined || !this.hasRoom()) {
      return false;
    }
    if (byteLengthOf(content) > this.maxFrameBytes) {
      const message = `the hub takes frames of ${this.maxFrameBytes} bytes at most`;
      return new RealtimeError("payload_too_large", message);
    }
    return this.send(content);
  }

  /** Sends a frame of the client itself; these are few and small, and do not wait. */
  private write(frame: object): boolean {
    return this.#socket !== undefined && this.send(this.codec.encode(frame));
  }

  private send(content: Content): boolean {
    try {
      this.#socket?.send(content);
      return true;
    } catch {
      return false; // still connecting, or closing: `onclose` follows
    }
  }

  private setStatus(status: Status): void {
    this.current = status;
    this.callbacks.run(() => this.#options.onStatus?.(status));
  }
}

function shut(socket: Socket | undefined, code: number, reason?: string): void {
  try {
    socket?.close(code, reason);
  } catch {
    // The socket is no longer used.
  }
}

function byteLengthOf(content: Content): number {
  return typeof content === "string" ? new TextEncoder().encode(content).length : content.length;
}
