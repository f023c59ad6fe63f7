import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const sheet = readFileSync(new URL("../src/style.css", import.meta.url), "utf8");
const TEXT = ["ink", "faint", "mark", "refused", "failed", "good"];

/** The colours of a block of the style sheet, by their names. */
function colours(selector: string): Map<string, string> {
  const block = sheet.slice(sheet.indexOf(`${selector} {`)).split("}")[0] ?? "";
  return new Map(
    [...block.matchAll(/--([\w-]+): (#\w+);/g)].map(([, name, hex]) => [name, hex]) as [
      string,
      string,
    ][],
  );
}

/** Relative luminance (WCAG 2.2). */
function luminance(hex: string): number {
  const digits = hex.length === 4 ? hex.replaceAll(/[^#]/g, "$&$&") : hex;
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((place) => {
    const share = Number.parseInt(digits.slice(place, place + 2), 16) / 255;
    return share <= 0.040_45 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

test.each([":root", ':root[data-theme="dark"]'])(
  "text is legible in the colours of %s",
  (block) => {
    const all = colours(block);
    const contrast = (a: string, b: string) => {
      const [dark = 0, light = 0] = [luminance(a), luminance(b)].sort((x, y) => x - y);
      return (light + 0.05) / (dark + 0.05);
    };

    for (const name of TEXT) {
      for (const ground of ["card", "ground"]) {
        const found = contrast(all.get(name) ?? "", all.get(ground) ?? "");
        expect(found, `${name} on ${ground}`).toBeGreaterThanOrEqual(4.5);
      }
    }
  },
);
