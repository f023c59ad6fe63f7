/** Line charts over time, drawn by uPlot: one cursor for all charts, colours from the style sheet. */

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Span } from "./board.js";
import type { Step } from "./metrics.js";
import { colour } from "./theme.js";

/** A line: which value of a step it shows, and in which form. */
export interface Line {
  readonly label: string;
  readonly colour: string;
  readonly value: (step: Step) => number | null;
  readonly format: (value: number) => string;
  /** The scale's name, where there are two. */
  readonly scale?: string;
  readonly filled?: boolean;
}

const HEIGHT = 185;
/** A line continues over a pause of at most this length. */
const PAUSE_S_MAX = 5;
const cursors = uPlot.sync("time");
const FONT = "12px system-ui, sans-serif";

/** A chart in an element. */
export class Chart {
  private readonly plot: uPlot;
  private span: Span = { from: 0, to: 1000, steps: [] };

  constructor(
    private readonly host: HTMLElement,
    private readonly lines: readonly Line[],
    private readonly options: { readonly logarithmic?: boolean; readonly top?: number } = {},
  ) {
    const empty = [[], ...lines.map(() => [])] as unknown as uPlot.AlignedData;
    this.plot = new uPlot(this.described(), empty, host);
    new ResizeObserver(() => this.fit()).observe(host);
  }

  /** Shows steps. The axis has the length of the span, also where it has no steps. */
  show(span: Span): void {
    this.span = span;
    const { steps } = span;
    const times = steps.map(({ at }) => at / 1000);
    const values = this.lines.map(({ value }) => steps.map(value));
    this.plot.setData([times, ...values] as uPlot.AlignedData);
    const last = steps.at(-1);
    if (last !== undefined) {
      const texts = this.lines.map(
        ({ label, value, format }) => `${label} ${format(value(last) ?? 0)}`,
      );
      this.host.setAttribute("aria-label", texts.join(", "));
    }
  }

  /** Draws again, in the current colours. */
  redraw(): void {
    this.plot.redraw(false, true);
  }

  private fit(): void {
    if (this.host.clientWidth > 0) {
      this.plot.setSize({ width: this.host.clientWidth, height: HEIGHT });
    }
  }

  private described(): uPlot.Options {
    const scales = [...new Set(this.lines.map(({ scale }) => scale ?? "y"))];
    return {
      width: Math.max(200, this.host.clientWidth),
      height: HEIGHT,
      padding: [8, 26, 0, 0],
      cursor: { sync: { key: cursors.key }, points: { size: 6 }, drag: { x: false, y: false } },
      legend: { live: true },
      scales: {
        x: { range: () => [this.span.from / 1000, this.span.to / 1000] },
        ...Object.fromEntries(scales.map((name) => [name, this.scale()])),
      },
      series: [
        { label: "at", value: (_, at) => (at ? time(at) : "now") },
        ...this.lines.map(series),
      ],
      axes: [
        axis({ space: 80, size: 32, gap: 8, values: (_, all) => all.map(time) }),
        ...scales.map((name, place) => this.axis(name, place)),
      ],
    };
  }

  private scale(): uPlot.Scale {
    if (this.options.logarithmic) {
      // At least from 10 µs to 100 ms, so that heights stay comparable.
      return {
        distr: 3,
        range: (_, low, high) => [Math.min(low || 1e-5, 1e-5), Math.max(high || 0.1, 0.1)],
      };
    }
    const top = this.options.top ?? 1;
    return { range: (_, __, high) => [0, Math.max(top, (high ?? 0) * 1.1)] };
  }

  private axis(scale: string, place: number): uPlot.Axis {
    const format = this.lines.find((line) => (line.scale ?? "y") === scale)?.format ?? String;
    const decade = (value: number) => Math.abs(Math.log10(value) - Math.round(Math.log10(value)));
    const decades = (_: uPlot, all: number[]) =>
      all.map((value) => (decade(value) < 1e-6 ? value : null));
    return axis({
      scale,
      side: place === 0 ? 3 : 1,
      size: 62,
      ...(this.options.logarithmic ? { filter: decades } : {}),
      values: (_, all) => all.map((value) => (value === null ? "" : format(value))),
      grid: {
        show: place === 0,
        stroke: () => colour("grid"),
        width: 1,
        ...(this.options.logarithmic ? { filter: decades } : {}),
      },
    });
  }
}

function series(line: Line): uPlot.Series {
  return {
    label: line.label,
    scale: line.scale ?? "y",
    stroke: () => colour(line.colour),
    ...(line.filled ? { fill: () => `${colour(line.colour)}22` } : {}),
    width: 1.5,
    // A second without requests has no percentiles: the line continues over a short pause only.
    gaps: (plot, _series, _from, _to, found) => {
      const bridged = plot.valToPos(PAUSE_S_MAX, "x", true) - plot.valToPos(0, "x", true);
      return found.filter(([from, to]) => to - from > bridged);
    },
    points: { show: true, size: 3, filter: alone },
    value: (plot, value) => {
      const shown = value ?? newest(plot, line.label);
      return shown === null ? "–" : line.format(shown);
    },
  };
}

/** The indices of values without a neighbour to draw a line to. */
function alone(plot: uPlot, index: number): number[] {
  const times = plot.data[0];
  const values = plot.data[index] ?? [];
  const known = [...times.keys()].filter((index) => values[index] != null);
  const far = (a: number | undefined, b: number | undefined) =>
    a === undefined || b === undefined || (times[b] ?? 0) - (times[a] ?? 0) > PAUSE_S_MAX;
  return known.filter((index, n) => far(known[n - 1], index) && far(index, known[n + 1]));
}

/** The newest value of a line, which the legend shows without a pointer. */
function newest(plot: uPlot, label: string): number | null {
  const place = plot.series.findIndex((one) => one.label === label);
  return (plot.data[place]?.at(-1) as number | null | undefined) ?? null;
}

function axis(more: uPlot.Axis): uPlot.Axis {
  return {
    stroke: () => colour("faint"),
    font: FONT,
    grid: { stroke: () => colour("grid"), width: 1 },
    ticks: { show: false },
    ...more,
  };
}

const time = (at: number) => new Date(at * 1000).toLocaleTimeString("en-GB");
