import { expect, test } from "vitest";
import { expiryOf } from "../src/session.js";

const token = (claims: unknown) =>
  ["e30", Buffer.from(JSON.stringify(claims)).toString("base64url"), "c2ln"].join(".");

test("a token's end is read, whatever its claims hold", () => {
  expect(expiryOf(token({ exp: 1_900_000_000, sub: "é?~ÿ" }))).toBe(1_900_000_000);
});

test.each(["", "a.b.c", "é.é", token({}), token(null), token({ exp: "soon" })])(
  "the token %j says no end",
  (given) => {
    expect(expiryOf(given)).toBe(Number.POSITIVE_INFINITY);
  },
);
