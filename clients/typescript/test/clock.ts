/** Time that passes when a test says so, and chance that a seed decides. */

import type { Clock } from "../src/clock.js";

/** Alarms at one moment: more are one that does not do what it is for. */
const ALARMS_MAX = 100_000;

interface Alarm {
  readonly at: number;
  readonly serial: number;
  readonly call: () => void;
}

export class FakeClock implements Clock {
  #now = 0;
  #wallAhead = 0;
  #serial = 0;
  #alarms: Alarm[] = [];

  now(): number {
    return this.#now;
  }

  wall(): number {
    return this.#now + this.#wallAhead;
  }

  after(ms: number, call: () => void): () => void {
    this.#serial += 1;
    const alarm = { at: this.#now + ms, serial: this.#serial, call };
    this.#alarms.push(alarm);
    return () => {
      this.#alarms = this.#alarms.filter((other) => other !== alarm);
    };
  }

  /** How many alarms wait. */
  get waiting(): number {
    return this.#alarms.length;
  }

  /** Lets so much time pass, and everything happen that is due in it. */
  advance(ms: number): void {
    const until = this.#now + ms;
    let idle = 0;
    for (;;) {
      this.#alarms.sort((one, other) => one.at - other.at || one.serial - other.serial);
      const [next] = this.#alarms;
      if (next === undefined || next.at > until) break;
      this.#alarms.shift();
      idle = next.at > this.#now ? 0 : idle + 1;
      if (idle > ALARMS_MAX) throw new Error("an alarm rings again and again, and no time passes");
      this.#now = Math.max(this.#now, next.at);
      next.call();
    }
    this.#now = until;
  }

  /** The machine sleeps, and this clock with it: only the time of day goes on. */
  suspend(ms: number): void {
    this.#wallAhead += ms;
  }

  /** The process sleeps: time passes, and nothing happens until it wakes. */
  sleep(ms: number): void {
    this.#now += ms;
  }
}

/** Numbers from 0, below 1, that follow from the seed (mulberry32). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Lets promises that are settled be heard. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
}
