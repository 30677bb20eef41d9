/**
 * When to come back: exponential backoff with full jitter, so that clients that were cut off together
 * do not return together.
 *
 * @module
 */

/** Bounds of the time between two attempts. */
export interface Backoff {
  /** The most that the first return waits. Each further one waits at most twice as long. */
  readonly firstMs: number;
  /** The most that any return waits, unless the server asks for more. */
  readonly maxMs: number;
}

/** A number from 0, below 1: `Math.random` is one. */
export type Random = () => number;

/** The longest wait that a server may ask for. */
export const RETRY_MS_MAX = 600_000;

/** Clients come back within this time after a server that said "soon" and no time. */
const SPREAD_MS = 1000;

/** What the server has said about coming back. */
export interface Hints {
  readonly retryMs?: number | undefined;
  readonly spreadMs?: number | undefined;
}

/** What a client does after a Close frame. */
export type Comeback = "never" | "later" | "soon";

/** What a client does after a Close frame with this code, or after none. */
export function comeback(code: number | undefined): Comeback {
  if (code === undefined) return "later";
  if (code >= 4300 && code <= 4999) return Math.floor(code / 100) % 2 === 0 ? "never" : "later";
  if (code >= 4200 || code === 1001 || code === 1012) return "soon";
  if (code >= 4100) return "later";
  return code >= 4000 || [1002, 1003, 1007, 1009, 1010].includes(code) ? "never" : "later";
}

/** The most that the return after so many failures in a row waits. */
export function ceilingMs({ firstMs, maxMs }: Backoff, failures: number): number {
  return Math.min(maxMs, firstMs * 2 ** failures);
}

/**
 * How long to wait: not less than the server's `retryMs`; at once inside its `spreadMs` if there was
 * no failure before; otherwise a moment between 0 and the ceiling, each as likely as any other.
 */
export function waitMs(
  backoff: Backoff,
  failures: number,
  soon: boolean,
  { retryMs = 0, spreadMs }: Hints,
  random: Random,
): number {
  const spread = spreadMs ?? (soon ? SPREAD_MS : undefined);
  const spreadWait = random() * Math.min(spread ?? 0, RETRY_MS_MAX);
  const wait =
    spread !== undefined && failures === 0
      ? spreadWait
      : Math.max(spreadWait, random() * ceilingMs(backoff, failures));
  return Math.round(Math.min(retryMs, RETRY_MS_MAX) + wait);
}
