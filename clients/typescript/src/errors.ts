/**
 * What can go wrong, as one class with a code to switch on and a text that says what to do.
 *
 * @module
 */

import type { ErrorBody } from "./words.js";

/** The server's errors, from 100 on. */
const NAMES = [
  "internal",
  "unauthorized",
  "forbidden",
  "unknown_topic",
  "bad_request",
  "unsupported",
  "already",
  "limit",
  "rate_limited",
  "token_expired",
  "bad_position",
  "unavailable",
  "not_durable",
  "conflict",
  "too_large",
  "overloaded",
] as const;

/** Why the server has refused something. */
export type ServerErrorCode = (typeof NAMES)[number];

/**
 * Why something did not work: the server's word, or one of the client's own.
 *
 * | Code | |
 * | --- | --- |
 * | `closed` | the client was closed |
 * | `uncertain` | a publication was sent, and nobody knows whether it was taken |
 * | `timed_out` | a step took longer than its bound |
 * | `full` | too much waits already |
 * | `bad_token` | the server does not take the token, and there is no other |
 * | `refused` | the server would answer the same again, so the client has stopped |
 * | `unreachable` | there is no way to the server |
 * | `disconnected` | the connection ended |
 * | `broken` | the server broke the protocol |
 */
export type ErrorCode =
  | ServerErrorCode
  | "closed"
  | "uncertain"
  | "timed_out"
  | "full"
  | "bad_token"
  | "refused"
  | "unreachable"
  | "disconnected"
  | "broken";

/** What an error may bring along. */
export interface ErrorDetails {
  /** The same may succeed after so many milliseconds. */
  readonly retryMs?: number | undefined;
  /** The code of the Close frame that ended a connection. */
  readonly closeCode?: number | undefined;
  /** What led to it. */
  readonly cause?: unknown;
}

/** The one class of this package's errors. */
export class CorewireError extends Error {
  override readonly name = "CorewireError";
  /** What kind of error it is. */
  declare readonly code: ErrorCode;
  /** The same may succeed after so many milliseconds. */
  declare readonly retryMs: number | undefined;
  /** The code of the Close frame that ended a connection. */
  declare readonly closeCode: number | undefined;

  /** An error of this kind; the text says what to do. */
  constructor(code: ErrorCode, text: string, details?: ErrorDetails) {
    super(text);
    Object.assign(this, { code }, details);
  }
}

/** The server says what it must not, or what cannot be read. */
export function broken(what: string): CorewireError {
  return new CorewireError("broken", `the server broke the protocol: ${what}`);
}

/** What everything ends with in a client that was closed. */
export function closed(): CorewireError {
  return new CorewireError("closed", "the client was closed; make another one");
}

/** The name of one of the server's codes. Those of a later version count as `internal`. */
export function errorName(code: number): ServerErrorCode {
  return NAMES[code - 100] ?? "internal";
}

/** Those that may not last. */
const TEMPORARY = [100, 108, 109, 111, 112, 115];
/** How long to wait before asking again, if the server does not say. */
const AGAIN_MS = 1000;

/** When the same command may succeed by itself, if it may: after so many milliseconds. */
export function againMs(code: number, retryMs: number | undefined): number | undefined {
  return retryMs ?? (TEMPORARY.includes(code) ? AGAIN_MS : undefined);
}

/** What the server has refused, and why. */
export function refusal(what: string, { code, text, retry_ms }: ErrorBody): CorewireError {
  return new CorewireError(errorName(code), `${what}: ${text}`, { retryMs: retry_ms });
}
