/** The numbers of sockets, channels and messages. */

import { html, nothing, type TemplateResult } from "lit-html";
import type { Board } from "../board.js";
import * as format from "../format.js";
import type { HubMetrics, Namespace } from "../metrics.js";

/** Shows the counters of the hub. */
export function realtime({ summary }: Board): TemplateResult {
  const hub = summary?.realtime;
  return hub === undefined
    ? html`<p class="empty">This gateway has no hub: no sockets, no channels.</p>`
    : html`${totals(hub)}${table(hub)}`;
}

function totals(hub: HubMetrics): TemplateResult {
  const refused = Object.values(hub.refused ?? {}).reduce((sum, count) => sum + count, 0);
  return html`<dl class="facts" id="realtime">
      ${fact("sockets", "Sockets", hub.sockets)}
      ${fact("streams", "Event streams", hub.streams)}
      ${fact("channels", "Channels", hub.channels)}
      ${fact("subscriptions", "Subscriptions", hub.subscriptions)}
      ${fact("frames", "Frames in", hub.frames)}
      ${fact("refused", "Frames refused", refused, "refused")}
    </dl>
    ${
      hub.broker_away
        ? html`<p class="refused">The Redis that replicas share is away: channels are this replica's own for now.</p>`
        : nothing
    }`;
}

function fact(key: string, name: string, value: number, mark = ""): TemplateResult {
  return html`<div data-key=${key}>
    <dt>${name}</dt>
    <dd class=${value > 0 ? mark : ""}><data value=${value}>${format.count(value)}</data></dd>
  </div>`;
}

function table(hub: HubMetrics): TemplateResult {
  const used = hub.namespaces.filter(
    ({ subscriptions, published }) => subscriptions > 0 || published > 0,
  );
  if (used.length === 0) {
    return html`<p class="empty">No channel has been used yet.</p>`;
  }
  return html`<div class="table"><table role="table">
    <thead role="rowgroup" class="titles"><tr role="row">
      <th scope="col" role="columnheader">Channels</th>
      <th scope="col" role="columnheader" class="figure">Heard by</th>
      <th scope="col" role="columnheader" class="figure">Published</th>
      <th scope="col" role="columnheader" class="figure">Delivered</th>
      <th scope="col" role="columnheader" class="figure" title="Messages that slow readers did not get">Dropped</th>
    </tr></thead>
    <tbody role="rowgroup">${used.map(row)}</tbody>
  </table></div>`;
}

function row({
  namespace,
  subscriptions,
  published,
  delivered,
  dropped,
}: Namespace): TemplateResult {
  return html`<tr role="row" data-namespace=${namespace}>
    <td role="cell" class="name"><code>${namespace}</code></td>
    <td role="cell" data-label="Heard by" class="figure"><data value=${subscriptions}>${format.count(subscriptions)}</data></td>
    <td role="cell" data-label="Published" class="figure"><data value=${published}>${format.count(published)}</data></td>
    <td role="cell" data-label="Delivered" class="figure"><data value=${delivered}>${format.count(delivered)}</data></td>
    <td role="cell" data-label="Dropped" class="figure ${dropped > 0 ? "refused" : "none"}">${format.count(dropped)}</td>
  </tr>`;
}
