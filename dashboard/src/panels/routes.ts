/** The table of routes: sortable and searchable, with the last minute of each route. */

import { html, nothing, svg, type TemplateResult } from "lit-html";
import { type Board, keyOf, SPARK_STEPS } from "../board.js";
import * as format from "../format.js";
import type { Route } from "../metrics.js";

/** A column: how it is read, and how it is written. */
interface Column {
  readonly name: string;
  readonly title: string;
  readonly value: (route: Route, board: Board) => number | string;
  readonly cell: (route: Route, board: Board) => unknown;
}

const rateOf = (route: Route, board: Board) => board.paces.get(keyOf(route))?.rate ?? 0;
const COLUMNS: readonly Column[] = [
  {
    name: "route",
    title: "Route",
    value: ({ route, method }) => `${route} ${method}`,
    cell: ({ route, method }) =>
      html`<span class="method ${method.toLowerCase()}">${method}</span> <code>${breakable(route)}</code>`,
  },
  {
    name: "rate",
    title: "req/s",
    value: rateOf,
    cell: (route, board) => format.rate(rateOf(route, board)),
  },
  {
    name: "total",
    title: "Total",
    value: ({ total }) => total,
    cell: ({ total }) => html`<data value=${total}>${format.count(total)}</data>`,
  },
  time("p50", "p50_seconds"),
  time("p95", "p95_seconds"),
  time("p99", "p99_seconds"),
  errors("4xx", "client_errors"),
  errors("5xx", "server_errors"),
  errors("Refused", "refused"),
  time("Refused p50", "refused_p50_seconds"),
];
/** At most so many rows are drawn; the search finds the others. */
const SHOWN = 60;

function time(
  title: string,
  field: "p50_seconds" | "p95_seconds" | "p99_seconds" | "refused_p50_seconds",
): Column {
  return {
    name: title,
    title,
    value: (route) => route[field] ?? 0,
    // 0 means that there were no such requests.
    cell: (route) => format.seconds(route[field] || null),
  };
}

function errors(title: string, field: "client_errors" | "server_errors" | "refused"): Column {
  const mark = (n: number) => (n === 0 ? "none" : field === "server_errors" ? "failed" : "refused");
  return {
    name: title,
    title,
    value: (route) => route[field] ?? 0,
    cell: (route) =>
      html`<span class=${mark(route[field] ?? 0)}>${format.count(route[field] ?? 0)}</span>`,
  };
}

/** The table and how it is sorted. */
export class RoutesTable {
  private by = "total";
  private down = true;
  private sought = "";

  constructor(private readonly changed: () => void) {}

  /** Sets the text to search for. */
  seek(text: string): void {
    this.sought = text.trim().toLowerCase();
    this.changed();
  }

  /** Shows the table. */
  show(board: Board): TemplateResult {
    const all = board.summary?.routes ?? [];
    if (all.length === 0) {
      return html`<p class="empty">No request has been answered yet.</p>`;
    }
    const found = all.filter((route) => keyOf(route).toLowerCase().includes(this.sought));
    const sorted = this.sorted(found, board);
    return html`<table class="routes" role="table">
        <thead role="rowgroup"><tr role="row">${COLUMNS.map((column) => this.head(column))}<th scope="col" role="columnheader" class="spark">Last minute</th></tr></thead>
        <tbody role="rowgroup">${sorted.slice(0, SHOWN).map((route) => row(route, board))}</tbody>
      </table>
      ${found.length === 0 ? html`<p class="empty">No route has this in its name.</p>` : nothing}
      ${found.length > SHOWN ? html`<p class="empty">${found.length - SHOWN} more; search to see them.</p>` : nothing}`;
  }

  private head({ name, title }: Column): TemplateResult {
    const sort = this.by !== name ? "none" : this.down ? "descending" : "ascending";
    const pick = () => {
      this.down = this.by === name ? !this.down : name !== "route";
      this.by = name;
      this.changed();
    };
    return html`<th scope="col" role="columnheader" aria-sort=${sort} class=${name === "route" ? "name" : "figure"}>
      <button type="button" @click=${pick}>${title}<span aria-hidden="true" class="arrow"></span></button>
    </th>`;
  }

  private sorted(routes: readonly Route[], board: Board): Route[] {
    const column = COLUMNS.find(({ name }) => name === this.by) ?? COLUMNS[0];
    const sign = this.down ? -1 : 1;
    const compare = (a: Route, b: Route) => {
      const [x, y] = [column?.value(a, board) ?? 0, column?.value(b, board) ?? 0];
      const order = typeof x === "string" ? x.localeCompare(String(y)) : x - Number(y);
      return order === 0 ? keyOf(a).localeCompare(keyOf(b)) : sign * order;
    };
    return [...routes].sort(compare);
  }
}

function row(route: Route, board: Board): TemplateResult {
  return html`<tr role="row" data-route=${keyOf(route)}>
    ${COLUMNS.map(
      (column) =>
        html`<td role="cell" data-label=${column.title} class=${column.name === "route" ? "name" : "figure"}>${column.cell(route, board)}</td>`,
    )}
    <td role="cell" class="spark">${spark(board.paces.get(keyOf(route))?.spark ?? [])}</td>
  </tr>`;
}

/** A path that wraps only before its slashes. */
const breakable = (path: string) => path.split(/(?=\/)/).map((part) => html`<wbr>${part}`);

/** The rate of a route in the last minute, as a line. */
function spark(rates: readonly number[]): TemplateResult {
  const most = Math.max(...rates, 1e-9);
  const first = SPARK_STEPS - rates.length;
  const points = rates
    .map((rate, place) => `${first + place},${19 - (rate / most) * 17}`)
    .join(" ");
  return html`<svg class="sparkline" viewBox="0 0 ${SPARK_STEPS - 1} 20" preserveAspectRatio="none" aria-hidden="true">
    ${svg`<polyline points=${points}></polyline>`}
  </svg>`;
}
