/** The tail of the access log: it can be filtered and paused, and each line opens to show its fields. */

import { html, nothing, type TemplateResult } from "lit-html";
import { repeat } from "lit-html/directives/repeat.js";
import type { Board, LogEntry } from "../board.js";
import * as format from "../format.js";

/** At most so many lines are drawn. */
const SHOWN = 150;
const LEVELS = ["debug", "info", "warning", "error"];

/** The tail, its filter and its pause. */
export class LogTail {
  private sought = "";
  private least = 0;
  private held: readonly LogEntry[] | undefined;
  private readonly keys = new WeakMap<LogEntry, number>();
  private last = 0;

  constructor(private readonly changed: () => void) {}

  /** Sets the text to search for. */
  seek(text: string): void {
    this.sought = text.trim().toLowerCase();
    this.changed();
  }

  /** Sets the lowest level to show. */
  from(level: string): void {
    this.least = Math.max(0, LEVELS.indexOf(level));
    this.changed();
  }

  /** Pauses or resumes; returns whether the log is paused. */
  hold(board: Board): boolean {
    this.held = this.held === undefined ? [...board.log] : undefined;
    this.changed();
    return this.held !== undefined;
  }

  /** Shows the lines, the newest first. */
  show(board: Board): TemplateResult {
    const all = this.held ?? board.log;
    const found = all
      .filter((entry) => this.fits(entry))
      .slice(-SHOWN)
      .reverse();
    if (found.length === 0) {
      return html`<p class="empty">${without(board, all.length)}</p>`;
    }
    return html`<ul class="log">${repeat(found, (entry) => this.key(entry), line)}</ul>`;
  }

  private fits(entry: LogEntry): boolean {
    if (entry.left_out !== undefined) {
      return this.sought === "";
    }
    const level = LEVELS.indexOf(String(entry.level));
    return (level < 0 || level >= this.least) && (this.sought === "" || this.has(entry));
  }

  private has(entry: LogEntry): boolean {
    return Object.values(entry).some((value) => String(value).toLowerCase().includes(this.sought));
  }

  private key(entry: LogEntry): number {
    const key = this.keys.get(entry) ?? ++this.last;
    this.keys.set(entry, key);
    return key;
  }
}

function without(board: Board, lines: number): string {
  if (lines > 0) {
    return "No line fits.";
  }
  return board.withoutLog === ""
    ? "Nothing has been logged yet."
    : `The log is not shown: ${board.withoutLog}.`;
}

function line(entry: LogEntry): TemplateResult {
  if (entry.left_out !== undefined) {
    const missing = entry.left_out as number | "unknown";
    const many = missing === "unknown" ? "some" : format.count(missing);
    return html`<li class="left-out">${many} more lines; the whole log is where the gateway writes it</li>`;
  }
  const text = (name: string) => (entry[name] === undefined ? "" : String(entry[name]));
  const at = Date.parse(text("timestamp"));
  const took =
    typeof entry.duration_ms === "number" ? format.seconds(entry.duration_ms / 1000) : "";
  const why = text("error") || text("reason");
  return html`<li>
    <details>
      <summary>
        <time>${Number.isFinite(at) ? format.clock(at) : ""}</time>
        <span class="status ${text("level")}">${text("status") || text("level")}</span>
        <span class="method ${text("method").toLowerCase()}">${text("method")}</span>
        <span class="what">${text("path") || messageOf(entry)}</span>
        <span class="who">${text("subject")}</span>
        <span class="took">${took}</span>
        ${why === "" ? nothing : html`<span class="why">${why}</span>`}
      </summary>
      <dl>${Object.entries(entry).map(([name, value]) => html`<dt>${name}</dt><dd>${textOf(value)}</dd>`)}</dl>
    </details>
  </li>`;
}

/** The message; for the end of a socket with the close code. */
const messageOf = ({ message, code }: LogEntry) =>
  message === "socket" ? `socket closed with ${code}` : String(message ?? "");

const textOf = (value: unknown) =>
  typeof value === "object" ? JSON.stringify(value) : String(value);
