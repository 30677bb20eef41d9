/**
 * What can go wrong, as one class with a code to switch on and a text that says what to do.
 *
 * @module
 */

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
  readonly code: ErrorCode;
  /** The same may succeed after so many milliseconds. */
  readonly retryMs: number | undefined;
  /** The code of the Close frame that ended a connection. */
  readonly closeCode: number | undefined;

  /** An error of this kind; the text says what to do. */
  constructor(code: ErrorCode, text: string, { retryMs, closeCode, cause }: ErrorDetails = {}) {
    super(text, cause === undefined ? {} : { cause });
    this.code = code;
    this.retryMs = retryMs;
    this.closeCode = closeCode;
  }
}

/** The name of one of the server's codes. Those of a later version count as `internal`. */
export function errorName(code: number): ServerErrorCode {
  return NAMES[code - 100] ?? "internal";
}

/** Whether the same command may succeed later, by itself. */
export function isTemporary(name: ServerErrorCode): boolean {
  return (
    name === "internal" ||
    name === "rate_limited" ||
    name === "token_expired" ||
    name === "unavailable" ||
    name === "not_durable" ||
    name === "overloaded"
  );
}
