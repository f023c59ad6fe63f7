/**
 * The protocol of `docs/reference/realtime-protocol.md`: frames, codecs and close codes.
 */

/** A position in a channel: `epoch` names one numbering of its messages, `offset` counts from 1 within it. */
export interface Position {
  readonly epoch: string;
  readonly offset: number;
}

/** A subscribed connection and its subject. */
export interface Member {
  readonly connection: string;
  readonly subject: string;
}

/** A message of a channel. `type` is `metrics_update` on the channel `metrics`, else `message`. */
export interface Message<T = unknown> extends Position {
  readonly type: "message" | "metrics_update";
  readonly channel: string;
  readonly data: T;
  readonly timestamp: string;
  readonly key?: string;
  readonly publisher?: string;
  /** The message was sent to this consumer before, or may have been. */
  readonly redelivered?: boolean;
}

/** A subscriber joined or left a channel. */
export interface PresenceEvent {
  readonly type: "join" | "leave";
  readonly channel: string;
  readonly member: Member;
  readonly timestamp: string;
}

/** The stored messages of a channel. */
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

/** A frame whose content is not checked yet. */
export type Frame = { readonly type: string } & Readonly<Record<string, unknown>>;

/** An encoding of frames. */
export interface Codec {
  /** The subprotocol to offer. */
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

/** Reads one frame or a batch, and skips what is not a frame. */
export function framesOf(decoded: unknown): Frame[] {
  const all = Array.isArray(decoded) ? decoded : [decoded];
  return all.filter(
    (one): one is Frame => typeof one === "object" && one !== null && typeof one.type === "string",
  );
}

/** What a client does after a close: reconnect, reconnect later, reconnect with a fresh token, or stop. */
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

/** Returns what to do after a close code. The reason of an operator's close (4009) says whether to reconnect. */
export function verdictOf(code: number, reason: string): Verdict {
  if (code === 4009) {
    return reason.includes("reconnect") ? "retry" : "stop";
  }
  return VERDICTS[code] ?? "retry";
}
