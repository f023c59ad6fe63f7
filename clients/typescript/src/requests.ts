/**
 * Requests that wait for an answer: each has an id and a deadline, and there are never more than a bound. What cannot be
 * sent yet waits in order: for a connection, or until the socket has room.
 */

import { RealtimeError } from "./errors.js";
import type { Frame } from "./protocol.js";
import { Timer } from "./timer.js";

/** A frame as it goes over the wire. */
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
   * @param encode writes a frame.
   * @param send sends one; false where it must wait, an error where it never can be sent.
   */
  constructor(
    private readonly bound: number,
    private readonly timeout: number,
    private readonly encode: (frame: object) => Content,
    private readonly send: (content: Content) => boolean | RealtimeError,
  ) {}

  /** Makes an id that was not used before. */
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

  /** Sends what waits to be sent, in order; whether everything is sent. */
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

  /** Gives an answer to its request; whether there is one. */
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

  private deadline(id: number, message: string): Timer {
    const late = () => void this.answer(id, new RealtimeError("timeout", message));
    return new Timer(this.timeout, late, true);
  }
}
