/**
 * Reads the gateway's metrics, checks them, and computes rates from two summaries. Rates are differences of counters,
 * so they agree with other readers of the same counters.
 */

/** A caller and the number of its requests. */
export interface Caller {
  readonly subject: string;
  readonly tenant?: string;
  readonly count: number;
  /** At most so many of the count may belong to other callers. */
  readonly over: number;
}

/** The counters of a limit. */
export interface Limit {
  readonly name: string;
  readonly rule: string;
  readonly passed: number;
  readonly refused: number;
  readonly top: readonly Caller[];
}

/** The counters of a route and method since the start. */
export interface Route {
  readonly route: string;
  readonly method: string;
  readonly total: number;
  readonly client_errors: number;
  readonly server_errors: number;
  readonly p50_seconds: number;
  readonly p95_seconds: number;
  readonly p99_seconds: number;
  /** Requests that the gateway refused itself; the three percentiles are those of the other requests. */
  readonly refused?: number;
  readonly refused_p50_seconds?: number;
}

/** The counters of a namespace of channels since the start; `subscriptions` is the current number. */
export interface Namespace {
  readonly namespace: string;
  readonly subscriptions: number;
  readonly published: number;
  readonly delivered: number;
  readonly dropped: number;
}

/** The counters of the hub. */
export interface HubMetrics {
  readonly sockets: number;
  readonly streams: number;
  readonly channels: number;
  readonly subscriptions: number;
  readonly frames: number;
  readonly published: number;
  readonly delivered: number;
  readonly dropped: number;
  readonly refused: Readonly<Record<string, number>>;
  readonly broker_away: boolean;
  readonly namespaces: readonly Namespace[];
}

/** The summary of `/api/metrics`, which each `metrics_update` contains. */
export interface Summary {
  readonly timestamp: string;
  readonly uptime_seconds: number;
  readonly requests: {
    readonly total: number;
    readonly errors: number;
    readonly buckets: readonly number[];
    /** Those of the requests that the gateway refused itself. */
    readonly refused_buckets?: readonly number[];
  };
  readonly statuses: Readonly<Record<string, number>>;
  readonly refusals: Readonly<Record<string, number>>;
  readonly bounds_seconds: readonly number[];
  readonly routes: readonly Route[];
  readonly limits: readonly Limit[];
  readonly subjects: readonly Caller[];
  readonly realtime?: HubMetrics;
  readonly in_flight: number;
  readonly connections_open: number;
  readonly connections_total: number;
  readonly python_calls: number;
  readonly process: {
    readonly resident_bytes: number;
    readonly cpu_seconds: number;
    readonly open_files: number;
  };
}

/** One step of time. Rates are per second; a percentile is null without requests. */
export interface Step {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly rate: number;
  readonly clientErrors: number;
  readonly serverErrors: number;
  readonly p50: number | null;
  readonly p95: number | null;
  readonly p99: number | null;
  /** Of the requests that the gateway refused itself; the other percentiles exclude them. */
  readonly refusedP50: number | null;
  readonly buckets: readonly number[];
  /** Share of one core: 1 means busy all the time. */
  readonly cpu: number;
  readonly memory: number;
  readonly inFlight: number;
  readonly connections: number;
}

/** Reads a summary; returns undefined if it is not valid. */
export function summaryOf(data: unknown): Summary | undefined {
  const found = data as Partial<Summary> | null;
  const whole =
    typeof found === "object" &&
    found !== null &&
    typeof found.uptime_seconds === "number" &&
    Number.isFinite(Date.parse(String(found.timestamp))) &&
    typeof found.requests?.total === "number" &&
    (found.realtime === undefined || Array.isArray(found.realtime.namespaces)) &&
    [
      found.requests.buckets,
      found.requests.refused_buckets ?? [],
      found.bounds_seconds,
      found.routes,
      found.limits,
      found.subjects,
    ].every(Array.isArray) &&
    [found.statuses, found.refusals, found.process].every((part) => typeof part === "object");
  return whole ? (found as Summary) : undefined;
}

/** Computes a quantile from buckets, linear within a bucket, as the gateway and Prometheus do. */
export function quantile(
  q: number,
  buckets: readonly number[],
  bounds: readonly number[],
): number | null {
  const total = buckets.reduce((sum, count) => sum + count, 0);
  const rank = q * total;
  let below = 0;
  for (const [place, count] of buckets.entries()) {
    if (count > 0 && below + count >= rank) {
      const lower = place === 0 ? 0 : (bounds[place - 1] ?? 0);
      const upper = bounds[place] ?? lower;
      return lower + (upper - lower) * Math.min(1, Math.max(0, (rank - below) / count));
    }
    below += count;
  }
  return null;
}

/** Sums the counts of statuses that begin with a digit. */
export function statusesOf(summary: Summary, first: string): number {
  return Object.entries(summary.statuses).reduce(
    (sum, [status, count]) => sum + (status.startsWith(first) ? count : 0),
    0,
  );
}

/** Computes the step between two summaries; undefined if the gateway was restarted between them. */
export function stepBetween(before: Summary, after: Summary): Step | undefined {
  const seconds = after.uptime_seconds - before.uptime_seconds;
  if (seconds <= 0 || after.requests.total < before.requests.total) {
    return undefined;
  }
  const since = (now: readonly number[], then: readonly number[]) =>
    now.map((count, place) => count - (then[place] ?? 0));
  const buckets = since(after.requests.buckets, before.requests.buckets);
  const refused = since(
    after.requests.refused_buckets ?? [],
    before.requests.refused_buckets ?? [],
  );
  const answered = since(buckets, refused);
  const per = (now: number, then: number) => Math.max(0, now - then) / seconds;
  return {
    at: Date.parse(after.timestamp),
    rate: per(after.requests.total, before.requests.total),
    clientErrors: per(statusesOf(after, "4"), statusesOf(before, "4")),
    serverErrors: per(statusesOf(after, "5"), statusesOf(before, "5")),
    p50: quantile(0.5, answered, after.bounds_seconds),
    p95: quantile(0.95, answered, after.bounds_seconds),
    p99: quantile(0.99, answered, after.bounds_seconds),
    refusedP50: quantile(0.5, refused, after.bounds_seconds),
    buckets,
    cpu: per(after.process.cpu_seconds, before.process.cpu_seconds),
    memory: after.process.resident_bytes,
    inFlight: after.in_flight,
    connections: after.connections_open,
  };
}

/** Reads `/api/metrics/timeseries`. */
export function stepsOf(data: unknown): Step[] {
  const items = (data as { items?: unknown } | null)?.items;
  const all = Array.isArray(items) ? (items as (Record<string, unknown> | null)[]) : [];
  return all.flatMap((item) => {
    const at = Date.parse(String(item?.timestamp));
    const seconds = Number(item?.seconds);
    const whole =
      item !== null && Number.isFinite(at) && seconds > 0 && Array.isArray(item.buckets);
    return whole ? [stepOf(item, at, seconds)] : [];
  });
}

function stepOf(item: Record<string, unknown>, at: number, seconds: number): Step {
  const requests = Number(item.requests);
  const refused = Number(item.refused ?? 0);
  const percentile = (name: string) => (requests > refused ? Number(item[name]) : null);
  return {
    at,
    rate: requests / seconds,
    clientErrors: Number(item.client_errors) / seconds,
    serverErrors: Number(item.server_errors) / seconds,
    p50: percentile("p50_seconds"),
    p95: percentile("p95_seconds"),
    p99: percentile("p99_seconds"),
    refusedP50: refused > 0 ? Number(item.refused_p50_seconds) : null,
    buckets: item.buckets as number[],
    cpu: Number(item.cpu_seconds) / seconds,
    memory: Number(item.resident_bytes),
    inFlight: Number(item.in_flight),
    connections: Number(item.connections_open),
  };
}
