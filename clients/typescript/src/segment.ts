/** Names of channels that are made of parts. */

/**
 * Writes a text, such as a tenant or a subject, as one segment of a channel's name: `:` begins another segment and is
 * written `%3A`, and `%` is written `%25`. What has neither stays as it is.
 *
 * ```ts
 * hub.subscribe(`room:${segment("acme:eu")}:kitchen`, show); // room:acme%3Aeu:kitchen
 * ```
 */
export function segment(text: string): string {
  return text.replaceAll("%", "%25").replaceAll(":", "%3A");
}
