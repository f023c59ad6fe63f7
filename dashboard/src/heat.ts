/** The heat map: how many answers took how long, over time. Each cell is a bucket of the histogram in a step. */

import type { Step } from "./figures.js";
import * as format from "./format.js";
import { colour } from "./theme.js";

const LEFT = 62;
const BOTTOM = 20;
const HEIGHT = 230;
const NARROWEST = 5;

/** A cell as the pointer finds it. */
interface Cell {
  readonly from: number;
  readonly to: number;
  readonly counts: readonly number[];
}

/** A heat map on a canvas, with what is pointed at in words. */
export class Heat {
  private steps: readonly Step[] = [];
  private bounds: readonly number[] = [];
  private columns: Cell[] = [];
  private rows: [number, number] = [0, 0];

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly says: HTMLElement,
  ) {
    new ResizeObserver(() => this.draw()).observe(canvas.parentElement ?? canvas);
    canvas.addEventListener("pointermove", (event) => this.point(event.offsetX, event.offsetY));
    canvas.addEventListener("pointerleave", () => this.sum());
  }

  /** Shows steps. */
  show(steps: readonly Step[], bounds: readonly number[]): void {
    this.steps = steps;
    this.bounds = bounds;
    this.draw();
    this.sum();
  }

  /** Draws again, in the colours of now. */
  draw(): void {
    const width = this.canvas.parentElement?.clientWidth ?? 0;
    const context = this.canvas.getContext("2d");
    if (width === 0 || context === null) {
      return;
    }
    const ratio = window.devicePixelRatio;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(HEIGHT * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.columns = this.grouped(Math.max(1, Math.floor((width - LEFT) / NARROWEST)));
    this.rows = this.used();
    this.paint(context, width);
    this.label(context, width);
  }

  /** Joins steps into as many columns as can be told apart. */
  private grouped(most: number): Cell[] {
    const size = Math.max(1, Math.ceil(this.steps.length / most));
    const columns: Cell[] = [];
    for (let first = 0; first < this.steps.length; first += size) {
      const group = this.steps.slice(first, first + size);
      const counts = this.bounds.map(() => 0).concat(0);
      for (const { buckets } of group) {
        buckets.forEach((count, place) => {
          counts[place] = (counts[place] ?? 0) + count;
        });
      }
      columns.push({ from: group[0]?.at ?? 0, to: group.at(-1)?.at ?? 0, counts });
    }
    return columns;
  }

  /** The buckets that anything fell into, with one to spare; never fewer than eight. */
  private used(): [number, number] {
    const some = (place: number) => this.columns.some(({ counts }) => (counts[place] ?? 0) > 0);
    const places = this.bounds
      .map((_, place) => place)
      .concat(this.bounds.length)
      .filter(some);
    const low = Math.max(0, (places[0] ?? 3) - 1);
    const high = Math.min(this.bounds.length, Math.max((places.at(-1) ?? 0) + 1, low + 7));
    return [Math.min(low, high - 7), high];
  }

  private paint(context: CanvasRenderingContext2D, width: number): void {
    const [low, high] = this.rows;
    const wide = (width - LEFT) / Math.max(this.columns.length, 1);
    const tall = (HEIGHT - BOTTOM) / (high - low + 1);
    const most = Math.max(1, ...this.columns.flatMap(({ counts }) => counts));
    for (const [column, { counts }] of this.columns.entries()) {
      for (let row = low; row <= high; row += 1) {
        const share = Math.sqrt((counts[row] ?? 0) / most);
        context.globalAlpha = share === 0 ? 1 : 0.15 + 0.85 * share;
        context.fillStyle = colour(share === 0 ? "heat-empty" : "heat");
        const top = HEIGHT - BOTTOM - (row - low + 1) * tall;
        context.fillRect(LEFT + column * wide, top, Math.max(wide - 0.5, 0.5), tall - 1);
      }
    }
    context.globalAlpha = 1;
  }

  private label(context: CanvasRenderingContext2D, width: number): void {
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
    const [first, last] = [this.columns[0], this.columns.at(-1)];
    if (first !== undefined && last !== undefined) {
      context.fillText(format.clock(last.to), width, HEIGHT);
      context.textAlign = "left";
      context.fillText(format.clock(first.from), LEFT, HEIGHT);
    }
  }

  private point(x: number, y: number): void {
    const [low, high] = this.rows;
    const width = this.canvas.clientWidth - LEFT;
    const column = this.columns[Math.floor(((x - LEFT) / width) * this.columns.length)];
    const row = high - Math.floor((y / (HEIGHT - BOTTOM)) * (high - low + 1));
    if (column === undefined || row < low || row > high) {
      this.sum();
      return;
    }
    const range =
      row < this.bounds.length
        ? `${format.seconds(row === 0 ? 0 : this.bounds[row - 1])} to ${format.seconds(this.bounds[row])}`
        : `more than ${format.seconds(this.bounds.at(-1))}`;
    this.says.textContent = `${format.clock(column.from)}: ${format.count(column.counts[row] ?? 0)} answers took ${range}`;
  }

  /** In words what the whole shows, for those who do not see or point. */
  private sum(): void {
    const total = this.steps.reduce(
      (sum, { buckets }) => sum + buckets.reduce((a, b) => a + b, 0),
      0,
    );
    this.says.textContent = `${format.count(total)} answers in view; stronger is more`;
  }
}
