/** A server, clients and time, for tests that read like a conversation. */

import { Client, type ClientOptions } from "../src/client.js";
import type { Message, StreamEvent } from "../src/events.js";
import type { Subscription } from "../src/subscription.js";
import { FakeClock, random } from "./clock.js";
import { Server } from "./model.js";

export class World {
  readonly clock = new FakeClock();
  readonly server: Server = new Server(this.clock);
  readonly random: () => number;
  readonly #clients: Client[] = [];

  constructor(seed = 1) {
    this.random = random(seed);
  }

  client(options: ClientOptions = {}): Client {
    const { clock, server } = this;
    const client = new Client("ws://server/ws", {
      clock,
      transport: server.transport,
      random: this.random,
      ...options,
    });
    this.#clients.push(client);
    return client;
  }

  /** Lets so much time pass. */
  pass(ms: number): void {
    this.clock.advance(ms);
  }

  /** A subscription whose events are kept. */
  record(
    client: Client,
    ...[subject, options]: [string, Parameters<Client["subscribe"]>[2]?]
  ): Recorded {
    const events: StreamEvent[] = [];
    const note = (event: StreamEvent): void => {
      events.push(event);
    };
    const handlers = {
      message: note,
      subscribed: note,
      gap: note,
      conflated: note,
      reset: note,
      unsubscribed: note,
    };
    return { events, subscription: client.subscribe(subject, handlers, options) };
  }
}

export interface Recorded {
  readonly events: StreamEvent[];
  readonly subscription: Subscription;
}

/** What was told, in short: `3` for a message with that data, else the type. */
export function told({ events }: Recorded): unknown[] {
  return events.map((event) => (event.type === "message" ? event.data : event.type));
}

export function messages({ events }: Recorded): Message[] {
  return events.filter((event) => event.type === "message");
}
