/**
 * What the page knows: the newest summary, the steps of the last quarter of an hour, a minute of each route, and the
 * tail of the log. All of it bounded.
 */

import { type Step, type Summary, stepBetween } from "./figures.js";

/** Seconds that are kept. */
export const KEPT_SECONDS = 900;
/** Steps of a sparkline, and milliseconds that a step lasts at least. */
export const SPARK_STEPS = 60;
const STEP_MILLIS = 900;
const LOG_ENTRIES = 1000;

/** A line of the access log, as it came. */
export type LogEntry = Readonly<Record<string, unknown>>;

/** How a route does now. */
export interface Pace {
  /** Requests per second in the last step. */
  rate: number;
  /** Requests per second in each of the last steps, the newest last. */
  readonly spark: number[];
}

/** The name of a route and method, as a key. */
export const keyOf = (line: { route: string; method: string }) => `${line.method} ${line.route}`;

/** What the page knows. */
export class Board {
  summary: Summary | undefined;
  /** When the newest summary came; milliseconds since 1970. */
  updated = 0;
  steps: Step[] = [];
  /** What happened between the last two tellings, half a second apart. */
  now: Step | undefined;
  readonly log: LogEntry[] = [];
  readonly paces = new Map<string, Pace>();
  private kept: Summary | undefined;

  /** Puts the steps before those that were seen. */
  precede(steps: Step[]): void {
    const first = this.steps[0]?.at ?? Number.POSITIVE_INFINITY;
    this.steps = [...steps.filter(({ at }) => at < first), ...this.steps].slice(-KEPT_SECONDS);
  }

  /** Takes a new summary; true where it makes a step whole. */
  update(summary: Summary, at: number): boolean {
    const before = this.kept;
    this.summary = summary;
    this.updated = at;
    if (before === undefined) {
      this.kept = summary;
      return true;
    }
    const step = stepBetween(before, summary, at);
    if (step === undefined) {
      this.kept = summary; // started anew: its counters begin at zero
      this.paces.clear();
      return true;
    }
    this.now = step;
    if ((summary.uptime_seconds - before.uptime_seconds) * 1000 < STEP_MILLIS) {
      return false;
    }
    this.steps.push(step);
    this.steps.splice(0, this.steps.length - KEPT_SECONDS);
    this.pace(before, summary);
    this.kept = summary;
    return true;
  }

  /** Takes lines of the log. */
  append(entries: readonly LogEntry[]): void {
    this.log.push(...entries);
    this.log.splice(0, this.log.length - LOG_ENTRIES);
  }

  /** The steps of the last seconds. */
  last(seconds: number): Step[] {
    const newest = this.steps.at(-1)?.at ?? 0;
    return this.steps.filter(({ at }) => at > newest - seconds * 1000);
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
