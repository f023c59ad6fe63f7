/**
 * Tokens: how they are checked before they are sent, and how they are removed from everything that a program may log.
 */

import { RealtimeError } from "./errors.js";

/** RFC 6750, section 2.1. */
const BEARER = /^[A-Za-z0-9\-._~+/]+=*$/;
/** What RFC 6750 allows and the name of a subprotocol does not (RFC 9110, section 5.6.2). */
const NOT_IN_SUBPROTOCOL = /[/=]/;
/** Tokens that are looked for in texts: the newest ones. */
const REMEMBERED_MAX = 4;
const REDACTED = "[redacted]";

/** Replaces what looks like a credential, whatever its source. */
const PATTERNS: readonly (readonly [RegExp, string])[] = [
  [/eyJ[\w-]*\.[\w-]+\.[\w-]*/g, REDACTED],
  [/(bearer[ .])[^\s,;"']*\d[^\s,;"']*/gi, `$1${REDACTED}`],
  [/(\/\/)[^\s/@?#]*@/g, `$1${REDACTED}@`],
  [
    /([?&](?:access_)?(?:token|key|secret|password|api_key|jwt|auth)=)[^\s&#"']*/gi,
    `$1${REDACTED}`,
  ],
];

/** The credentials of one client. */
export class Credentials {
  private readonly known: string[] = [];

  /**
   * Checks a token, and remembers it as one that no text may contain.
   *
   * @throws RealtimeError `token_invalid`; the message does not quote the token.
   */
  checked(token: unknown, subprotocol: boolean): string {
    const wrong = faultOf(token, subprotocol);
    if (typeof token === "string" && token.length >= 4 && !this.known.includes(token)) {
      this.known.push(token);
      this.known.splice(0, this.known.length - REMEMBERED_MAX);
    }
    if (wrong !== undefined) {
      throw new RealtimeError("token_invalid", wrong);
    }
    return token as string;
  }

  /** The text without credentials. */
  redacted(text: string): string {
    let out = text;
    for (const token of this.known) {
      out = out.replaceAll(token, REDACTED);
    }
    for (const [pattern, replacement] of PATTERNS) {
      out = out.replace(pattern, replacement);
    }
    return out;
  }
}

function faultOf(token: unknown, subprotocol: boolean): string | undefined {
  if (typeof token !== "string") {
    return `expected the token as text, found ${token === null ? "null" : typeof token}`;
  }
  if (token === "") {
    return "the token is empty";
  }
  if (!BEARER.test(token)) {
    return "the token has a character that no token has, such as white space or a line break";
  }
  if (subprotocol && NOT_IN_SUBPROTOCOL.test(token)) {
    return 'the token has "/" or "=", which a subprotocol cannot carry: use auth: "message"';
  }
  return undefined;
}
