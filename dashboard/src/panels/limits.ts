/** Limits and the callers that exceed them, the callers with most requests, and refusals by code. */

import { html, type TemplateResult } from "lit-html";
import type { Board } from "../board.js";
import * as format from "../format.js";
import type { Caller, Limit } from "../metrics.js";

/** Shows the counters of each limit. */
export function limits({ summary }: Board): TemplateResult {
  const all = summary?.limits ?? [];
  if (all.length === 0) {
    return html`<p class="empty">This gateway has no limits. <code>NEXUS_RATE_LIMIT</code> sets one.</p>`;
  }
  return html`${all.map(limit)}`;
}

function limit({ name, rule, passed, refused, top }: Limit): TemplateResult {
  const asked = passed + refused;
  return html`<article class="limit" data-limit=${name}>
    <h3>${name} <small>${rule}</small></h3>
    <p>
      <b class=${refused > 0 ? "refused" : "none"}><data value=${refused}>${format.count(refused)}</data></b> refused of
      ${format.count(asked)}
    </p>
    <svg class="bar share" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
      <rect width=${(100 * refused) / Math.max(1, asked)} height="4"></rect>
    </svg>
    ${top.length === 0 ? html`<p class="empty">Nobody has hit it.</p>` : callerBars(top.slice(0, 5))}
  </article>`;
}

/** Shows the callers with most requests. */
export function subjects({ summary }: Board): TemplateResult {
  const all = summary?.subjects ?? [];
  return all.length === 0
    ? html`<p class="empty">No request with a token yet.</p>`
    : callerBars(all);
}

function callerBars(all: readonly Caller[]): TemplateResult {
  const most = Math.max(1, ...all.map(({ count }) => count));
  return html`<ol class="bars">
    ${all.map(({ subject, tenant, count, over }) =>
      bar(
        tenant === undefined ? subject : `${tenant} / ${subject}`,
        count,
        most,
        over > 0 ? "≤ " : "",
      ),
    )}
  </ol>`;
}

/** Shows the refusals by code. */
export function refusals({ summary }: Board): TemplateResult {
  const all = Object.entries(summary?.refusals ?? {}).sort(([, a], [, b]) => b - a);
  if (all.length === 0) {
    return html`<p class="empty">Nothing was refused.</p>`;
  }
  const most = Math.max(1, ...all.map(([, count]) => count));
  const link = (code: string) => html`<a href="/errors/${code}">${code}</a>`;
  return html`<ol class="bars" id="refusals">${all.map(([code, count]) => bar(link(code), count, most, "", code))}</ol>`;
}

function bar(name: unknown, count: number, most: number, mark: string, key = ""): TemplateResult {
  return html`<li data-key=${key}>
    <span class="bar-name">${name}</span>
    <data value=${count}>${mark}${format.count(count)}</data>
    <svg class="bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
      <rect width=${(100 * count) / most} height="4"></rect>
    </svg>
  </li>`;
}
