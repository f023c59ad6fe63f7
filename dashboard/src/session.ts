/** The token: asked for on the page, kept for this tab alone, and tried before anything is shown. */

const PLACE = "nexus.token";

/** The token of this tab. */
export const token = () => sessionStorage.getItem(PLACE);

/** Keeps a token, until the tab is closed. */
export const keep = (given: string) => sessionStorage.setItem(PLACE, given);

/** Forgets the token. */
export const forget = () => sessionStorage.removeItem(PLACE);

/** Asks the gateway with the token. */
export async function ask(path: string, given: string): Promise<Response> {
  const headers = { authorization: `Bearer ${given}` };
  return await fetch(path, { headers, signal: AbortSignal.timeout(10_000) });
}

/** Tries a token; says in a sentence why it is refused, or nothing where it is good. */
export async function refusal(given: string): Promise<string | undefined> {
  // Whatever else is in a header's value, fetch throws on; a token has neither blanks nor these.
  if (!/^[\x21-\x7e]+$/.test(given)) {
    return "this is not a token: it has characters that none can have";
  }
  const answer = await ask("/api/metrics", given);
  if (answer.ok) {
    return undefined;
  }
  const said = (await answer.json().catch(() => ({}))) as { error?: string };
  return said.error ?? `the gateway answers ${answer.status}`;
}

/** Reads when a token ends, in seconds since 1970; never, where it does not say. The gateway alone checks it. */
export function expiryOf(given: string): number {
  try {
    const part = given.split(".")[1] ?? "";
    const claims = JSON.parse(atob(part.replaceAll("-", "+").replaceAll("_", "/"))) as unknown;
    const exp = (claims as { exp?: unknown } | null)?.exp;
    return typeof exp === "number" ? exp : Number.POSITIVE_INFINITY;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
