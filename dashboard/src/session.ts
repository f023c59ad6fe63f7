/** The token: entered on the page, stored for this tab only, and tried before anything is shown. */

const STORAGE_KEY = "nexus.token";

/** The token of this tab. */
export const token = () => sessionStorage.getItem(STORAGE_KEY);

/** Stores the token until the tab is closed. */
export const store = (token: string) => sessionStorage.setItem(STORAGE_KEY, token);

/** Removes the token. */
export const forget = () => sessionStorage.removeItem(STORAGE_KEY);

/** Sends a request with the token. */
export async function ask(path: string, token: string): Promise<Response> {
  const headers = { authorization: `Bearer ${token}` };
  return await fetch(path, { headers, signal: AbortSignal.timeout(10_000) });
}

/** Tries a token; returns why it is refused, or undefined if it is accepted. */
export async function refusal(token: string): Promise<string | undefined> {
  // `fetch` throws on other characters in a header, and a token has no blanks.
  if (!/^[\x21-\x7e]+$/.test(token)) {
    return "this is not a token: it has characters that none can have";
  }
  const answer = await ask("/api/metrics", token);
  if (answer.ok) {
    return undefined;
  }
  const body = (await answer.json().catch(() => ({}))) as { error?: string };
  return body.error ?? `the gateway answers ${answer.status}`;
}

/** Reads the expiry time of a token, in seconds since 1970; Infinity without one. Only the gateway checks it. */
export function expiryOf(token: string): number {
  try {
    const part = token.split(".")[1] ?? "";
    const claims = JSON.parse(atob(part.replaceAll("-", "+").replaceAll("_", "/"))) as unknown;
    const exp = (claims as { exp?: unknown } | null)?.exp;
    return typeof exp === "number" ? exp : Number.POSITIVE_INFINITY;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
