/**
 * How far one subscription has come: what the server says of its topics goes in, what the application
 * is told comes out, and where to go on after a cut.
 *
 * @module
 */

import { type Gap, messageOf, type StreamEvent } from "./events.js";
import type { From, MembersBody, Place, Policy, Pushes, StateBody, SubbedBody } from "./words.js";

/** Topics of a pattern whose positions are remembered. */
const PLACES_MAX = 65_536;
/** Topics in a `from`. What was seen of others comes again, and is left out here. */
const SEEN_MAX = 4096;

/** Where a subscription begins: with the next message, or with some of the past. */
export type Start =
  | "now"
  /** Behind a position that a message or a page has told. */
  | Place
  /** With the newest so many messages; of a pattern, in each topic. */
  | { readonly last: number }
  /** With messages that the server took at this time or later, in milliseconds since 1970. */
  | { readonly sinceMs: number };

/** What a subscription asks for. */
export interface SubscribeOptions {
  /** Where it begins; `"now"` if it is not said. After a cut it goes on where it was. */
  readonly from?: Start | undefined;
  /** What the server does when this client does not keep up; its default if there is none. */
  readonly policy?: Policy | undefined;
  /** Whether to be there for others, and to hear of them. */
  readonly presence?: "announce" | "watch" | "both" | undefined;
  /** Namespaces of ephemeral state to hear of, such as `typing`; at most 8. */
  readonly watch?: readonly string[] | undefined;
}

/** One subscription. */
export interface Feed {
  readonly s: number;
  readonly subject: string;
  readonly isPattern: boolean;
  readonly options: SubscribeOptions;
  life: "new" | "begun" | "ended";
  /** Whether another subscription has the topic, too: its policy and its credit are shared. */
  isShared: boolean;
  /** When the server may be asked again, if it said "later". */
  againAt: number;
  readonly places: Map<string, Place>;
  /** A pattern's own position, and the topics that have moved since. */
  mark: string | undefined;
  readonly seen: Set<string>;
  /** Of one topic: messages up to this offset are from the past. */
  replayTo: number;
  readonly watchers: Set<Watcher>;
}

/** Who hears of the state beside a topic's messages; `corewire/presence` has one. */
export interface Watcher {
  readonly topic: string;
  readonly ns: string;
  /** Something is to be known. */
  hear(news: News): void;
}

/** What a watcher hears. */
export type News =
  /** The subscription stands, for the first time or again: ask for what there is. */
  | { readonly is: "subscribed" }
  | { readonly is: "diff"; readonly body: StateBody }
  | { readonly is: "page"; readonly body: MembersBody }
  /** The connection is gone. */
  | { readonly is: "away" }
  /** The subscription has ended. */
  | { readonly is: "ended" };

/** What the server says of one topic, behind its alias. */
export type StreamWord = {
  [W in "msg" | "gap" | "conflated" | "pos" | "reset"]: {
    readonly is: W;
    readonly body: Pushes[W];
  };
}["msg" | "gap" | "conflated" | "pos" | "reset"];

/** A subscription that the server has not heard of. */
export function newFeed(
  s: number,
  subject: string,
  isPattern: boolean,
  options: SubscribeOptions,
): Feed {
  return {
    s,
    subject,
    isPattern,
    options,
    life: "new",
    isShared: false,
    againAt: 0,
    places: new Map(),
    mark: undefined,
    seen: new Set(),
    replayTo: 0,
    watchers: new Set(),
  };
}

/** Where the server is to begin: behind what was heard, or where the application asked for. */
export function from(feed: Feed): From | undefined {
  if (feed.isPattern && feed.mark !== undefined) {
    const seen = [];
    for (const topic of feed.seen) {
      const place = feed.places.get(topic);
      if (place !== undefined && seen.length < SEEN_MAX) seen.push({ topic, ...place });
    }
    return seen.length > 0 ? { pos: feed.mark, seen } : { pos: feed.mark };
  }
  const place = feed.isPattern ? undefined : feed.places.get(feed.subject);
  if (place !== undefined) return place;
  const start = feed.options.from;
  if (start === undefined || start === "now" || feed.life !== "new") return undefined;
  // Without types anything may come: the server says what is wrong with it.
  if (typeof start !== "object" || start === null) return start;
  if ("sinceMs" in start) return { since_ms: start.sinceMs };
  return "last" in start ? { last: start.last } : { epoch: start.epoch, offset: start.offset };
}

/** The server has taken the subscription. */
export function begin(feed: Feed, { epoch, offset, pos, replay_to }: SubbedBody): StreamEvent[] {
  const isNew = feed.life === "new";
  feed.life = "begun";
  feed.replayTo = replay_to ?? 0;
  // A later one may be ahead of what is still to be replayed; `pos` says when it is heard.
  feed.mark ??= pos;
  if (epoch === undefined || offset === undefined) return isNew ? [{ type: "subscribed" }] : [];
  const position = { epoch, offset };
  announce(feed, feed.subject, position);
  return isNew ? [{ type: "subscribed", position }] : [];
}

/**
 * A topic comes from this place on. Of a topic that is known already only what the server says of it
 * moves the place.
 */
export function announce(feed: Feed, topic: string, place: Place): void {
  if (!feed.places.has(topic)) move(feed, topic, place);
}

/** The position of a pattern has moved: all before it was heard. */
export function markHeard(feed: Feed, pos: string): void {
  feed.mark = pos;
  feed.seen.clear();
}

/** Nothing can be said of a whole pattern. */
export function resetPattern(
  feed: Feed,
  pos: string,
  cause: Pushes["reset"]["cause"],
): StreamEvent[] {
  markHeard(feed, pos);
  feed.places.clear();
  return [{ type: "reset", cause }];
}

/**
 * Takes in what the server says of a topic in this epoch. `counted` says that an offset that is left
 * out is counted by a `conflated`, which may come later. What was heard before is left out: after a
 * cut, or over two connections at a time, the same comes twice.
 */
export function absorb(
  feed: Feed,
  topic: string,
  epoch: string,
  word: StreamWord,
  counted: boolean,
): StreamEvent[] {
  const events: StreamEvent[] = [];
  const gap = (from: number, to: number, cause: Gap["cause"], inHistory: boolean): void => {
    events.push({ type: "gap", topic, from, to, cause, inHistory });
  };
  let known = feed.places.get(topic);
  if (word.is === "reset") {
    const position = { epoch, offset: word.body.offset ?? 0 };
    // Over another connection more of this epoch may have been heard: nothing of it was missed.
    if (known?.epoch === epoch && known.offset >= position.offset) return [];
    move(feed, topic, position);
    return [{ type: "reset", topic, position, cause: word.body.cause }];
  }
  const [first, last] = span(word);
  if (known !== undefined && known.epoch !== epoch) {
    known = { epoch, offset: first - 1 };
    events.push({ type: "reset", topic, position: known, cause: "epoch" });
  }
  const heard = known?.offset ?? first - 1;
  if (last <= heard && word.is !== "conflated") return events;
  move(feed, topic, { epoch, offset: Math.max(heard, last) });
  if (first > heard + 1 && !counted && word.is !== "pos") {
    gap(heard + 1, first - 1, "unexplained", false);
  }
  if (word.is === "msg") {
    const replayed = !feed.isPattern && last <= feed.replayTo;
    events.push(messageOf(topic, epoch, word.body, replayed));
  } else if (word.is === "gap") {
    const { to, cause, repair } = word.body;
    gap(Math.max(first, heard + 1), to, cause, repair === "hist");
  } else if (word.is === "conflated" && last >= heard) {
    events.push({ type: "conflated", topic, count: word.body.n, upTo: last });
  }
  return events;
}

/** The first and the last offset that a word accounts for; without a first one all up to the last. */
function span(word: Exclude<StreamWord, { is: "reset" }>): readonly [first: number, last: number] {
  if (word.is === "msg") return [word.body.o, word.body.o];
  if (word.is === "gap") return [word.body.from, word.body.to];
  const last = word.is === "pos" ? (word.body.o ?? 0) : word.body.upto;
  return [last + 1, last];
}

function move(feed: Feed, topic: string, place: Place): void {
  feed.places.set(topic, place);
  if (!feed.isPattern) return;
  feed.seen.add(topic);
  if (feed.places.size <= PLACES_MAX) return;
  // What has not moved since the pattern's position does not come again.
  for (const known of feed.places.keys()) {
    if (!feed.seen.has(known)) feed.places.delete(known);
  }
}
