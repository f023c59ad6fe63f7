/**
 * What goes over the wire, as `docs/reference/realtime-protocol.md` fixes it: frames, codecs and close codes.
 */

/** A place in a channel: `epoch` names one life of its numbering, `offset` counts from 1 within it. */
export interface Position {
  readonly epoch: string;
  readonly offset: number;
}

/** Who is subscribed, by one connection. */
export interface Member {
  readonly connection: string;
  readonly subject: string;
}

/** What was published to a channel. `type` is `metrics_update` on the channel `metrics`, else `message`. */
export interface Message<T = unknown> extends Position {
  readonly type: "message" | "metrics_update";
  readonly channel: string;
  readonly data: T;
  readonly timestamp: string;
  readonly key?: string;
  readonly publisher?: string;
  /** This consumer was sent it before, or may have been. */
  readonly redelivered?: boolean;
}

/** Somebody came to a channel, or left it. */
export interface PresenceEvent {
  readonly type: "join" | "leave";
  readonly channel: string;
  readonly member: Member;
  readonly timestamp: string;
}

/** What a channel has kept. */
export interface History<T = unknown> {
  readonly epoch: string;
  readonly items: readonly { offset: number; data: T; timestamp: string }[];
  readonly recovered: boolean;
}

/** The answer to a request of the client. */
export interface Ack {
  readonly channel?: string;
  readonly epoch?: string;
  readonly offset?: number;
  readonly recovered?: boolean;
  readonly missed?: number;
}

/** Any frame, before it is looked at: peers are not believed. */
export type Frame = { readonly type: string } & Readonly<Record<string, unknown>>;

/** How frames are written. */
export interface Codec {
  /** The subprotocol that is offered. */
  readonly protocol: "nexus.json" | "nexus.msgpack";
  encode(frame: object): string | Uint8Array<ArrayBuffer>;
  decode(data: string | ArrayBuffer): unknown;
}

/** Text frames of JSON. */
export const json: Codec = {
  protocol: "nexus.json",
  encode: (frame) => JSON.stringify(frame),
  decode: (data) => JSON.parse(typeof data === "string" ? data : new TextDecoder().decode(data)),
};

/** Reads one frame, or a batch of them; what is not a frame is left out. */
export function framesOf(decoded: unknown): Frame[] {
  const all = Array.isArray(decoded) ? decoded : [decoded];
  return all.filter(
    (one): one is Frame => typeof one === "object" && one !== null && typeof one.type === "string",
  );
}

/** Whether a client comes back after a close: at once by its back-off, only with a fresh token, or not. */
export type Verdict = "retry" | "later" | "fresh-token" | "stop";

const VERDICTS: Readonly<Record<number, Verdict>> = {
  1000: "stop",
  1002: "stop",
  1003: "stop",
  1007: "stop",
  1009: "stop",
  1010: "stop",
  4001: "fresh-token",
  4002: "stop",
  4003: "fresh-token",
  4029: "later",
};

/** Says what a close code asks for. An operator's close (4009) says in its reason whether to come back. */
export function verdictOf(code: number, reason: string): Verdict {
  if (code === 4009) {
    return reason.includes("reconnect") ? "retry" : "stop";
  }
  return VERDICTS[code] ?? "retry";
}
