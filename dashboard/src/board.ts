/**
 * The state of the page: the newest summary, the steps of the last 15 minutes, one minute of each route, and the tail
 * of the log. All of it is bounded.
 */

import { type Step, type Summary, stepBetween } from "./metrics.js";

/** Steps are stored for this time. */
export const HISTORY_SECONDS = 900;
/** Steps in a sparkline. */
export const SPARK_STEPS = 60;
/** A step lasts at least this long. */
const STEP_MS_MIN = 900;
/** A longer step follows a lost connection; the gateway's time series fills the gap. */
const STEP_MS_MAX = 3000;
const LOG_ENTRIES_MAX = 1000;

/** A line of the log as received; or the number of lines missing in its place, or `unknown`. */
export type LogEntry = Readonly<Record<string, unknown>>;

/** Makes the entry that stands for missing lines. */
export const leftOut = (count: number | "unknown"): LogEntry => ({ left_out: count });

/** The request rate of a route. */
export interface Pace {
  /** Requests per second in the last step. */
  rate: number;
  /** Requests per second in each of the last steps, the newest last. */
  readonly spark: number[];
}

/** Steps and their period; milliseconds since 1970. */
export interface Span {
  readonly from: number;
  readonly to: number;
  readonly steps: readonly Step[];
}

/** A key for a route and method. */
export const keyOf = (line: { route: string; method: string }) => `${line.method} ${line.route}`;

/** The state of the page. */
export class Board {
  summary: Summary | undefined;
  /** Time of the newest summary by the gateway's clock; milliseconds since 1970. */
  updated = 0;
  steps: Step[] = [];
  /** The difference between the newest summary and the last step. */
  now: Step | undefined;
  readonly log: LogEntry[] = [];
  /** Why the log is not available; empty if it is. */
  withoutLog = "";
  readonly paces = new Map<string, Pace>();
  private previous: Summary | undefined;

  /** Adds steps from before the page was opened, or from while the connection was lost. */
  fill(steps: readonly Step[]): void {
    const seen = this.steps.map(({ at }) => at);
    let next = 0;
    const missing = steps.filter(({ at }) => {
      while (next < seen.length && (seen[next] ?? 0) <= at - 1000) {
        next += 1;
      }
      return (seen[next] ?? Number.POSITIVE_INFINITY) >= at + 1000;
    });
    this.steps = [...this.steps, ...missing].sort((a, b) => a.at - b.at).slice(-HISTORY_SECONDS);
  }

  /** Stores a new summary; returns whether it completes a step. */
  update(summary: Summary): boolean {
    const before = this.previous;
    this.summary = summary;
    this.updated = Date.parse(summary.timestamp);
    if (before === undefined) {
      this.previous = summary;
      return true;
    }
    const step = stepBetween(before, summary);
    if (step === undefined) {
      this.previous = summary; // the gateway was restarted: its counters begin at zero
      this.paces.clear();
      return true;
    }
    this.now = step;
    const lasted = (summary.uptime_seconds - before.uptime_seconds) * 1000;
    if (lasted < STEP_MS_MIN) {
      return false;
    }
    if (lasted < STEP_MS_MAX) {
      this.steps.push(step);
      this.steps.splice(0, this.steps.length - HISTORY_SECONDS);
    }
    this.pace(before, summary);
    this.previous = summary;
    return true;
  }

  /** Adds new lines of the log. */
  append(entries: readonly LogEntry[]): void {
    this.withoutLog = "";
    this.log.push(...entries);
    this.log.splice(0, this.log.length - LOG_ENTRIES_MAX);
  }

  /** Adds older lines of the log. */
  prepend(entries: readonly LogEntry[]): void {
    this.append([...entries, ...this.log.splice(0)]);
  }

  /** Returns the steps of the last seconds. */
  last(seconds: number): Span {
    const to = Math.max(this.updated, this.steps.at(-1)?.at ?? 0);
    const from = to - seconds * 1000;
    return { from, to, steps: this.steps.filter(({ at }) => at > from) };
  }

  private pace(before: Summary, after: Summary): void {
    const seconds = after.uptime_seconds - before.uptime_seconds;
    const totals = new Map(before.routes.map((route) => [keyOf(route), route.total]));
    for (const route of after.routes) {
      const key = keyOf(route);
      const pace = this.paces.get(key) ?? { rate: 0, spark: [] };
      pace.rate = Math.max(0, route.total - (totals.get(key) ?? 0)) / seconds;
      pace.spark.push(pace.rate);
      pace.spark.splice(0, pace.spark.length - SPARK_STEPS);
      this.paces.set(key, pace);
    }
  }
}
