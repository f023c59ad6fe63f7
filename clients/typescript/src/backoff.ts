/**
 * When to try again: exponential back-off with full jitter, so that clients that lost one server at the same moment do
 * not come back at the same moment.
 */

/** The times of a back-off, milliseconds. */
export interface BackoffOptions {
  /** What the first delay is at most. */
  readonly base: number;
  /** What any delay is at most. */
  readonly cap: number;
  /** A connection that lasted so long was a good one: the next delay is short again. */
  readonly stable: number;
}

/** Counts failures and draws delays. */
export class Backoff {
  private failures = 0;

  constructor(
    private readonly options: BackoffOptions,
    private readonly random: () => number = Math.random,
  ) {}

  /** Draws the next delay, between nothing and a ceiling that doubles with each failure. */
  next(): number {
    const ceiling = Math.min(this.options.cap, this.options.base * 2 ** this.failures);
    this.failures = Math.min(this.failures + 1, 30);
    return this.random() * ceiling;
  }

  /** Tells how long a connection lasted. */
  lasted(millis: number): void {
    if (millis >= this.options.stable) {
      this.failures = 0;
    }
  }
}
