/** What a topic has already when a subscription begins anew. */

import type { Client, Message, Place } from "corewire";
import { history } from "corewire/history";

const MESSAGES = 200;

/**
 * Shows what stands before a position: after a reset a subscription goes on from there, and others may
 * have come back, and published, earlier.
 */
export async function refill(
  client: Client,
  topic: string,
  position: Place | undefined,
  show: (message: Message<unknown>) => void,
): Promise<void> {
  if (position === undefined || position.offset === 0) return;
  const before = { epoch: position.epoch, offset: position.offset + 1 };
  try {
    const page = await history<unknown>(client, topic, { before, limit: MESSAGES });
    for (const message of page.messages) show(message);
  } catch {
    // The connection has gone again: the next one tells.
  }
}
