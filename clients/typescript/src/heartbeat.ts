/**
 * Whether the hub still answers. It is judged by pings without an answer, never by the clock: a hidden tab has its
 * timers called once a minute, and a suspended one not at all.
 */

/** Pings that stay without an answer before the connection is closed. */
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

  /** Begins with a connection; `seconds` is what its welcome says. */
  start(seconds: unknown): void {
    this.stop();
    const period = typeof seconds === "number" && seconds > 0 ? seconds : 25;
    const millis = Math.min(Math.max(1, period), PERIOD_SECONDS_MAX) * 1000;
    this.quiet = true;
    this.unanswered = 0;
    this.interval = setInterval(() => this.beat(), millis / 2);
  }

  /** The connection is over. */
  stop(): void {
    clearInterval(this.interval);
  }

  /** Something has come; any frame shows that the hub is there. */
  heard(): void {
    this.quiet = false;
    this.unanswered = 0;
  }

  private beat(): void {
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
