import { expect, test } from "vitest";
import { Board, HISTORY_SECONDS, leftOut } from "../src/board.js";
import { quantile, type Route, type Summary, stepsOf, summaryOf } from "../src/metrics.js";

const BOUNDS = [0.001, 0.01, 0.1];

function route(total: number): Route {
  const none = {
    client_errors: 0,
    server_errors: 0,
    p50_seconds: 0,
    p95_seconds: 0,
    p99_seconds: 0,
  };
  return { route: "/a", method: "GET", total, ...none };
}

function told(uptime: number, total: number, more: Partial<Summary> = {}): Summary {
  return {
    timestamp: new Date(uptime * 1000).toISOString(),
    uptime_seconds: uptime,
    requests: { total, errors: 0, buckets: [0, total, 0, 0] },
    statuses: { 200: total },
    refusals: {},
    bounds_seconds: BOUNDS,
    routes: [route(total)],
    limits: [],
    subjects: [],
    in_flight: 1,
    connections_open: 2,
    connections_total: 3,
    python_calls: 0,
    process: { resident_bytes: 1e6, cpu_seconds: uptime / 2, open_files: 9 },
    ...more,
  };
}

test("rates are differences of counters by the gateway's own clock", () => {
  const board = new Board();
  board.update(told(10, 100));
  board.update(told(12, 150, { statuses: { 200: 140, 404: 6, 503: 4 } }));

  expect(board.now).toMatchObject({ rate: 25, clientErrors: 3, serverErrors: 2, cpu: 0.5 });
  expect(board.paces.get("GET /a")).toEqual({ rate: 25, spark: [25] });
});

test("a step takes a second, however often figures come", () => {
  const board = new Board();
  board.update(told(10, 0));

  expect(board.update(told(10.5, 5))).toBe(false);
  expect(board.update(told(11, 10))).toBe(true);
  expect(board.steps.map(({ rate }) => rate)).toEqual([10]);
});

test("a gateway that was started anew gives no negative rates", () => {
  const board = new Board();
  board.update(told(100, 1000));
  board.update(told(1, 3));
  board.update(told(2, 7));

  expect(board.steps.map(({ rate }) => rate)).toEqual([4]);
});

test("what is kept is bounded", () => {
  const board = new Board();
  for (let second = 0; second < HISTORY_SECONDS + 50; second += 1) {
    board.update(told(second + 1, second));
    board.append([{ level: "info" }, { level: "info" }]);
  }

  expect(board.steps.length).toBe(HISTORY_SECONDS);
  expect(board.log.length).toBe(1000);
  expect(board.paces.get("GET /a")?.spark.length).toBe(60);
  expect(board.last(60)).toMatchObject({
    from: (HISTORY_SECONDS - 10) * 1000,
    to: (HISTORY_SECONDS + 50) * 1000,
  });
  expect(board.last(60).steps.length).toBe(60);
});

const item = (second: number) => ({
  timestamp: new Date(second * 1000 + 300).toISOString(),
  seconds: 1,
  requests: second,
  buckets: [0, second, 0, 0],
  p99_seconds: 0.009,
});
const seconds = (board: Board) => board.steps.map(({ at }) => at / 1000);

test("the steps before the page was opened come first, and none twice", () => {
  const board = new Board();
  board.update(told(10, 0));
  board.update(told(11, 8));
  board.fill(stepsOf({ items: [item(8), item(9), item(10), item(11), { timestamp: "?" }, null] }));

  expect(seconds(board)).toEqual([8.3, 9.3, 11]);
  expect(board.steps.map(({ rate }) => rate)).toEqual([8, 9, 8]);
  expect(stepsOf("nonsense")).toEqual([]);
});

test("what happened while the connection was cut is filled in, not smeared over", () => {
  const board = new Board();
  for (const second of [10, 11, 15, 16]) {
    board.update(told(second, second * 10));
  }
  expect(seconds(board)).toEqual([11, 16]);

  board.fill(stepsOf({ items: [10, 11, 12, 13, 14, 15, 16].map(item) }));

  expect(seconds(board)).toEqual([11, 12.3, 13.3, 14.3, 16]);
});

test("older lines of the log go before those that were seen", () => {
  const board = new Board();
  board.withoutLog = "no scope";
  board.append([{ message: "new" }]);
  board.prepend([leftOut(7), { message: "old" }]);

  expect(board.log).toEqual([{ left_out: 7 }, { message: "old" }, { message: "new" }]);
  expect(board.withoutLog).toBe("");
});

test("a quantile lies within its bucket, and is nothing where nothing was asked", () => {
  expect(quantile(0.5, [0, 0, 0, 0], BOUNDS)).toBeNull();
  expect(quantile(0.5, [0, 10, 0, 0], BOUNDS)).toBeCloseTo(0.0055);
  expect(quantile(0.99, [90, 0, 10, 0], BOUNDS)).toBeGreaterThan(0.01);
  expect(quantile(0.99, [0, 0, 0, 5], BOUNDS)).toBe(0.1);
});

test("what is not a summary is not believed", () => {
  for (const wrong of [
    null,
    7,
    "x",
    {},
    { ...told(1, 1), routes: undefined },
    { ...told(1, 1), timestamp: "?" },
    { ...told(1, 1), realtime: {} },
  ]) {
    expect(summaryOf(wrong)).toBeUndefined();
  }
  expect(summaryOf(told(1, 1))).toBeDefined();
});

test("what the gateway refuses is timed apart from what it answers", () => {
  const board = new Board();
  const requests = (answered: number, refused: number) => ({
    total: answered + refused,
    errors: 0,
    buckets: [refused, 0, answered, 0],
    refused_buckets: [refused, 0, 0, 0],
  });
  board.update(told(10, 0, { requests: requests(0, 0) }));
  board.update(told(11, 0, { requests: requests(25, 75) }));

  expect(board.now?.p50).toBeGreaterThan(0.01);
  expect(board.now?.refusedP50).toBeLessThan(0.001);
  const item = { timestamp: "2026-01-01T00:00:00Z", seconds: 1, requests: 4, buckets: [4, 0] };
  const [refused] = stepsOf({
    items: [{ ...item, refused: 4, refused_p50_seconds: 0.0001, p50_seconds: 0 }],
  });
  expect(refused).toMatchObject({ p50: null, refusedP50: 0.0001 });
});
