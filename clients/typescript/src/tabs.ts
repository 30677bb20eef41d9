/**
 * One connection for all tabs of a browser, `corewire/tabs`.
 *
 * One tab leads: it has the client and its connection; the others say over a `BroadcastChannel` what
 * they want. Who leads holds a lock, so that another takes over when it is closed. What was sent and
 * not answered then goes out again with its `idem`, and each subscription goes on behind what its tab
 * has heard.
 *
 * ```text
 *              the lock                          the lock
 *   following ──────────▶ leading      alone (there are no locks or channels here)
 * ```
 *
 * @module
 */

import { Client, type ClientOptions, type PublishOptions } from "./client.js";
import { systemClock } from "./clock.js";
import { CorewireError, closed, type ErrorCode } from "./errors.js";
import type { Message, Status, StreamEvent, Subscribed } from "./events.js";
import {
  type Feed,
  type News,
  newFeed,
  type Start,
  type SubscribeOptions,
  type Watcher,
} from "./feed.js";
import { type HistoryOptions, history } from "./history.js";
import type { Published } from "./outbox.js";
import { written } from "./payload.js";
import { checkSubject, checkTopic } from "./subject.js";
import {
  type Handlers,
  type StateLink,
  Subscription,
  type SubscriptionHost,
} from "./subscription.js";
import type { HistoryCommand, PageBody, Place, StateCommand } from "./words.js";

/** Messages that wait in a tab to be taken. */
const MESSAGES_MAX = 8192;
/** Topics of a pattern whose positions a tab remembers. */
const PLACES_MAX = 65_536;
/** Publications of a tab that wait for their reply. */
const PUBLICATIONS_MAX = 10_000;

/** What of `navigator.locks` is used. */
export interface Locks {
  request(name: string, hold: () => Promise<unknown>): Promise<unknown>;
}

/** What of a `BroadcastChannel` is used. */
export interface Channel {
  postMessage(message: unknown): void;
  close(): void;
  onmessage: ((event: { data: unknown }) => void) | null;
}

/** How a client of several tabs is made. All tabs should make it alike. */
export interface TabsOptions extends ClientOptions {
  /** Tabs with the same name share a connection; the server's address if there is none. */
  readonly name?: string | undefined;
  /** `navigator.locks` if there is none. */
  readonly locks?: Locks | undefined;
  /** Opens a channel; a `BroadcastChannel` if there is none. */
  readonly channel?: ((name: string) => Channel) | undefined;
}

/** What a tab asks of the one that leads. `n` is the tab's own number of a subscription or question. */
type Wish =
  | { readonly is: "hello" }
  | { readonly is: "bye" }
  | {
      readonly is: "sub";
      readonly n: number;
      readonly subject: string;
      readonly options: SubscribeOptions;
    }
  | { readonly is: "unsub"; readonly n: number }
  | {
      readonly is: "watch";
      readonly n: number;
      readonly w: number;
      readonly topic: string;
      readonly ns: string;
    }
  | {
      readonly is: "state";
      readonly n: number;
      readonly w: number;
      readonly body: StateCommand;
      readonly asks: boolean;
    }
  | {
      readonly is: "pub";
      readonly n: number;
      readonly topic: string;
      readonly data: unknown;
      readonly options: PublishOptions;
    }
  | { readonly is: "page"; readonly n: number; readonly body: HistoryCommand };

/** What the one that leads tells a tab. */
type Word =
  | { readonly is: "event"; readonly n: number; readonly event: StreamEvent }
  | { readonly is: "news"; readonly w: number; readonly news: News }
  | { readonly is: "done"; readonly n: number; readonly outcome: unknown }
  | { readonly is: "failed"; readonly n: number; readonly error: Failure };

/** What goes over the channel. */
type Letter =
  | { readonly from: string; readonly wish: Wish }
  | { readonly to: string; readonly word: Word }
  | { readonly leader: string; readonly status: PlainStatus };

/** An error without its class, which no channel carries. */
interface Failure {
  readonly code: ErrorCode;
  readonly text: string;
  readonly retryMs: number | undefined;
  readonly closeCode: number | undefined;
}

type PlainStatus =
  | Exclude<Status, { error: CorewireError }>
  | { readonly type: "waiting" | "stopped"; readonly retryInMs: number; readonly failure: Failure };

const failure = ({ code, message, retryMs, closeCode }: CorewireError): Failure => ({
  code,
  text: message,
  retryMs,
  closeCode,
});

const revived = ({ code, text, ...details }: Failure): CorewireError =>
  new CorewireError(code, text, details);

/** Does for tabs what they wish, with the client of the tab that leads. */
class Desk {
  readonly #client: Client;
  readonly #tell: (tab: string, word: Word) => void;
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #links = new Map<string, StateLink>();

  constructor(client: Client, tell: (tab: string, word: Word) => void) {
    this.#client = client;
    this.#tell = tell;
  }

  /** The tab is gone. */
  forget(tab: string): void {
    for (const [name, subscription] of this.#subscriptions) {
      if (!name.startsWith(`${tab} `)) continue;
      subscription.unsubscribe();
      this.#subscriptions.delete(name);
    }
    for (const name of this.#links.keys()) {
      if (name.startsWith(`${tab} `)) this.#links.delete(name);
    }
  }

  do(tab: string, wish: Exclude<Wish, { is: "hello" | "bye" }>): void {
    const name = `${tab} ${wish.n}`;
    switch (wish.is) {
      case "sub":
        return this.#subscribe(tab, name, wish);
      case "unsub":
        this.#subscriptions.get(name)?.unsubscribe();
        this.#subscriptions.delete(name);
        return;
      case "watch": {
        const { w, topic, ns } = wish;
        const hear = (news: News): void => this.#tell(tab, { is: "news", w, news });
        const link = this.#subscriptions.get(name)?.watch({ topic, ns, hear });
        if (link !== undefined) this.#links.set(`${tab} ${w}`, link);
        return;
      }
      case "state":
        this.#links.get(`${tab} ${wish.w}`)?.send(wish.body, wish.asks);
        return;
      case "pub":
        return this.#answer(tab, wish.n, this.#client.publish(wish.topic, wish.data, wish.options));
      case "page":
        return this.#answer(tab, wish.n, this.#client.page(wish.body));
    }
  }

  #subscribe(
    tab: string,
    name: string,
    { n, subject, options }: Extract<Wish, { is: "sub" }>,
  ): void {
    if (this.#subscriptions.has(name)) return;
    const tell = (event: StreamEvent): void => this.#tell(tab, { is: "event", n, event });
    const { from = "now" } = options;
    const isShared = [...this.#subscriptions.values()].some((one) => one.subject === subject);
    const isFilled = isShared && from !== "now" && !/[*>]/.test(subject);
    const handlers = {
      message: tell,
      // What follows waits for it.
      subscribed: (event: Subscribed) =>
        isFilled ? this.#fill(subject, from, event, tell) : tell(event),
      gap: tell,
      conflated: tell,
      reset: tell,
      unsubscribed: tell,
    };
    const asked = isFilled ? { ...options, from: "now" as const } : options;
    this.#subscriptions.set(name, this.#client.subscribe(subject, handlers, asked));
  }

  /**
   * A connection has one stream of a topic: whoever comes later goes on where that is. What he wants of
   * the past comes from history.
   */
  async #fill(
    topic: string,
    from: Exclude<Start, "now">,
    { position }: Subscribed,
    tell: (event: StreamEvent) => void,
  ): Promise<void> {
    if (position === undefined) return;
    const { epoch, offset } = position;
    let known = "epoch" in from ? from.offset : undefined;
    let which: HistoryOptions;
    if ("last" in from) which = { before: { epoch, offset: offset + 1 }, limit: from.last };
    else which = "epoch" in from ? { after: from } : { sinceMs: from.sinceMs };
    try {
      for (let isFirst = true; ; isFirst = false) {
        const { start, end, complete, messages } = await history(this.#client, topic, which);
        known ??= start;
        if (isFirst) tell({ type: "subscribed", position: { epoch, offset: known } });
        if (start > known) {
          const cause = "retention";
          tell({ type: "gap", topic, from: known + 1, to: start, cause, inHistory: false });
        }
        for (const message of messages) if (message.offset <= offset) tell(message);
        known = end;
        if ("last" in from || complete || end >= offset) return;
        which = { after: { epoch, offset: end } };
      }
    } catch {
      // Nobody knows what was missed.
      tell({ type: "subscribed", position });
      tell({ type: "reset", topic, position, cause: "retention" });
    }
  }

  #answer(tab: string, n: number, answer: Promise<unknown>): void {
    answer.then(
      (outcome) => this.#tell(tab, { is: "done", n, outcome }),
      (error: CorewireError) => this.#tell(tab, { is: "failed", n, error: failure(error) }),
    );
  }
}

interface Held {
  readonly subject: string;
  readonly options: SubscribeOptions;
  readonly subscription: Subscription;
  readonly places: Map<string, Place>;
  readonly watchers: Map<number, Watcher>;
  hasBegun: boolean;
}

interface Asked {
  readonly wish: Extract<Wish, { is: "pub" | "page" }>;
  readonly resolve: (outcome: unknown) => void;
  readonly reject: (error: CorewireError) => void;
}

/**
 * A client whose tabs share one connection. It has what {@link Client} has for topics; presence and
 * history take it, too. All tabs are one connection to others: they share one entry of presence.
 */
export class TabsClient {
  /** This tab's name among its siblings. */
  readonly tab: string = crypto.randomUUID();
  status: Status = { type: "idle" };
  readonly #url: string | URL;
  readonly #options: TabsOptions;
  readonly #channel: Channel | undefined;
  readonly #held = new Map<number, Held>();
  readonly #asked = new Map<number, Asked>();
  readonly #listeners = new Set<(status: Status) => void>();
  #lead: { readonly client: Client; readonly desk: Desk } | undefined;
  #leader: string | undefined;
  #last = 0;
  #isClosed = false;
  #release: (() => void)[] = [];

  /** A client of the server at this address, shared with the tabs that have one of the same name. */
  constructor(url: string | URL, options: TabsOptions = {}) {
    this.#url = url;
    this.#options = options;
    const { locks, BroadcastChannel: Broadcast } = platform();
    const held = options.locks ?? locks;
    const open = options.channel ?? (Broadcast && ((name: string) => new Broadcast(name)));
    if (held === undefined || open === undefined) {
      this.#takeLead();
      return;
    }
    const name = `corewire ${options.name ?? url}`;
    this.#channel = open(name);
    this.#channel.onmessage = ({ data }) => this.#receive(data as Letter, held, name);
    // As long as this tab lives, so that the one that leads can wait for its end.
    this.#hold(held, `${name} ${this.tab}`, () => this.#wish({ is: "hello" }));
    this.#hold(held, name, () => this.#takeLead());
  }

  /** Whether this tab has the connection. */
  get isLeading(): boolean {
    return this.#lead !== undefined;
  }

  /** See {@link Client.subscribe}. */
  subscribe<T = unknown>(
    subject: string,
    listener?: ((message: Message<T>) => unknown) | Handlers<T>,
    options: SubscribeOptions = {},
  ): Subscription<T> {
    const isPattern = checkSubject(subject);
    this.#refuseIfClosed();
    const n = this.#next();
    const handlers = typeof listener === "function" ? { message: listener } : listener;
    const feed = newFeed(n, subject, isPattern, options);
    const subscription = new Subscription<T>(feed, this.#host, handlers, MESSAGES_MAX);
    const held: Held = {
      subject,
      options,
      subscription: subscription as unknown as Subscription,
      places: new Map(),
      watchers: new Map(),
      hasBegun: false,
    };
    this.#held.set(n, held);
    this.#wish({ is: "sub", n, subject, options });
    return subscription;
  }

  /** See {@link Client.publish}. Without an `idem` it is given one, for another tab may send it again. */
  publish(topic: string, data: unknown, options: PublishOptions = {}): Promise<Published> {
    const idem = options.idem ?? `${this.tab} ${this.#last}`;
    return new Promise<unknown>((resolve, reject) => {
      checkTopic(topic);
      if (this.#asked.size >= PUBLICATIONS_MAX) {
        throw new CorewireError(
          "full",
          "too many publications wait; await some of their replies first",
        );
      }
      // As it is now, and what no channel carries is refused here.
      const payload = written(data);
      const plain: unknown = typeof payload === "string" ? JSON.parse(payload) : payload;
      const all = { ...options, idem };
      const wish: Wish = { is: "pub", n: this.#next(), topic, data: plain, options: all };
      this.#ask({ wish, resolve, reject });
    }) as Promise<Published>;
  }

  /** The same without a promise: a failure goes to the console. */
  send(topic: string, data: unknown, options?: PublishOptions): void {
    this.publish(topic, data, options).catch((error: CorewireError) => this.#host.unheard(error));
  }

  /** @internal For `corewire/history`. */
  page(body: HistoryCommand): Promise<PageBody> {
    return new Promise<unknown>((resolve, reject) => {
      this.#ask({ wish: { is: "page", n: this.#next(), body }, resolve, reject });
    }) as Promise<PageBody>;
  }

  /** Calls with how the client is, when that changes. Returns what ends that. */
  onStatus(listener: (status: Status) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Ends this tab's part. If it leads, another tab takes over. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#wish({ is: "bye" });
    this.#isClosed = true;
    const error = closed();
    for (const { subscription } of this.#held.values()) {
      subscription.hand({ type: "unsubscribed", error }, undefined);
    }
    this.#held.clear();
    for (const { reject } of this.#asked.values()) reject(error);
    this.#asked.clear();
    await this.#lead?.client.close();
    for (const release of this.#release.splice(0)) release();
    this.#channel?.close();
  }

  readonly #host: SubscriptionHost = {
    clock: systemClock,
    taken() {},
    failed(error) {
      queueMicrotask(() => {
        throw error;
      });
    },
    unheard: (error) => console.warn(`corewire: ${error.message}`),
    unsubscribe: ({ s }) => {
      if (this.#held.delete(s)) this.#wish({ is: "unsub", n: s });
    },
    watch: ({ s }, watcher) => {
      const w = this.#next();
      this.#held.get(s)?.watchers.set(w, watcher);
      this.#wish({ is: "watch", n: s, w, topic: watcher.topic, ns: watcher.ns });
    },
    state: (feed, body, watcher) => this.#state(feed, body, watcher),
  };

  #state({ s }: Feed, body: StateCommand, watcher: Watcher | undefined): boolean {
    for (const [w, one] of this.#held.get(s)?.watchers ?? []) {
      const isIts = watcher === one || (one.topic === body.topic && one.ns === body.ns);
      if (!isIts) continue;
      this.#wish({ is: "state", n: s, w, body, asks: watcher !== undefined });
      return this.status.type === "connected";
    }
    return false;
  }

  #next(): number {
    this.#last += 1;
    return this.#last;
  }

  #refuseIfClosed(): void {
    if (this.#isClosed) throw closed();
  }

  #ask(asked: Asked): void {
    this.#refuseIfClosed();
    this.#asked.set(asked.wish.n, asked);
    this.#wish(asked.wish);
  }

  /** Says what this tab wants to whoever leads. If nobody does, it is said when somebody begins to. */
  #wish(wish: Wish): void {
    if (this.#isClosed) return;
    const isHeard = this.#leader !== undefined || wish.is === "hello";
    if (this.#lead === undefined && isHeard) this.#post({ from: this.tab, wish });
    else if (this.#lead === undefined) return;
    else if (wish.is !== "hello" && wish.is !== "bye") this.#lead.desk.do(this.tab, wish);
  }

  #post(letter: Letter): void {
    if (!this.#isClosed) this.#channel?.postMessage(letter);
  }

  #receive(letter: Letter, locks: Locks, name: string): void {
    if ("leader" in letter) {
      if (letter.leader !== this.#leader) {
        this.#leader = letter.leader;
        this.#resume();
      }
      this.#setStatus(letter.status);
    } else if ("to" in letter) {
      if (letter.to === this.tab) this.#hear(letter.word);
    } else if (this.#lead !== undefined) {
      const { from, wish } = letter;
      if (wish.is === "hello") {
        this.#sayStatus();
        // Granted when that tab is gone, whatever became of it.
        const { desk } = this.#lead;
        locks.request(`${name} ${from}`, async () => desk.forget(from)).catch(() => {});
      } else if (wish.is === "bye") {
        this.#lead.desk.forget(from);
      } else {
        this.#lead.desk.do(from, wish);
      }
    }
  }

  /** This tab has the lock, or is alone. */
  #takeLead(): void {
    if (this.#isClosed) return;
    const client = new Client(this.#url, this.#options);
    const tell = (tab: string, word: Word): void => {
      if (tab === this.tab) this.#hear(word);
      else this.#post({ to: tab, word });
    };
    this.#lead = { client, desk: new Desk(client, tell) };
    this.#leader = this.tab;
    client.on("status", () => this.#sayStatus());
    this.#sayStatus();
    this.#resume();
  }

  #sayStatus(): void {
    const status = this.#lead?.client.status ?? this.status;
    const plain: PlainStatus =
      "error" in status
        ? {
            type: status.type,
            retryInMs: status.type === "waiting" ? status.retryInMs : 0,
            failure: failure(status.error),
          }
        : status;
    this.#post({ leader: this.tab, status: plain });
    this.#setStatus(plain);
  }

  #setStatus(plain: PlainStatus): void {
    this.status =
      "failure" in plain
        ? { type: plain.type, retryInMs: plain.retryInMs, error: revived(plain.failure) }
        : plain;
    for (const listener of this.#listeners) listener(this.status);
  }

  /** Somebody else leads now: all that this tab wants is said again, from where it is. */
  #resume(): void {
    if (this.#lead === undefined) this.#wish({ is: "hello" });
    for (const [n, held] of this.#held) {
      const { subject, options, watchers, places, hasBegun, subscription } = held;
      for (const watcher of watchers.values()) watcher.hear({ is: "away" });
      const place = places.get(subject);
      if (hasBegun && place === undefined) {
        // Where a pattern was only its connection knew.
        subscription.hand({ type: "reset", cause: "node" }, undefined);
      }
      const from = hasBegun ? place : options.from;
      this.#wish({ is: "sub", n, subject, options: { ...options, from } });
      for (const [w, { topic, ns }] of watchers) this.#wish({ is: "watch", n, w, topic, ns });
    }
    for (const { wish } of this.#asked.values()) this.#wish(wish);
  }

  #hear(word: Word): void {
    if (word.is === "event") {
      const held = this.#held.get(word.n);
      if (held !== undefined) this.#handOn(held, word.event);
    } else if (word.is === "news") {
      for (const { watchers } of this.#held.values()) watchers.get(word.w)?.hear(word.news);
    } else {
      const asked = this.#asked.get(word.n);
      this.#asked.delete(word.n);
      if (word.is === "done") asked?.resolve(word.outcome);
      else asked?.reject(revived(word.error));
    }
  }

  /** What the tab has heard before is left out: two that led may have brought it. */
  #handOn(held: Held, event: StreamEvent): void {
    const { places, subscription } = held;
    if (event.type === "subscribed") {
      if (held.hasBegun) return;
      held.hasBegun = true;
      if (event.position !== undefined) places.set(held.subject, event.position);
    } else if (event.type === "message") {
      const known = places.get(event.topic);
      if (known?.epoch === event.epoch && event.offset <= known.offset) return;
      places.set(event.topic, { epoch: event.epoch, offset: event.offset });
      if (places.size > PLACES_MAX) places.clear();
    } else if (event.type === "gap" || event.type === "conflated") {
      const known = places.get(event.topic);
      const offset = event.type === "gap" ? event.to : event.upTo;
      if (known !== undefined && offset > known.offset)
        places.set(event.topic, { ...known, offset });
    } else if (event.type === "reset") {
      if (event.topic === undefined) places.clear();
      else if (event.position !== undefined) places.set(event.topic, event.position);
    }
    subscription.hand(event, undefined);
  }

  #hold(locks: Locks, name: string, held: () => void): void {
    const holding = (): Promise<void> =>
      new Promise((release) => {
        if (this.#isClosed) {
          release();
          return;
        }
        this.#release.push(release);
        held();
      });
    locks.request(name, holding).catch((error: unknown) => this.#host.failed(error));
  }
}

/** What this platform has. */
function platform(): {
  readonly locks: Locks | undefined;
  readonly BroadcastChannel: (new (name: string) => Channel) | undefined;
} {
  const { navigator, BroadcastChannel } = globalThis as {
    navigator?: { locks?: Locks };
    BroadcastChannel?: new (name: string) => unknown;
  };
  return {
    locks: navigator?.locks,
    BroadcastChannel: BroadcastChannel as (new (name: string) => Channel) | undefined,
  };
}
