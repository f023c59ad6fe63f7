/** The tail of the access log: filtered, held still where one reads, each line open to its fields. */

import { html, nothing, type TemplateResult } from "lit-html";
import { repeat } from "lit-html/directives/repeat.js";
import type { Board, LogEntry } from "../board.js";
import * as format from "../format.js";

/** Lines that are drawn. */
const SHOWN = 150;
const LEVELS = ["debug", "info", "warning", "error"];

/** The tail and what of it is shown. */
export class LogTail {
  private sought = "";
  private least = 0;
  private held: readonly LogEntry[] | undefined;
  private readonly keys = new WeakMap<LogEntry, number>();
  private last = 0;

  constructor(private readonly changed: () => void) {}

  /** Takes what is searched for. */
  seek(text: string): void {
    this.sought = text.trim().toLowerCase();
    this.changed();
  }

  /** Takes the least level that is shown. */
  from(level: string): void {
    this.least = Math.max(0, LEVELS.indexOf(level));
    this.changed();
  }

  /** Holds the lines still, or lets them go on; whether they are held. */
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
      const why =
        all.length === 0 ? "No line has come since this page was opened." : "No line fits.";
      return html`<p class="empty">${why}</p>`;
    }
    return html`<ul class="log">${repeat(found, (entry) => this.key(entry), line)}</ul>`;
  }

  private fits(entry: LogEntry): boolean {
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

function line(entry: LogEntry): TemplateResult {
  const text = (name: string) => (entry[name] === undefined ? "" : String(entry[name]));
  const at = Date.parse(text("timestamp"));
  const took =
    typeof entry.duration_ms === "number" ? format.seconds(entry.duration_ms / 1000) : "";
  return html`<li>
    <details>
      <summary>
        <time>${Number.isFinite(at) ? format.clock(at) : ""}</time>
        <span class="status ${text("level")}">${text("status") || text("level")}</span>
        <span class="method ${text("method").toLowerCase()}">${text("method")}</span>
        <span class="what">${text("path") || text("message")}</span>
        <span class="who">${text("subject")}</span>
        <span class="took">${took}</span>
        ${entry.error === undefined ? nothing : html`<span class="why">${text("error")}</span>`}
      </summary>
      <dl>${Object.entries(entry).map(([name, value]) => html`<dt>${name}</dt><dd>${said(value)}</dd>`)}</dl>
    </details>
  </li>`;
}

const said = (value: unknown) =>
  typeof value === "object" ? JSON.stringify(value) : String(value);
