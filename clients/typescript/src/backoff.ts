/**
 * Delays between attempts: exponential backoff with full jitter, which spreads the clients that lost one server at the
 * same moment.
 */

/** The times of a backoff, in milliseconds. */
export interface BackoffOptions {
  /** Upper bound of the first delay. */
  readonly base: number;
  /** Upper bound of every delay. */
  readonly cap: number;
  /** After a connection of this length the bound starts again at `base`. */
  readonly stable: number;
}

/** Counts failures and draws delays. */
export class Backoff {
  private failures = 0;

  constructor(
    private readonly options: BackoffOptions,
    private readonly random: () => number = Math.random,
  ) {}

  /** Draws the next delay: between 0 and a bound that doubles with each failure. */
  next(): number {
    const ceiling = Math.min(this.options.cap, this.options.base * 2 ** this.failures);
    this.failures = Math.min(this.failures + 1, 30);
    return this.random() * ceiling;
  }

  /** Records how long a connection lasted. */
  lasted(millis: number): void {
    if (millis >= this.options.stable) {
      this.failures = 0;
    }
  }
}
