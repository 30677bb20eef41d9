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

/** Codes that say to come back, to another server or with another token. */
const SOON = /^(1001|1012|42..)$/;
/** Those that say that this client and the server do not get along; of applications the even hundreds. */
const NEVER = /^(100[2379]|1010|4[0468]..)$/;

/** What the server has said about coming back. */
export interface Hints {
  readonly retry_ms?: number | undefined;
  readonly spread_ms?: number | undefined;
}

/** What a client does after a Close frame. */
export type Comeback = "never" | "later" | "soon";

/** What a client does after a Close frame with this code, or after none. */
export function comeback(code: number | undefined): Comeback {
  if (SOON.test(`${code}`)) return "soon";
  return NEVER.test(`${code}`) ? "never" : "later";
}

/** The most that the return after so many failures in a row waits. */
export function ceilingMs({ firstMs, maxMs }: Backoff, failures: number): number {
  return Math.min(maxMs, firstMs * 2 ** failures);
}

/**
 * How long to wait: not less than the server's `retry_ms`; at once inside its `spread_ms` if there was
 * no failure before; otherwise a moment between 0 and the ceiling, each as likely as any other.
 */
export function waitMs(
  backoff: Backoff,
  failures: number,
  soon: boolean,
  { retry_ms = 0, spread_ms }: Hints,
  random: Random,
): number {
  const spread = spread_ms ?? (soon ? SPREAD_MS : undefined);
  const spreadWait = random() * Math.min(spread ?? 0, RETRY_MS_MAX);
  const wait =
    spread !== undefined && failures === 0
      ? spreadWait
      : Math.max(spreadWait, random() * ceilingMs(backoff, failures));
  return Math.round(Math.min(retry_ms, RETRY_MS_MAX) + wait);
}
