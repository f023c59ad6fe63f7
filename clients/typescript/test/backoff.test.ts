import { expect, test } from "vitest";
import { Backoff } from "../src/backoff.js";
import { verdictOf } from "../src/protocol.js";

const TIMES = { base: 100, cap: 1000, stable: 5000 };

test("the ceiling of the delays doubles up to the cap, and each is drawn below it", () => {
  const highest = new Backoff(TIMES, () => 1);
  const half = new Backoff(TIMES, () => 0.5);

  expect([1, 2, 3, 4, 5, 6].map(() => highest.next())).toEqual([100, 200, 400, 800, 1000, 1000]);
  expect([1, 2].map(() => half.next())).toEqual([50, 100]);
});

test("only a connection that lasted makes delays short again", () => {
  const backoff = new Backoff(TIMES, () => 1);
  backoff.next();
  backoff.next();

  backoff.lasted(4999);
  expect(backoff.next()).toBe(400);
  backoff.lasted(5000);
  expect(backoff.next()).toBe(100);
});

test("clients that were cut off together come back apart", () => {
  const delays = Array.from({ length: 200 }, () => new Backoff({ ...TIMES, base: 1000 }).next());

  expect(Math.min(...delays)).toBeLessThan(200);
  expect(Math.max(...delays)).toBeGreaterThan(800);
});

test("an operator says in the reason whether to come back", () => {
  expect(verdictOf(4009, "reconnect: moved")).toBe("retry");
  expect(verdictOf(4009, "abuse")).toBe("stop");
  expect(verdictOf(4029, "")).toBe("later");
});
