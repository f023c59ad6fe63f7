/**
 * What the gateway tells of itself, checked, and what follows from two tellings: rates are differences of counters, so
 * that they agree with whatever else reads the same counters.
 */

/** A caller and how often they were counted. */
export interface Caller {
  readonly subject: string;
  readonly tenant?: string;
  readonly count: number;
  /** How much of the count may be somebody else's. */
  readonly over: number;
}

/** What a limit did. */
export interface Limit {
  readonly name: string;
  readonly rule: string;
  readonly passed: number;
  readonly refused: number;
  readonly top: readonly Caller[];
}

/** A route and method, since the start. */
export interface Route {
  readonly route: string;
  readonly method: string;
  readonly total: number;
  readonly client_errors: number;
  readonly server_errors: number;
  readonly p50_seconds: number;
  readonly p95_seconds: number;
  readonly p99_seconds: number;
  /** Requests that the gateway refused by itself; the three times are of the others. */
  readonly refused?: number;
  readonly refused_p50_seconds?: number;
}

/** What the hub counts of a namespace of channels, since the start; `subscriptions` are those of now. */
export interface Namespace {
  readonly namespace: string;
  readonly subscriptions: number;
  readonly published: number;
  readonly delivered: number;
  readonly dropped: number;
}

/** What the hub counts of itself. */
export interface HubFigures {
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

/** The summary of `/api/metrics`, which a `metrics_update` brings. */
export interface Summary {
  readonly timestamp: string;
  readonly uptime_seconds: number;
  readonly requests: {
    readonly total: number;
    readonly errors: number;
    readonly buckets: readonly number[];
    /** How many of these the gateway refused by itself. */
    readonly refused_buckets?: readonly number[];
  };
  readonly statuses: Readonly<Record<string, number>>;
  readonly refusals: Readonly<Record<string, number>>;
  readonly bounds_seconds: readonly number[];
  readonly routes: readonly Route[];
  readonly limits: readonly Limit[];
  readonly subjects: readonly Caller[];
  readonly realtime?: HubFigures;
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

/** One step of time. Rates are per second; a percentile is null where nothing was asked. */
export interface Step {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly rate: number;
  readonly clientErrors: number;
  readonly serverErrors: number;
  readonly p50: number | null;
  readonly p95: number | null;
  readonly p99: number | null;
  /** Of what the gateway refused by itself; the three before are of the other answers. */
  readonly refusedP50: number | null;
  readonly buckets: readonly number[];
  /** Of one core: 1 is busy all the time. */
  readonly cpu: number;
  readonly memory: number;
  readonly inFlight: number;
  readonly connections: number;
}

/** Reads a summary; undefined where it is not one. */
export function summaryOf(data: unknown): Summary | undefined {
  const given = data as Partial<Summary> | null;
  const whole =
    typeof given === "object" &&
    given !== null &&
    typeof given.uptime_seconds === "number" &&
    Number.isFinite(Date.parse(String(given.timestamp))) &&
    typeof given.requests?.total === "number" &&
    (given.realtime === undefined || Array.isArray(given.realtime.namespaces)) &&
    [
      given.requests.buckets,
      given.requests.refused_buckets ?? [],
      given.bounds_seconds,
      given.routes,
      given.limits,
      given.subjects,
    ].every(Array.isArray) &&
    [given.statuses, given.refusals, given.process].every((part) => typeof part === "object");
  return whole ? (given as Summary) : undefined;
}

/** The quantile of counted buckets, linear within one, as the gateway and Prometheus read it. */
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

/** Adds up the counts of statuses that begin with a digit. */
export function statusesOf(summary: Summary, first: string): number {
  return Object.entries(summary.statuses).reduce(
    (sum, [status, count]) => sum + (status.startsWith(first) ? count : 0),
    0,
  );
}

/** What happened between two tellings; undefined where the gateway was started anew between them. */
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

/** Reads `/api/metrics/timeseries`: the steps before the page was opened. */
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
