/** The most important numbers, at the top of the page. */

import { html, type TemplateResult } from "lit-html";
import type { Board } from "../board.js";
import * as format from "../format.js";
import { statusesOf } from "../metrics.js";

/** One number. `exact` is the value for programs. */
interface Tile {
  readonly id: string;
  readonly label: string;
  readonly value: string;
  readonly exact: number;
  readonly beneath: string;
  readonly bad?: boolean;
}

/** Shows the tiles. */
export function tiles(board: Board): TemplateResult {
  return html`${tilesOf(board).map(
    ({ id, label, value, exact, beneath, bad }) => html`
      <div class="tile ${bad ? "bad" : ""}" id="tile-${id}">
        <dt>${label}</dt>
        <dd><data value=${exact}>${value}</data><small>${beneath}</small></dd>
      </div>`,
  )}`;
}

function tilesOf({ summary, now }: Board): Tile[] {
  if (summary === undefined) {
    return [];
  }
  const { total } = summary.requests;
  const failed = statusesOf(summary, "5");
  const refused = statusesOf(summary, "4");
  const share = now !== undefined && now.rate > 0 ? now.serverErrors / now.rate : 0;
  return [
    {
      id: "rate",
      label: "Requests / s",
      value: format.rate(now?.rate ?? 0),
      exact: total,
      beneath: `${format.count(total)} in all`,
    },
    {
      id: "latency",
      label: "p99 latency",
      value: format.seconds(now?.p99),
      exact: now?.p99 ?? 0,
      beneath: `p50 ${format.seconds(now?.p50)}, refused ${format.seconds(now?.refusedP50)}`,
    },
    {
      id: "failed",
      label: "Failed (5xx)",
      value: format.percent(share),
      exact: failed,
      beneath: `${format.count(failed)} in all`,
      bad: share > 0.01,
    },
    {
      id: "refused",
      label: "Refused (4xx) / s",
      value: format.rate(now?.clientErrors ?? 0),
      exact: refused,
      beneath: `${format.count(refused)} in all`,
    },
    {
      id: "in-flight",
      label: "In flight",
      value: format.count(summary.in_flight),
      exact: summary.in_flight,
      beneath: `${format.count(summary.connections_open)} connections open`,
    },
    {
      id: "cpu",
      label: "CPU",
      value: format.percent(now?.cpu ?? 0),
      exact: summary.process.cpu_seconds,
      beneath: "of one core",
    },
    {
      id: "memory",
      label: "Memory",
      value: format.bytes(summary.process.resident_bytes),
      exact: summary.process.resident_bytes,
      beneath: `${format.count(summary.process.open_files)} open files`,
    },
    {
      id: "uptime",
      label: "Up for",
      value: format.duration(summary.uptime_seconds),
      exact: summary.uptime_seconds,
      beneath: `${format.count(summary.python_calls)} calls to Python`,
    },
  ];
}
