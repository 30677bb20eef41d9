/**
 * A subscription as the application holds it: its events go to a listener, or wait to be iterated.
 *
 * @module
 */

import type { Clock } from "./clock.js";
import type { CorewireError } from "./errors.js";
import type {
  Conflated,
  Gap,
  Message,
  Reset,
  StreamEvent,
  Subscribed,
  Unsubscribed,
} from "./events.js";
import type { Feed, Watcher } from "./feed.js";
import type { Ticket } from "./link.js";
import type { StateCommand } from "./words.js";

/** Events that are no messages, and wait: more become one reset. Messages are bounded by credit. */
const NOTES_MAX = 4096;

/**
 * Who is told of what. A handler that returns a promise is waited for before the next event, and while
 * it takes long the server is held back.
 */
export interface Handlers<T = unknown> {
  readonly message?: (message: Message<T>) => unknown;
  readonly subscribed?: (subscribed: Subscribed) => unknown;
  readonly gap?: (gap: Gap) => unknown;
  readonly conflated?: (conflated: Conflated) => unknown;
  readonly reset?: (reset: Reset) => unknown;
  readonly unsubscribed?: (unsubscribed: Unsubscribed) => unknown;
}

/** What a subscription needs of its client. */
export interface SubscriptionHost {
  readonly clock: Clock;
  watch(feed: Feed, watcher: Watcher): void;
  /** Sends it if the subscription stands. The watcher hears the answer. */
  state(feed: Feed, body: StateCommand, watcher: Watcher | undefined): boolean;
  taken(ticket: Ticket): void;
  unsubscribe(feed: Feed): void;
  /** A handler has thrown. */
  failed(error: unknown): void;
  /** A subscription has ended, and nobody listens to that. */
  unheard(error: CorewireError): void;
}

/** What a watcher of state needs of its client. */
export interface StateLink {
  readonly clock: Clock;
  /** Sends a command if the subscription stands. Says whether it does. */
  send(body: StateCommand, isAsking?: boolean): boolean;
  /** A listener has thrown. */
  failed(error: unknown): void;
}

/** What has state beside its messages: a {@link Subscription}. */
export interface Watchable {
  readonly subject: string;
  /** @internal */
  watch(watcher: Watcher): StateLink;
}

interface Waiting {
  readonly event: StreamEvent;
  readonly ticket: Ticket | undefined;
}

/**
 * A subscription. It lasts, whatever becomes of connections, until {@link Subscription.unsubscribe},
 * or until its last event, `unsubscribed`, says why it has ended.
 */
export class Subscription<T = unknown> implements AsyncIterable<StreamEvent<T>>, Watchable {
  /** The topic or pattern. */
  readonly subject: string;
  readonly #feed: Feed;
  readonly #host: SubscriptionHost;
  readonly #handlers: Handlers<T> | undefined;
  readonly #messagesMax: number;
  #waiting: Waiting[] = [];
  #messages = 0;
  #flow: "open" | "overflown" = "open";
  #isHandling = false;
  #ended = false;
  /** Calls those who iterate, and wait for an event or for the end. */
  #wake: (() => void)[] = [];

  /** @internal */
  constructor(
    feed: Feed,
    host: SubscriptionHost,
    handlers: Handlers<T> | undefined,
    messagesMax: number,
  ) {
    this.subject = feed.subject;
    this.#feed = feed;
    this.#host = host;
    this.#handlers = handlers;
    this.#messagesMax = messagesMax;
  }

  /** Ends it. There are no further events, and what was not taken is gone. */
  unsubscribe(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#host.unsubscribe(this.#feed);
    for (const { ticket } of this.#waiting.splice(0)) {
      if (ticket !== undefined) this.#host.taken(ticket);
    }
    this.#serve();
  }

  /** All events, each once. To leave the loop ends the subscription. */
  async *[Symbol.asyncIterator](): AsyncGenerator<StreamEvent<T>, undefined> {
    try {
      for (;;) {
        const event = this.#take();
        if (event !== undefined) yield event;
        else if (this.#ended) return;
        else await new Promise<void>((wake) => this.#wake.push(wake));
      }
    } finally {
      this.unsubscribe();
    }
  }

  /**
   * The messages alone, for who has no use for what is told beside them. Throws the error that ends
   * the subscription.
   */
  async *messages(): AsyncGenerator<Message<T>, void> {
    for await (const event of this) {
      if (event.type === "message") yield event;
      else if (event.type === "unsubscribed") throw event.error;
    }
  }

  /** @internal For `corewire/presence`: the watcher hears of its state from now on. */
  watch(watcher: Watcher): StateLink {
    this.#host.watch(this.#feed, watcher);
    const { clock, failed, state } = this.#host;
    return {
      clock,
      failed,
      send: (body, isAsking) => state(this.#feed, body, isAsking ? watcher : undefined),
    };
  }

  /** @internal What the machine hands on. */
  hand(event: StreamEvent, ticket: Ticket | undefined): void {
    if (this.#ended) {
      if (ticket !== undefined) this.#host.taken(ticket);
    } else if (!this.#fits(event)) {
      this.#flow = "overflown";
      if (ticket !== undefined) this.#host.taken(ticket);
    } else {
      if (event.type === "message") this.#messages += 1;
      this.#waiting.push({ event, ticket });
      this.#serve();
    }
  }

  #fits(event: StreamEvent): boolean {
    if (event.type === "unsubscribed") return true;
    if (this.#flow === "overflown") return false;
    const notes = this.#waiting.length - this.#messages;
    return event.type === "message" ? this.#messages < this.#messagesMax : notes < NOTES_MAX;
  }

  #serve(): void {
    if (this.#handlers !== undefined) this.#handle(this.#handlers);
    for (const wake of this.#wake.splice(0)) wake();
  }

  #handle(handlers: Handlers<T>): void {
    if (this.#isHandling) return;
    this.#isHandling = true;
    for (let event = this.#take(); event !== undefined; event = this.#take()) {
      try {
        const handler = handlers[event.type] as ((event: StreamEvent<T>) => unknown) | undefined;
        if (
          handler === undefined &&
          event.type === "unsubscribed" &&
          event.error.code !== "closed"
        ) {
          this.#host.unheard(event.error);
        }
        const result = handler?.(event);
        if (result instanceof Promise) {
          const go = (): void => {
            this.#isHandling = false;
            this.#handle(handlers);
          };
          result.then(go, (error: unknown) => {
            this.#host.failed(error);
            go();
          });
          return;
        }
      } catch (error) {
        this.#host.failed(error);
      }
    }
    this.#isHandling = false;
  }

  #take(): StreamEvent<T> | undefined {
    const next = this.#waiting.shift();
    if (next === undefined) {
      if (this.#flow === "open") return undefined;
      // What came meanwhile was left out.
      this.#flow = "open";
      return { type: "reset", cause: "overflow" };
    }
    if (next.event.type === "message") this.#messages -= 1;
    if (next.event.type === "unsubscribed") this.#ended = true;
    if (next.ticket !== undefined) this.#host.taken(next.ticket);
    return next.event as StreamEvent<T>;
  }
}
