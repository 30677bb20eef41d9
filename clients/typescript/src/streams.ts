/**
 * The subscriptions of a client, and what its connections bring for them: topics and their messages,
 * state, and the credit for what the application has taken.
 *
 * @module
 */

import type { Random } from "./backoff.js";
import type { Effect } from "./effect.js";
import { againMs, broken, CorewireError, refusal } from "./errors.js";
import type { StreamEvent } from "./events.js";
import {
  absorb,
  announce,
  begin,
  type Feed,
  from,
  markHeard,
  type News,
  newFeed,
  resetPattern,
  type StreamWord,
  type SubscribeOptions,
  type Watcher,
} from "./feed.js";
import { ask, deliver, grant, type Link, type Ticket, takesCommands } from "./link.js";
import type { ErrorBody, Push, Pushes, StateBody, SubbedBody, SubscribeCommand } from "./words.js";

/** The code for a topic that another subscription of the connection has already. */
const ALREADY = 106;

/** What a server says of topics, patterns and their state. */
export type StreamPush = Extract<
  Push,
  { is: "topic" | "untopic" | "msg" | "gap" | "conflated" | "pos" | "reset" | "state" }
>;

/** See the module. */
export class Streams {
  /** By the number that the server knows. */
  readonly feeds: Map<number, Feed> = new Map();
  /** Those that the server is to be asked for again. */
  readonly again: Set<Feed> = new Set();
  /** Messages that the application has not taken. */
  outstanding = 0;
  readonly #effects: Effect[];
  readonly #topicWindow: number;
  readonly #random: Random;
  #last = 0;

  constructor(effects: Effect[], topicWindow: number, random: Random) {
    this.#random = random;
    this.#effects = effects;
    this.#topicWindow = topicWindow;
  }

  /** A subscription that the server has not heard of. */
  begin(subject: string, isPattern: boolean, options: SubscribeOptions): Feed {
    this.#last += 1;
    const feed = newFeed(this.#last, subject, isPattern, options);
    this.feeds.set(feed.s, feed);
    return feed;
  }

  /** It has no further events. `false` if it was forgotten before. */
  forget(feed: Feed): boolean {
    this.again.delete(feed);
    this.#tellAll(feed, { is: "ended" });
    return this.feeds.delete(feed.s);
  }

  /** Its last event says why it has ended. */
  end(feed: Feed, error: CorewireError): void {
    if (feed.life === "ended") return;
    feed.life = "ended";
    this.again.delete(feed);
    this.#tellAll(feed, { is: "ended" });
    this.#hand(feed, [{ type: "unsubscribed", error }]);
  }

  endAll(error: CorewireError): void {
    for (const feed of this.feeds.values()) this.end(feed, error);
  }

  /** Nothing is heard for a while. */
  away(): void {
    for (const feed of this.feeds.values()) this.#tellAll(feed, { is: "away" });
  }

  tell(watcher: Watcher, news: News): void {
    this.#effects.push({ do: "news", watcher, news });
  }

  #tellAll({ watchers }: Feed, news: News): void {
    for (const watcher of watchers) this.tell(watcher, news);
  }

  /** Subscriptions that the `hello` asks for, and those for which it has no room. */
  hello(
    link: Link,
    charsMax: number,
  ): { readonly feeds: Feed[]; readonly subs: SubscribeCommand[]; readonly later: Feed[] } {
    const later = [...this.feeds.values()].filter((feed) => this.#isWanted(feed));
    const subs: SubscribeCommand[] = [];
    let chars = charsMax;
    for (const feed of later) {
      const command = this.#command(feed);
      chars -= JSON.stringify(command).length;
      if (chars < 0) break;
      subs.push(command);
      link.said.add(feed);
    }
    return { feeds: later.splice(0, subs.length), subs, later };
  }

  /** Asks for a subscription. */
  say(link: Link, feed: Feed, now: number): void {
    if (link.said.has(feed) || !this.#isWanted(feed)) return;
    link.said.add(feed);
    ask(link, { is: "sub", feed }, now, "sub", this.#command(feed));
  }

  /** Asks again for those that the server has refused for a time that is over. */
  sayAgain(link: Link | undefined, now: number): void {
    for (const feed of this.again) {
      if (feed.againAt > now) continue;
      this.again.delete(feed);
      if (link !== undefined && takesCommands(link)) this.say(link, feed, now);
    }
  }

  /** The server has not taken a subscription. */
  notSubbed(link: Link, feed: Feed, error: ErrorBody, now: number): void {
    link.said.delete(feed);
    if (error.code === ALREADY && !feed.isShared) {
      const { from: start = "now" } = feed.options;
      if (feed.life === "new" && start !== "now") {
        // It would begin where that is, and its own past would be missing without a word.
        const text = "another subscription has it; leave out from, and use history()";
        this.end(feed, new CorewireError("already", `${feed.subject}: ${text}`));
        return;
      }
      feed.isShared = true;
      this.say(link, feed, now);
    } else {
      this.#refused(feed, error, now);
    }
  }

  /** The server has ended a subscription. */
  unsubbed(link: Link, { s, code, retry_ms }: Pushes["unsubbed"], now: number): void {
    const feed = this.feeds.get(s);
    const text = "the server has ended it";
    if (feed === undefined || !link.said.delete(feed)) return;
    this.#refused(feed, { code, text, retry_ms }, now);
  }

  /** The server has taken a subscription. */
  subbed(link: Link, feed: Feed, body: SubbedBody): void {
    if (this.feeds.get(feed.s) !== feed || feed.life === "ended") return; // ended meanwhile
    this.#hand(feed, begin(feed, body));
    const { t, epoch, offset, policy } = body;
    if (t !== undefined && epoch !== undefined && offset !== undefined) {
      const delivery = deliver(link, t, feed.subject, { epoch, offset }, this.#topicWindow);
      if (!delivery.routes.includes(feed.s)) delivery.routes.push(feed.s);
      delivery.counted ||= policy.mode === "latest";
      // Should nobody else have brought credit.
      if (feed.isShared) link.out.push({ is: "credit", body: { t, msgs: delivery.granted } });
    }
    this.#tellAll(feed, { is: "subscribed" });
  }

  /**
   * What a connection brings. Of a `stale` one, which another has taken over from, the state does not
   * count any more, nor do messages of another epoch.
   *
   * @throws {@link CorewireError} if the server breaks the protocol.
   */
  push(link: Link, push: StreamPush, stale: boolean): void {
    const { is, body } = push;
    if (is === "topic") {
      const { t, topic, s, ...place } = body;
      const feeds = s.flatMap((one) => this.feeds.get(one) ?? []);
      const delivery = deliver(link, t, topic, place, this.#topicWindow);
      delivery.routes = feeds.map((feed) => feed.s);
      for (const feed of feeds) {
        delivery.counted ||= feed.options.policy?.mode === "latest";
        announce(feed, topic, place);
      }
    } else if (is === "untopic") {
      link.deliveries.delete(body.t);
    } else if (is === "state") {
      if (!stale) this.#state(link, body);
    } else if ((is === "pos" || is === "reset") && body.s !== undefined) {
      const feed = this.feeds.get(body.s);
      if (feed === undefined || body.pos === undefined) return;
      if (is === "pos") markHeard(feed, body.pos);
      else this.#hand(feed, resetPattern(feed, body.pos, body.cause));
    } else {
      this.#stream(link, push as StreamWord, stale);
    }
  }

  /** The application has taken a message. `false` if somebody else still has it. */
  taken(ticket: Ticket): boolean {
    ticket.left -= 1;
    if (ticket.left > 0) return false;
    this.outstanding -= 1;
    const { link, delivery } = ticket;
    delivery.taken += 1;
    if (takesCommands(link) && link.deliveries.get(delivery.t) === delivery) {
      const msgs = grant(delivery, delivery.taken, this.#topicWindow);
      if (msgs !== undefined) link.out.push({ is: "credit", body: { t: delivery.t, msgs } });
    }
    return true;
  }

  /** The server does not serve a subscription, at least for now. */
  #refused(feed: Feed, body: ErrorBody, now: number): void {
    const error = refusal(feed.subject, body);
    const waitMs = againMs(body.code, body.retry_ms);
    if (waitMs === undefined) {
      this.end(feed, error);
      return;
    }
    feed.againAt = now + Math.round(waitMs * (1 + this.#random() / 2));
    this.again.add(feed);
    this.#effects.push({ do: "warning", error });
  }

  #isWanted(feed: Feed): boolean {
    return feed.life !== "ended" && !this.again.has(feed);
  }

  #command(feed: Feed): SubscribeCommand {
    const { s, subject: topic, options } = feed;
    const { policy, presence, watch } = options;
    const credit = feed.isShared ? undefined : this.#topicWindow;
    return { s, topic, from: from(feed), policy, credit, presence, watch };
  }

  #stream(link: Link, word: StreamWord, stale: boolean): void {
    const delivery = link.deliveries.get(word.body.t ?? -1);
    if (delivery === undefined) {
      throw broken("it uses an alias that it did not announce");
    }
    delivery.epoch = (word.is === "reset" && word.body.epoch) || delivery.epoch;
    delivery.counted ||= word.is === "conflated";
    const { topic, epoch, routes, counted } = delivery;
    const ticket: Ticket = { link, delivery, left: 0 };
    if (word.is === "msg") {
      link.received += 1;
      this.outstanding += 1;
    }
    for (const s of routes) {
      const feed = this.feeds.get(s);
      if (feed === undefined || feed.life === "ended") continue;
      // The next connection knows better which epoch it is.
      if (stale && feed.places.get(topic)?.epoch !== epoch) continue;
      this.#hand(feed, absorb(feed, topic, epoch, word, counted), ticket);
    }
    if (word.is === "msg" && ticket.left === 0) this.taken(ticket);
  }

  #state(link: Link, body: StateBody): void {
    const delivery = link.deliveries.get(body.t);
    for (const s of delivery?.routes ?? []) {
      for (const watcher of this.feeds.get(s)?.watchers ?? []) {
        const isIts = watcher.ns === body.ns && watcher.topic === delivery?.topic;
        if (isIts) this.tell(watcher, { is: "diff", body });
      }
    }
  }

  #hand({ s }: Feed, events: readonly StreamEvent[], ticket?: Ticket): void {
    for (const event of events) {
      const isMessage = event.type === "message" && ticket !== undefined;
      if (isMessage) ticket.left += 1;
      this.#effects.push({ do: "event", s, event, ticket: isMessage ? ticket : undefined });
    }
  }
}
