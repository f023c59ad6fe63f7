/** What a request to the hub can end with instead of an answer. */

/** Refused by the hub, or given up by the client: `code` is one of `/errors/{code}`, or of this list. */
export class RealtimeError extends Error {
  override readonly name = "RealtimeError";

  /**
   * @param code of the hub, or `connection_lost` (sent, but the answer never came: it may have been done),
   *   `timeout`, `queue_full`, `already_subscribed`, `token_invalid`, `malformed_body` or `closed`.
   * @param retryAfter seconds, where the hub names them.
   */
  constructor(
    readonly code: string,
    message: string,
    readonly retryAfter?: number,
  ) {
    super(message);
  }
}
