/** Client of the NEXUS realtime hub, for browsers and Node. */

export type { BackoffOptions } from "./backoff.js";
export { RealtimeError } from "./errors.js";
export type {
  Ack,
  Codec,
  History,
  Member,
  Message,
  Position,
  PresenceEvent,
} from "./protocol.js";
export { json } from "./protocol.js";
export {
  Realtime,
  type RealtimeOptions,
  type Socket,
  type SocketConstructor,
  type Status,
} from "./realtime.js";
export { segment } from "./segment.js";
export type { Gap, Handlers, SubscribeOptions, Subscription } from "./subscription.js";
