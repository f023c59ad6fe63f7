/**
 * What the page knows: the newest summary, the steps of the last quarter of an hour, a minute of each route, and the
 * tail of the log. All of it bounded.
 */

import { type Step, type Summary, stepBetween } from "./figures.js";

/** Seconds that are kept. */
export const KEPT_SECONDS = 900;
/** Steps of a sparkline. */
export const SPARK_STEPS = 60;
/** Milliseconds that a step lasts at least, and at most: after a cut the gateway's own series fills the hole. */
const STEP_MILLIS = 900;
const HOLE_MILLIS = 3000;
const LOG_ENTRIES = 1000;

/** A line of the log, as it came; or how many lines are missing in its place, `unknown` where nobody knows. */
export type LogEntry = Readonly<Record<string, unknown>>;

/** What stands in the place of missing lines. */
export const leftOut = (count: number | "unknown"): LogEntry => ({ left_out: count });

/** How a route does now. */
export interface Pace {
  /** Requests per second in the last step. */
  rate: number;
  /** Requests per second in each of the last steps, the newest last. */
  readonly spark: number[];
}

/** Steps and the time that they lie in; milliseconds since 1970. */
export interface Span {
  readonly from: number;
  readonly to: number;
  readonly steps: readonly Step[];
}

/** The name of a route and method, as a key. */
export const keyOf = (line: { route: string; method: string }) => `${line.method} ${line.route}`;

/** What the page knows. */
export class Board {
  summary: Summary | undefined;
  /** When the newest summary was made, by the gateway's clock; milliseconds since 1970. */
  updated = 0;
  steps: Step[] = [];
  /** What happened between the last two tellings, half a second apart. */
  now: Step | undefined;
  readonly log: LogEntry[] = [];
  /** Why there is no log, where there is none. */
  withoutLog = "";
  readonly paces = new Map<string, Pace>();
  private kept: Summary | undefined;

  /** Fills in the steps that were not seen: those before the page was opened, or while the connection was cut. */
  fill(steps: readonly Step[]): void {
    const seen = this.steps.map(({ at }) => at);
    let next = 0;
    const missing = steps.filter(({ at }) => {
      while (next < seen.length && (seen[next] ?? 0) <= at - 1000) {
        next += 1;
      }
      return (seen[next] ?? Number.POSITIVE_INFINITY) >= at + 1000;
    });
    this.steps = [...this.steps, ...missing].sort((a, b) => a.at - b.at).slice(-KEPT_SECONDS);
  }

  /** Takes a new summary; true where it makes a step whole. */
  update(summary: Summary): boolean {
    const before = this.kept;
    this.summary = summary;
    this.updated = Date.parse(summary.timestamp);
    if (before === undefined) {
      this.kept = summary;
      return true;
    }
    const step = stepBetween(before, summary);
    if (step === undefined) {
      this.kept = summary; // started anew: its counters begin at zero
      this.paces.clear();
      return true;
    }
    this.now = step;
    const lasted = (summary.uptime_seconds - before.uptime_seconds) * 1000;
    if (lasted < STEP_MILLIS) {
      return false;
    }
    if (lasted < HOLE_MILLIS) {
      this.steps.push(step);
      this.steps.splice(0, this.steps.length - KEPT_SECONDS);
    }
    this.pace(before, summary);
    this.kept = summary;
    return true;
  }

  /** Takes lines of the log. */
  append(entries: readonly LogEntry[]): void {
    this.withoutLog = "";
    this.log.push(...entries);
    this.log.splice(0, this.log.length - LOG_ENTRIES);
  }

  /** Puts lines before those that were seen. */
  prepend(entries: readonly LogEntry[]): void {
    this.append([...entries, ...this.log.splice(0)]);
  }

  /** The steps of the last seconds, and the time that they lie in. */
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
