/**
 * Requests that wait for an answer: each has an id and a deadline, and there are never more than a bound.
 */

import { RealtimeError } from "./errors.js";
import type { Frame } from "./protocol.js";

interface Waiting {
  readonly frame: object;
  readonly resolve: (frame: Frame) => void;
  readonly reject: (error: RealtimeError) => void;
  readonly timer: ReturnType<typeof setTimeout>;
  sent: boolean;
}

/** The requests of one client. */
export class Requests {
  private readonly waiting = new Map<number, Waiting>();
  private last = 0;

  constructor(
    private readonly bound: number,
    private readonly timeout: number,
  ) {}

  /** Makes an id that was not used before. */
  id(): number {
    this.last += 1;
    return this.last;
  }

  /** Keeps a request until it is answered; `send` tells whether it could be sent now. */
  ask(fields: object, send: (frame: object) => boolean): Promise<Frame> {
    if (this.waiting.size >= this.bound) {
      const many = `${this.bound} requests wait for an answer already`;
      return Promise.reject(new RealtimeError("queue_full", many));
    }
    const id = this.id();
    const frame = { ...fields, id };
    return new Promise((resolve, reject) => {
      const late = () => {
        this.waiting.delete(id);
        reject(new RealtimeError("timeout", `no answer came within ${this.timeout} ms`));
      };
      const timer = setTimeout(late, this.timeout);
      this.waiting.set(id, { frame, resolve, reject, timer, sent: send(frame) });
    });
  }

  /** Sends what waits to be sent, in order. */
  flush(send: (frame: object) => boolean): void {
    for (const request of this.waiting.values()) {
      request.sent ||= send(request.frame);
    }
  }

  /** Gives an answer to its request; whether there is one. */
  answer(id: unknown, outcome: Frame | RealtimeError): boolean {
    const request = typeof id === "number" ? this.waiting.get(id) : undefined;
    if (request === undefined) {
      return false;
    }
    this.waiting.delete(id as number);
    clearTimeout(request.timer);
    if (outcome instanceof RealtimeError) {
      request.reject(outcome);
    } else {
      request.resolve(outcome);
    }
    return true;
  }

  /** The connection is lost: what was sent may have been done, and only the caller knows whether to repeat it. */
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

  /** Nothing will be answered any more. */
  close(error: RealtimeError): void {
    for (const id of [...this.waiting.keys()]) {
      this.answer(id, error);
    }
  }
}
