/** Binary frames of MessagePack, for which the optional package `@msgpack/msgpack` must be installed. */

import { decode, encode } from "@msgpack/msgpack";
import type { Codec } from "./protocol.js";

/** Binary frames of MessagePack. */
export const msgpack: Codec = {
  protocol: "nexus.msgpack",
  encode: (frame) => encode(frame, { ignoreUndefined: true }) as Uint8Array<ArrayBuffer>,
  decode: (data) =>
    decode(typeof data === "string" ? new TextEncoder().encode(data) : new Uint8Array(data)),
};
