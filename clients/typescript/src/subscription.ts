/**
 * A subscription to one channel. It remembers its position, asks for missed messages after a reconnection, and reports
 * a gap if some are lost.
 */

import type { Callbacks } from "./callbacks.js";
import type { RealtimeError } from "./errors.js";
import type { Ack, Frame, Message, Position, PresenceEvent } from "./protocol.js";

/** Missing messages. `count` is their number, if known. */
export interface Gap {
  readonly channel: string;
  /** `lost`: no longer stored; `dropped`: this client was too slow; `missing`: the hub did not report why. */
  readonly reason: "lost" | "dropped" | "missing";
  readonly count?: number;
}

/** Callbacks for the events of a subscription. */
export interface Handlers<T = unknown> {
  message(message: Message<T>): void;
  /** Messages are missing before the next one. */
  gap?(gap: Gap): void;
  /** The hub has accepted the subscription; `recovered` if no message was lost after a reconnection. */
  subscribed?(ack: Ack): void;
  /** Joins and leaves, if `presence` was requested. */
  presence?(event: PresenceEvent): void;
  /**
   * The hub refused the subscription or ended it. The client subscribes again with the next connection. A refusal
   * with `retry_after` is not reported: the client subscribes again after that time. The code `closed` means that the
   * client is closed, after a revocation for example, and receives nothing more.
   */
  error?(error: RealtimeError): void;
}

/** Options of a subscription. */
export interface SubscribeOptions {
  /** Also receive joins and leaves. */
  readonly presence?: boolean;
  /**
   * Messages after this position are delivered. By default delivery starts with the next message, or on a channel with
   * at-least-once delivery, with the first message that `consumer` has not acknowledged.
   */
  readonly position?: Position;
  /** The name under which messages are acknowledged, within the token's subject. */
  readonly consumer?: string;
}

/** A channel and the position in it. */
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

  /** The position of the last message received. */
  get position(): Position | undefined {
    return this.last;
  }

  /** Ends the subscription. */
  unsubscribe(): void {
    this.end();
  }

  /**
   * The id of the subscribe request that the hub has not answered yet. Until it has, messages of the channel belong to
   * an earlier subscription.
   */
  get pending(): number | undefined {
    return this.asked;
  }

  /** Makes the frame that subscribes to the channel, from the last position. */
  request(id: number): object {
    this.asked = id;
    const presence = this.options.presence ? { presence: true } : {};
    const { consumer } = this.options;
    const named = consumer === undefined ? {} : { consumer };
    return { type: "subscribe", channel: this.channel, id, ...this.last, ...presence, ...named };
  }

  /** Handles the position from which messages follow. */
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

  /** Handles a refusal, or the end of the client. */
  refused(error: RealtimeError): void {
    this.asked = undefined;
    this.callbacks.run(() => this.handlers.error?.(error));
  }

  /** Handles a message: each once, and never after a gap that was not reported. */
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
      this.checkGap(last, epoch, offset);
    }
    this.callbacks.run(() => this.handlers.message(frame as unknown as Message<T>));
  }

  /** Handles a join or leave. */
  moved(event: PresenceEvent): void {
    if (this.asked === undefined) {
      this.callbacks.run(() => this.handlers.presence?.(event));
    }
  }

  /** Handles the report that messages before the next one were dropped. */
  dropped(frame: Frame): void {
    if (this.asked !== undefined) {
      return;
    }
    this.gapReported = true;
    // 0 means that the number is unknown.
    const known = typeof frame.count === "number" && frame.count > 0;
    const count = known ? { count: frame.count as number } : {};
    this.gap({ channel: this.channel, reason: "dropped", ...count });
  }

  private gap(gap: Gap): void {
    this.callbacks.run(() => this.handlers.gap?.(gap));
  }

  private checkGap(last: Position, epoch: string, offset: number): void {
    if (last.epoch !== epoch) {
      this.gap({ channel: this.channel, reason: "missing" });
    } else if (offset > last.offset + 1) {
      const count = offset - last.offset - 1;
      this.gap({ channel: this.channel, reason: "missing", count });
    }
  }
}
