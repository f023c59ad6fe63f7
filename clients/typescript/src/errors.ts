/** The error of a request to the hub. */

/** A request that the hub refused, or that the client gave up. */
export class RealtimeError extends Error {
  override readonly name = "RealtimeError";

  /**
   * @param code one of the hub's codes (`/errors/{code}`), or one of the client's own: `timeout`, `queue_full`,
   *   `already_subscribed`, `token_invalid`, `malformed_body`, `closed`, or `connection_lost`, which means that the
   *   request was sent and may have been carried out.
   * @param retryAfter seconds to wait, if the hub names them.
   */
  constructor(
    readonly code: string,
    message: string,
    readonly retryAfter?: number,
  ) {
    super(message);
  }
}
