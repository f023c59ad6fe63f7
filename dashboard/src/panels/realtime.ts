/** Sockets and channels. */

import { html, type TemplateResult } from "lit-html";
import type { Board } from "../board.js";
import * as format from "../format.js";

/** Shows what the hub tells: its figures, whichever it has, and closes by their code. */
export function realtime({ summary }: Board): TemplateResult {
  const all = Object.entries(summary?.realtime ?? {});
  if (all.length === 0) {
    return html`<p class="empty">No figures of the hub have come.</p>`;
  }
  const figures = all.filter((one): one is [string, number] => typeof one[1] === "number");
  const groups = all.filter(
    (one): one is [string, object] => typeof one[1] === "object" && one[1] !== null,
  );
  return html`<dl class="facts" id="realtime">
    ${figures.map(([name, value]) => fact(name, value))}
    ${groups.flatMap(([name, group]) =>
      Object.entries(group)
        .filter(([, value]) => typeof value === "number")
        .map(([part, value]) => fact(`${name} ${part}`, value as number)),
    )}
  </dl>`;
}

function fact(name: string, value: number): TemplateResult {
  return html`<div>
    <dt>${format.words(name)}</dt>
    <dd><data value=${value}>${format.count(value)}</data></dd>
  </div>`;
}
