/** Bytes as text (RFC 4648, section 4), with what browsers and Node both have. */

/** Bytes that are turned at a time: arguments of one call. */
const CHUNK_BYTES = 8192;

/** Bytes as base64. */
export function toBase64(bytes: Uint8Array): string {
  let binary = "";
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    binary += String.fromCharCode(...bytes.subarray(at, at + CHUNK_BYTES));
  }
  return btoa(binary);
}

/**
 * Base64 as bytes.
 *
 * @throws if it is none.
 */
export function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
