/**
 * What a topic still has, `corewire/history`: a page at a time.
 *
 * @module
 */

import type { CorewireError } from "./errors.js";
import { type Message, messageOf } from "./events.js";
import type { HistoryCommand, PageBody, Place } from "./words.js";

/** Which page of history. */
export interface HistoryOptions {
  /** The newest messages before this one. Without any of these three, the newest that there are. */
  readonly before?: Place | undefined;
  /** The oldest messages behind this one. */
  readonly after?: Place | "start" | undefined;
  /** The oldest messages that the server took at this time or later, in milliseconds since 1970. */
  readonly sinceMs?: number | undefined;
  /** How many at most; the server has a bound of its own. */
  readonly limit?: number | undefined;
}

/** A page of history. */
export interface Page<T = unknown> {
  readonly topic: string;
  readonly epoch: string;
  /** It accounts for all offsets behind this one … */
  readonly start: number;
  /** … up to this one. What is not listed has expired. */
  readonly end: number;
  /** Whether there is nothing more in that direction. */
  readonly complete: boolean;
  /** In the order of their offsets. */
  readonly messages: readonly Message<T>[];
}

/** What can be asked for a page: a client. */
export interface Pager {
  /** @internal */
  page(body: HistoryCommand): Promise<PageBody>;
}

/** Reads a page: the newest messages of a topic, or those before or behind a place. */
export async function history<T = unknown>(
  client: Pager,
  topic: string,
  { before, after, sinceMs, limit }: HistoryOptions = {},
): Promise<Page<T>> {
  const place = before ?? (after === "start" ? undefined : after);
  const position = place && { epoch: place.epoch, offset: place.offset };
  const from = sinceMs === undefined ? position : { since_ms: sinceMs };
  const dir = after === undefined && sinceMs === undefined ? "backward" : undefined;
  const { epoch, start, end, complete, items } = await read(client, { topic, from, dir, limit });
  const messages = items.map((item) => messageOf<T>(topic, epoch, item, true));
  return { topic, epoch, start, end, complete, messages };
}

/** The next connection brings what one did not that has ended. */
async function read(client: Pager, body: HistoryCommand): Promise<PageBody> {
  for (;;) {
    try {
      return await client.page(body);
    } catch (error) {
      if ((error as CorewireError).code !== "disconnected") throw error;
    }
  }
}
