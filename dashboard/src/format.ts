/** Numbers in the form that people read. */

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat("en", { maximumFractionDigits: 1, minimumFractionDigits: 1 });
const short = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const hundredth = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });

/** A count: `12,345`. */
export const count = (value: number) => whole.format(value);

/** A rate: `1,234`, `12.3`, `0.25`. */
export function rate(value: number): string {
  if (value === 0 || value >= 100) {
    return whole.format(value);
  }
  return value >= 1 ? tenth.format(value) : hundredth.format(value);
}

/** A time: `850 µs`, `1.2 ms`, `3.4 s`. */
export function seconds(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) {
    return "–";
  }
  if (value >= 1) {
    return `${hundredth.format(value)} s`;
  }
  if (value >= 0.001) {
    return `${value >= 0.1 ? whole.format(value * 1e3) : short.format(value * 1e3)} ms`;
  }
  return `${whole.format(value * 1e6)} µs`;
}

/** A size: `48.2 MB`. */
export function bytes(value: number): string {
  for (const [unit, size] of [
    ["GB", 1e9],
    ["MB", 1e6],
    ["kB", 1e3],
  ] as const) {
    if (value >= size) {
      return `${tenth.format(value / size)} ${unit}`;
    }
  }
  return `${whole.format(value)} B`;
}

/** A share: `12.3 %`. */
export const percent = (value: number) => `${tenth.format(value * 100)} %`;

/** A duration: `3 d 4 h`, `12 min 5 s`. */
export function duration(value: number): string {
  const units = [
    ["d", 86_400],
    ["h", 3600],
    ["min", 60],
    ["s", 1],
  ] as const;
  const first = units.findIndex(([, size]) => value >= size);
  const parts = units.slice(first < 0 ? 3 : first, (first < 0 ? 3 : first) + 2);
  let rest = Math.floor(value);
  return parts
    .map(([unit, size]) => {
      const part = Math.floor(rest / size);
      rest -= part * size;
      return `${part} ${unit}`;
    })
    .join(" ");
}

/** A time of day: `12:03:04`. */
export function clock(millis: number): string {
  return new Date(millis).toLocaleTimeString("en-GB");
}

/** A name in words: `messages_out` is `messages out`. */
export const words = (name: string) => name.replaceAll("_", " ");
