/**
 * What a publication carries, ready to be sent.
 *
 * @module
 */

import type { Payload } from "./words.js";

/**
 * What is published, as it is now: what becomes of the value later does not matter. Bytes are what an
 * `ArrayBuffer` or a view of one has; anything else is JSON.
 *
 * @throws TypeError if JSON has nothing of it.
 */
export function written(data: unknown): Payload {
  const view = data instanceof ArrayBuffer ? new Uint8Array(data) : data;
  if (ArrayBuffer.isView(view)) {
    return new Uint8Array(view.buffer, view.byteOffset, view.byteLength).slice();
  }
  const text = JSON.stringify(data) as string | undefined;
  // A Blob, a Map or a Promise would arrive as an empty object.
  const isLost = text === "{}" && {}.toString.call(data) !== "[object Object]";
  if (text !== undefined && !isLost) return text;
  throw new TypeError("data: JSON has no such value; use null, a plain object, or an ArrayBuffer");
}

const utf8 = new TextEncoder();

/** Bytes of a text, or of bytes, on the wire. */
export function bytesOf(message: string | Uint8Array): number {
  return typeof message === "string" ? utf8.encode(message).length : message.length;
}
