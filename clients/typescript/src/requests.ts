/**
 * Pending requests: each has an id and a deadline, and their number is bounded. A request that cannot be sent yet waits
 * in order, for a connection or until the socket has room.
 */

import { RealtimeError } from "./errors.js";
import type { Frame } from "./protocol.js";
import { Timer } from "./timer.js";

/** An encoded frame. */
export type Content = string | Uint8Array<ArrayBuffer>;

interface Waiting {
  readonly content: Content;
  readonly resolve: (frame: Frame) => void;
  readonly reject: (error: RealtimeError) => void;
  timer: Timer;
  sent: boolean;
}

/** The requests of one client. */
export class Requests {
  private readonly waiting = new Map<number, Waiting>();
  private last = 0;

  /**
   * @param encode encodes a frame.
   * @param send sends a frame; returns false if it must wait, an error if it can never be sent.
   */
  constructor(
    private readonly bound: number,
    private readonly timeout: number,
    private readonly encode: (frame: object) => Content,
    private readonly send: (content: Content) => boolean | RealtimeError,
  ) {}

  /** Makes a new id. */
  id(): number {
    this.last += 1;
    return this.last;
  }

  /**
   * Stores a request until it is answered, and sends it now or with `flush`. It has `timeout` to be sent, and the same
   * time again to be answered.
   */
  async ask(fields: object): Promise<Frame> {
    if (this.waiting.size >= this.bound) {
      const many = `${this.bound} requests wait for an answer already`;
      throw new RealtimeError("queue_full", many);
    }
    const id = this.id();
    const content = this.encode({ ...fields, id });
    return await new Promise((resolve, reject) => {
      const timer = this.deadline(id, `it could not be sent within ${this.timeout} ms`);
      this.waiting.set(id, { content, resolve, reject, timer, sent: false });
      this.flush();
    });
  }

  /** Sends waiting requests in order; returns whether all are sent. */
  flush(): boolean {
    for (const [id, request] of this.waiting) {
      if (!request.sent) {
        const sent = this.send(request.content);
        if (sent === false) {
          return false;
        }
        if (sent !== true) {
          this.answer(id, sent);
          continue;
        }
        request.sent = true;
        request.timer.cancel();
        request.timer = this.deadline(id, `no answer came within ${this.timeout} ms`);
      }
    }
    return true;
  }

  /** Completes a request; returns false if no request with this id is pending. */
  answer(id: unknown, outcome: Frame | RealtimeError): boolean {
    const request = typeof id === "number" ? this.waiting.get(id) : undefined;
    if (request === undefined) {
      return false;
    }
    this.waiting.delete(id as number);
    request.timer.cancel();
    if (outcome instanceof RealtimeError) {
      request.reject(outcome);
    } else {
      request.resolve(outcome);
    }
    return true;
  }

  /** Fails the requests that were sent; only the caller knows whether to repeat them. */
  lost(): void {
    for (const [id, request] of [...this.waiting]) {
      if (request.sent) {
        this.answer(
          id,
          new RealtimeError("connection_lost", "the answer was lost with the connection"),
        );
      }
    }
  }

  /** Fails all requests. */
  close(error: RealtimeError): void {
    for (const id of [...this.waiting.keys()]) {
      this.answer(id, error);
    }
  }

  private deadline(id: number, message: string): Timer {
    const late = () => void this.answer(id, new RealtimeError("timeout", message));
    return new Timer(this.timeout, late, true);
  }
}
