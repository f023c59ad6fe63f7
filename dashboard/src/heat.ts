/** The heat map of latency over time. Each cell is a bucket of the histogram in a step. */

import type { Span } from "./board.js";
import * as format from "./format.js";
import { colour } from "./theme.js";

/** The same margins as those of the charts, so that their times align. */
const LEFT = 62;
const RIGHT = 26;
const BOTTOM = 22;
const HEIGHT = 230;
const COLUMN_PX_MIN = 5;
const TIME_LABELS = 5;

/** A column: its start, and the number of answers in each bucket. */
interface Column {
  readonly from: number;
  readonly counts: number[];
}

/** A heat map on a canvas, and a text that describes the cell under the pointer. */
export class Heat {
  private span: Span = { from: 0, to: 1, steps: [] };
  private bounds: readonly number[] = [];
  private columns: Column[] = [];
  private rows: [number, number] = [0, 7];
  private pointed: { x: number; y: number } | undefined;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly description: HTMLElement,
  ) {
    new ResizeObserver(() => this.draw()).observe(canvas.parentElement ?? canvas);
    canvas.addEventListener("pointermove", ({ offsetX: x, offsetY: y }) => {
      this.pointed = { x, y };
      this.describe();
    });
    canvas.addEventListener("pointerleave", () => {
      this.pointed = undefined;
      this.describe();
    });
  }

  /** Shows steps. */
  show(span: Span, bounds: readonly number[]): void {
    this.span = span;
    this.bounds = bounds;
    this.draw();
    this.describe();
  }

  /** Draws again, in the current colours. */
  draw(): void {
    const width = this.canvas.parentElement?.clientWidth ?? 0;
    const context = this.canvas.getContext("2d");
    if (width <= LEFT + RIGHT || context === null) {
      return;
    }
    const ratio = window.devicePixelRatio;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(HEIGHT * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const room = width - LEFT - RIGHT;
    this.columns = this.columnsOf(Math.max(1, Math.floor(room / COLUMN_PX_MIN)));
    this.rows = this.used();
    this.paint(context, room);
    this.label(context, room);
  }

  /** Sums the steps in columns of equal duration, at least one second. */
  private columnsOf(columnsMax: number): Column[] {
    const { from, to, steps } = this.span;
    const length = Math.max(1000, Math.ceil((to - from) / columnsMax));
    const columns = Array.from(
      { length: Math.max(1, Math.ceil((to - from) / length)) },
      (_, n) => ({
        from: from + n * length,
        counts: Array<number>(this.bounds.length + 1).fill(0),
      }),
    );
    for (const { at, buckets } of steps) {
      // The time of a step is its end.
      const column = columns[Math.ceil((at - from) / length) - 1];
      for (const [place, count] of buckets.entries()) {
        if (column !== undefined && place in column.counts) {
          column.counts[place] = (column.counts[place] ?? 0) + count;
        }
      }
    }
    return columns;
  }

  /** The range of buckets with counts and one more on each side; at least eight. */
  private used(): [number, number] {
    const some = (place: number) => this.columns.some(({ counts }) => (counts[place] ?? 0) > 0);
    const places = [...this.bounds.keys(), this.bounds.length].filter(some);
    const low = Math.max(0, (places[0] ?? 1) - 1);
    const high = Math.min(this.bounds.length, Math.max((places.at(-1) ?? 0) + 1, low + 7));
    return [Math.max(0, Math.min(low, high - 7)), high];
  }

  private paint(context: CanvasRenderingContext2D, room: number): void {
    const [low, high] = this.rows;
    const wide = room / this.columns.length;
    const tall = (HEIGHT - BOTTOM) / (high - low + 1);
    const most = Math.max(1, ...this.columns.flatMap(({ counts }) => counts));
    context.fillStyle = colour("heat-empty");
    for (let row = low; row <= high; row += 1) {
      context.fillRect(LEFT, HEIGHT - BOTTOM - (row - low + 1) * tall, room, tall - 1);
    }
    context.fillStyle = colour("heat");
    for (const [place, { counts }] of this.columns.entries()) {
      for (let row = low; row <= high; row += 1) {
        const count = counts[row] ?? 0;
        if (count > 0) {
          context.globalAlpha = 0.18 + 0.82 * Math.sqrt(count / most);
          const top = HEIGHT - BOTTOM - (row - low + 1) * tall;
          context.fillRect(LEFT + place * wide, top, Math.max(wide - 0.5, 1), tall - 1);
        }
      }
    }
    context.globalAlpha = 1;
  }

  private label(context: CanvasRenderingContext2D, room: number): void {
    const [low, high] = this.rows;
    const tall = (HEIGHT - BOTTOM) / (high - low + 1);
    context.fillStyle = colour("faint");
    context.font = "12px system-ui, sans-serif";
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (let row = low; row < high; row += 2) {
      const at = HEIGHT - BOTTOM - (row - low + 1) * tall;
      context.fillText(format.seconds(this.bounds[row]), LEFT - 8, Math.max(at, 7));
    }
    context.textBaseline = "bottom";
    context.textAlign = "center";
    const { from, to, steps } = this.span;
    const times = room < 420 ? 2 : TIME_LABELS;
    for (let part = 0; part < times && steps.length > 0; part += 1) {
      const share = (part + 0.5) / times;
      context.fillText(format.clock(from + (to - from) * share), LEFT + room * share, HEIGHT);
    }
  }

  /** Describes the cell under the pointer, or without one the whole map. */
  private describe(): void {
    const text = (this.pointed && this.cell(this.pointed)) ?? this.sum();
    if (this.description.textContent !== text) {
      this.description.textContent = text;
    }
  }

  private cell({ x, y }: { x: number; y: number }): string | undefined {
    const [low, high] = this.rows;
    const room = this.canvas.clientWidth - LEFT - RIGHT;
    const column = this.columns[Math.floor(((x - LEFT) / room) * this.columns.length)];
    const row = high - Math.floor((y / (HEIGHT - BOTTOM)) * (high - low + 1));
    if (column === undefined || row < low || row > high) {
      return undefined;
    }
    const range =
      row < this.bounds.length
        ? `${format.seconds(row === 0 ? 0 : this.bounds[row - 1])} to ${format.seconds(this.bounds[row])}`
        : `more than ${format.seconds(this.bounds.at(-1))}`;
    return `${format.clock(column.from)}: ${format.count(column.counts[row] ?? 0)} answers took ${range}`;
  }

  private sum(): string {
    const counts = this.span.steps.flatMap(({ buckets }) => buckets);
    const total = counts.reduce((sum, count) => sum + count, 0);
    return total === 0
      ? "Nothing was asked in this time."
      : `${format.count(total)} answers; the stronger a cell, the more of them took so long`;
  }
}
