/**
 * Detects a hub that no longer answers. It counts pings without an answer and does not rely on the clock: browsers call
 * the timers of a hidden tab once a minute, and those of a suspended tab not at all.
 */

/** The connection is closed after so many pings without an answer. */
const UNANSWERED_PINGS_MAX = 2;
const PERIOD_SECONDS_MAX = 3600;

/** The heartbeat of one connection after another. */
export class Heartbeat {
  private interval: ReturnType<typeof setInterval> | undefined;
  private quiet = true;
  private unanswered = 0;

  constructor(
    private readonly ping: () => void,
    private readonly silent: () => void,
  ) {}

  /** Starts with a connection; `seconds` is the period from its welcome. */
  start(seconds: unknown): void {
    this.stop();
    const period = typeof seconds === "number" && seconds > 0 ? seconds : 25;
    const millis = Math.min(Math.max(1, period), PERIOD_SECONDS_MAX) * 1000;
    this.quiet = true;
    this.unanswered = 0;
    this.interval = setInterval(() => this.tick(), millis / 2);
  }

  /** Stops with the connection. */
  stop(): void {
    clearInterval(this.interval);
  }

  /** A frame was received: the hub is alive. */
  received(): void {
    this.quiet = false;
    this.unanswered = 0;
  }

  private tick(): void {
    if (!this.quiet) {
      this.quiet = true;
    } else if (this.unanswered >= UNANSWERED_PINGS_MAX) {
      this.silent();
    } else {
      this.unanswered += 1;
      this.ping();
    }
  }
}
