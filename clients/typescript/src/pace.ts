/**
 * The server's limit on publications, kept by the client, so that a burst waits here in order instead
 * of being refused there.
 *
 * @module
 */

/** When the next publication is due if none may be early, and how early it may be. */
export interface Pace {
  readonly intervalMs: number;
  readonly burstMs: number;
  dueAt: number;
}

/**
 * So many a second, 0 for no limit. Three quarters of the burst that the server allows: what leaves
 * here in time may arrive together.
 */
export function newPace(perSecond: number, burst: number): Pace {
  const intervalMs = perSecond > 0 ? 1000 / perSecond : 0;
  return { intervalMs, burstMs: (Math.max(1, burst * 0.75) - 1) * intervalMs, dueAt: 0 };
}

/** Sends one, if it may be sent. */
export function take(pace: Pace, now: number): boolean {
  if (nextAt(pace) > now) return false;
  pace.dueAt = Math.max(pace.dueAt, now) + pace.intervalMs;
  return true;
}

/** When the next one may be sent. */
export function nextAt({ dueAt, burstMs }: Pace): number {
  return Math.ceil(dueAt - burstMs);
}
