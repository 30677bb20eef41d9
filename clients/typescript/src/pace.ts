/**
 * The server's limit on publications, kept by the client, so that a burst waits here in order instead
 * of being refused there.
 *
 * @module
 */

/** A bucket that fills with time. */
export interface Pace {
  /** 0 is no limit. */
  readonly perSecond: number;
  readonly room: number;
  held: number;
  filledAt: number;
}

/**
 * A bucket that is full. It holds three quarters of the burst that the server allows: what left here
 * in time may arrive together.
 */
export function newPace(perSecond: number, burst: number, now: number): Pace {
  const room = Math.max(1, burst * 0.75);
  return { perSecond, room, held: room, filledAt: now };
}

/** Takes one publication out, if there is one. */
export function take(pace: Pace, now: number): boolean {
  if (pace.perSecond === 0) return true;
  pace.held = Math.min(
    pace.room,
    pace.held + (Math.max(0, now - pace.filledAt) * pace.perSecond) / 1000,
  );
  pace.filledAt = Math.max(now, pace.filledAt);
  if (pace.held < 1) return false;
  pace.held -= 1;
  return true;
}

/** When the next one may be taken. */
export function nextAt(pace: Pace): number {
  return pace.perSecond === 0 || pace.held >= 1
    ? pace.filledAt
    : pace.filledAt + Math.ceil(((1 - pace.held) * 1000) / pace.perSecond);
}
