/** Which room this window is in: the address says it behind its #. */

const LEVEL = /[^A-Za-z0-9_-]+/g;
const LENGTH_MAX = 32;

/** A room, and its topics. */
export interface Room {
  readonly name: string;
  readonly chat: string;
  readonly canvas: string;
  readonly wave: string;
}

/** The room of an address such as `/#kitchen`. */
export function roomOf(hash: string): Room {
  const wished = decoded(hash.slice(1)).replace(LEVEL, "-").slice(0, LENGTH_MAX);
  const name = wished === "" ? "lobby" : wished;
  const topic = `room.${name}`;
  return { name, chat: `${topic}.chat`, canvas: `${topic}.canvas`, wave: `${topic}.wave` };
}

/** As it was meant, where it can be told: anybody may write anything behind a #. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
