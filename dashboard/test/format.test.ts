import { expect, test } from "vitest";
import * as format from "../src/format.js";

test.each([
  [0, "0"],
  [0.254, "0.25"],
  [12.34, "12.3"],
  [1234.5, "1,235"],
])("the rate %d is written %s", (value, written) => {
  expect(format.rate(value)).toBe(written);
});

test.each([
  [null, "–"],
  [0.000036, "36 µs"],
  [0.0042, "4.2 ms"],
  [0.025, "25 ms"],
  [0.42, "420 ms"],
  [2.5, "2.5 s"],
])("the time %d is written %s", (value, written) => {
  expect(format.seconds(value)).toBe(written);
});

test.each([
  [5, "5 s"],
  [65, "1 min 5 s"],
  [90_000, "1 d 1 h"],
])("the duration %d is written %s", (value, written) => {
  expect(format.duration(value)).toBe(written);
});

test("sizes and shares have their units", () => {
  expect(format.bytes(78_500_000)).toBe("78.5 MB");
  expect(format.bytes(12)).toBe("12 B");
  expect(format.percent(0.1234)).toBe("12.3 %");
});
