/**
 * One channel that is listened to: it remembers its place, so that after a cut it can ask for what it missed, and says
 * so where something is lost.
 */

import type { Callbacks } from "./callbacks.js";
import type { RealtimeError } from "./errors.js";
import type { Ack, Frame, Message, Position, PresenceEvent } from "./protocol.js";

/** A hole in what a subscriber sees. `count` is how many messages are missing, where that is known. */
export interface Gap {
  readonly channel: string;
  /** `lost`: not kept long enough to be recovered; `dropped`: this client was too slow; `missing`: neither was said. */
  readonly reason: "lost" | "dropped" | "missing";
  readonly count?: number;
}

/** What is called with what comes. */
export interface Handlers<T = unknown> {
  message(message: Message<T>): void;
  /** Messages are missing before the next one. */
  gap?(gap: Gap): void;
  /** The hub holds the subscription; `recovered` where it went on after a cut without a loss. */
  subscribed?(ack: Ack): void;
  /** Join and leave, where `presence` was asked for. */
  presence?(event: PresenceEvent): void;
  /**
   * The hub refuses the subscription, or ends it: it is not asked for again before the next connection. A refusal
   * with `retry_after` is not reported: the client asks again when that time has passed. With the code
   * `closed` the connection has ended for good, after a revocation for example, and nothing will come any more.
   */
  error?(error: RealtimeError): void;
}

/** How a channel is subscribed to. */
export interface SubscribeOptions {
  /** Also hear who comes and leaves. */
  readonly presence?: boolean;
  /**
   * Where to go on; by default with what is published from now on, and where the channel delivers at least once, with
   * what `consumer` has not acknowledged.
   */
  readonly position?: Position;
  /** As whom to acknowledge, within the token's subject. */
  readonly consumer?: string;
}

/** A channel and the place in it. */
export class Subscription<T = unknown> {
  private last: Position | undefined;
  private gapReported = false;
  private asked: number | undefined;

  constructor(
    readonly channel: string,
    private readonly handlers: Handlers<T>,
    private readonly options: SubscribeOptions,
    private readonly callbacks: Callbacks,
    private readonly end: () => void,
  ) {
    this.last = options.position;
  }

  /** The place of the last message seen. */
  get position(): Position | undefined {
    return this.last;
  }

  /** Stops listening. */
  unsubscribe(): void {
    this.end();
  }

  /**
   * The request that the hub has not answered yet. Until it has, what comes in the channel belongs to an earlier
   * subscription.
   */
  get pending(): number | undefined {
    return this.asked;
  }

  /** The frame that asks for the channel, from the place where it was left. */
  request(id: number): object {
    this.asked = id;
    const presence = this.options.presence ? { presence: true } : {};
    const { consumer } = this.options;
    const named = consumer === undefined ? {} : { consumer };
    return { type: "subscribe", channel: this.channel, id, ...this.last, ...presence, ...named };
  }

  /** The hub has said from where messages follow. */
  acknowledged(ack: Ack): void {
    this.asked = undefined;
    const resumed = this.last !== undefined;
    const lost = resumed && ack.recovered !== true;
    if (ack.epoch !== undefined && ack.offset !== undefined && !(resumed && ack.recovered)) {
      this.last = { epoch: ack.epoch, offset: ack.offset };
    }
    this.gapReported = false;
    if (lost) {
      this.gap({ channel: this.channel, reason: "lost" });
    }
    this.callbacks.run(() => this.handlers.subscribed?.(ack));
  }

  /** The hub has refused the subscription, or there is no connection for it any more. */
  refused(error: RealtimeError): void {
    this.asked = undefined;
    this.callbacks.run(() => this.handlers.error?.(error));
  }

  /** A message has come: once each, and never after a gap that was not reported. */
  received(frame: Frame): void {
    const { epoch, offset } = frame;
    if (this.asked !== undefined || typeof epoch !== "string" || typeof offset !== "number") {
      return;
    }
    const last = this.last;
    if (last?.epoch === epoch && offset <= last.offset) {
      return;
    }
    const reported = this.gapReported;
    this.gapReported = false;
    this.last = { epoch, offset };
    if (last !== undefined && !reported) {
      this.look(last, epoch, offset);
    }
    this.callbacks.run(() => this.handlers.message(frame as unknown as Message<T>));
  }

  /** Somebody came or left. */
  moved(event: PresenceEvent): void {
    if (this.asked === undefined) {
      this.callbacks.run(() => this.handlers.presence?.(event));
    }
  }

  /** Back-pressure has dropped messages before the next one. */
  dropped(frame: Frame): void {
    if (this.asked !== undefined) {
      return;
    }
    this.gapReported = true;
    // 0 says that nobody could count them.
    const known = typeof frame.count === "number" && frame.count > 0;
    const count = known ? { count: frame.count as number } : {};
    this.gap({ channel: this.channel, reason: "dropped", ...count });
  }

  private gap(gap: Gap): void {
    this.callbacks.run(() => this.handlers.gap?.(gap));
  }

  private look(last: Position, epoch: string, offset: number): void {
    if (last.epoch !== epoch) {
      this.gap({ channel: this.channel, reason: "missing" });
    } else if (offset > last.offset + 1) {
      const count = offset - last.offset - 1;
      this.gap({ channel: this.channel, reason: "missing", count });
    }
  }
}
