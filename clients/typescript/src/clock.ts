/**
 * Time, as the client asks for it.
 *
 * @module
 */

/** A clock and its alarms. Tests have their own. */
export interface Clock {
  /** Milliseconds of a clock that does not go back. */
  now(): number;
  /** The time of day in milliseconds: it goes on while a machine sleeps. */
  wall(): number;
  /** Calls once, after so many milliseconds. Returns what calls it off. */
  after(ms: number, call: () => void): () => void;
}

/** A moment that does not come. */
export const NEVER: number = Number.POSITIVE_INFINITY;

/** More do not fit a timer. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** The platform's clock. */
export const systemClock: Clock = {
  now: () => Math.floor(performance.now()),
  wall: Date.now,
  after(ms, call) {
    const timer = setTimeout(call, Math.min(ms, TIMER_MS_MAX));
    return () => clearTimeout(timer);
  },
};
