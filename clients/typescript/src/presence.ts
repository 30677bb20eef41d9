/**
 * The state beside a topic's messages, `corewire/presence`: who is there, who is typing, where cursors
 * stand.
 *
 * @module
 */

import type { News } from "./feed.js";
import {
  type Applied,
  applyDiff,
  applyPage,
  type Change,
  clear,
  type Entry,
  newView,
  PRESENCE,
  stale,
  startPaging,
} from "./state.js";
import type { StateLink, Watchable } from "./subscription.js";

export type { Change, Entry } from "./state.js";

/** How long an ephemeral entry lives if its owner does not say: the most that the server keeps. */
const TTL_MS = 10_000;

/** What an ephemeral entry may have. */
export interface EntryOptions {
  /** Its key; without it, this connection's own. Presence has no other. */
  readonly key?: string | undefined;
  /** How long it lives without being set again, at most and without it 10 s. Presence has no end. */
  readonly ttlMs?: number | undefined;
}

/**
 * Who is there. The subscription asks for it by its option `presence`: `announce` to be there, `watch`
 * to see the others. Of a pattern, say which topic.
 */
export function presence<V = unknown>(subscription: Watchable, topic?: string): LiveState<V> {
  return new LiveState<V>(subscription, PRESENCE, topic);
}

/**
 * Ephemeral state, such as `typing`. To see that of others, name it in the subscription's option
 * `watch`. Of a pattern, say which topic.
 */
export function state<V = unknown>(
  subscription: Watchable,
  ns: string,
  topic?: string,
): LiveState<V> {
  return new LiveState<V>(subscription, ns, topic);
}

/** One namespace of one topic's state, as of now. */
export class LiveState<V = unknown> {
  /** The topic. */
  readonly topic: string;
  /** The namespace. */
  readonly ns: string;
  readonly #link: StateLink;
  readonly #view = newView();
  readonly #listeners = new Set<(change: Change<V>, state: LiveState<V>) => void>();
  /** What this connection has set, by key. */
  readonly #mine = new Map<
    string | undefined,
    { readonly text: string | undefined; readonly until: number }
  >();
  #announced: { readonly value: V | undefined } | undefined;
  #endFading: (() => void) | undefined;

  /** @internal */
  constructor(subscription: Watchable, ns: string, topic: string = subscription.subject) {
    this.topic = topic;
    this.ns = ns;
    this.#link = subscription.watch({ topic, ns, hear: (news) => this.#hear(news) });
  }

  /** All entries by their keys. After a cut the last ones are shown until new ones are here. */
  get entries(): ReadonlyMap<string, Entry<V>> {
    return this.#view.roll.entries as ReadonlyMap<string, Entry<V>>;
  }

  /** Each user with the number of entries: one with several connections is one user. */
  get users(): ReadonlyMap<string, number> {
    return this.#view.users;
  }

  /** How many entries there are by the server's word, which may be ahead of {@link LiveState.entries}. */
  get count(): number {
    return this.#view.told.n;
  }

  /** Calls with what has changed, after it has. Returns what ends that. */
  onChange(listener: (change: Change<V>, state: LiveState<V>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Sets this connection's entry. Presence is kept, and said again after a cut. Other state ends by
   * itself: set it again while it lasts (nothing is sent if that is too early), and it is not sent at
   * all without a connection.
   *
   * @throws TypeError if JSON has no such value.
   */
  set(value?: V, { key, ttlMs }: EntryOptions = {}): void {
    // What JSON does not have, such as a BigInt, is refused here and now.
    const text = JSON.stringify(value) as string | undefined;
    if (this.ns === PRESENCE) {
      this.#announced = { value };
      this.#announce();
      return;
    }
    const now = this.#link.clock.now();
    const before = this.#mine.get(key);
    if (before !== undefined && before.text === text && now < before.until) return;
    const { topic, ns } = this;
    const isSent = this.#link.send({ topic, op: "set", ns, k: key, v: value, ttl_ms: ttlMs });
    if (isSent) this.#mine.set(key, { text, until: now + (ttlMs ?? TTL_MS) / 2 });
  }

  /** Ends this connection's entry. */
  clear({ key }: Pick<EntryOptions, "key"> = {}): void {
    const { topic, ns } = this;
    if (ns === PRESENCE) this.#announced = undefined;
    else if (!this.#mine.delete(key)) return;
    this.#link.send({ topic, op: "del", ns, k: key });
  }

  #announce(): void {
    if (this.#announced === undefined) return;
    const { topic, ns } = this;
    this.#link.send({ topic, op: "set", ns, v: this.#announced.value }, true);
  }

  #hear(news: News): void {
    const view = this.#view;
    if (news.is === "subscribed") {
      this.#mine.clear();
      this.#announce();
      this.#ask();
    } else if (news.is === "diff") {
      if (view.stage.at === "stale") this.#ask();
      this.#applied(applyDiff(view, news.body));
    } else if (news.is === "page") {
      this.#applied(applyPage(view, news.body));
    } else if (news.is === "ended") {
      this.#applied(clear(view));
    } else {
      stale(view);
      // The server keeps it no longer, either.
      if (this.ns !== PRESENCE) this.#fade();
    }
  }

  #fade(): void {
    this.#endFading ??= this.#link.clock.after(TTL_MS, () => {
      this.#endFading = undefined;
      this.#applied(clear(this.#view));
    });
  }

  #ask(after?: string): void {
    const { topic, ns } = this;
    this.#endFading?.();
    this.#endFading = undefined;
    if (after === undefined) startPaging(this.#view);
    if (!this.#link.send({ topic, op: "page", ns, after }, true)) stale(this.#view);
  }

  #applied({ change, ask }: Applied): void {
    if (change !== undefined) {
      for (const listener of this.#listeners) {
        try {
          listener(change as Change<V>, this);
        } catch (error) {
          this.#link.failed(error);
        }
      }
    }
    if (ask !== undefined) this.#ask(ask.after);
  }
}
