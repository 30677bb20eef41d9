/**
 * What a subscription yields, and how a client is.
 *
 * @module
 */

import type { CorewireError } from "./errors.js";
import type { Cause, ItemBody, Place, PublisherBody } from "./words.js";

/** A message. */
export interface Message<T = unknown> {
  readonly type: "message";
  /** Its topic. */
  readonly topic: string;
  /** Its place there, from 1. */
  readonly offset: number;
  /** In which epoch the offset counts. */
  readonly epoch: string;
  /** What it carries: any JSON value, or `Uint8Array` for bytes. */
  readonly data: T;
  /** What it is the newest value of. */
  readonly key: string | undefined;
  /** Names and values that its publisher gave it. */
  readonly tags: Readonly<Record<string, string>> | undefined;
  /** Who published it: the user and the connection by the server's word, and the publisher's number. */
  readonly publisher: PublisherBody;
  /** When the server took it, in milliseconds since 1970. */
  readonly timeMs: number;
  /** Whether it is from the past: it was there before the subscription stood. */
  readonly replayed: boolean;
}

/** The subscription stands for the first time. */
export interface Subscribed {
  readonly type: "subscribed";
  /** Of one topic: the position of the last message before it. */
  readonly position?: Place;
}

/** Messages that will not come. How many, and which, is known. */
export interface Gap {
  readonly type: "gap";
  readonly topic: string;
  /** The first one's offset. */
  readonly from: number;
  /** The last one's offset. */
  readonly to: number;
  /** Why: the server's word, or `unexplained` if it left them out without one. */
  readonly cause: Cause | "unexplained";
  /** Whether `history` may still have them. */
  readonly inHistory: boolean;
}

/** Messages that newer ones with the same key have replaced. */
export interface Conflated {
  readonly type: "conflated";
  readonly topic: string;
  /** How many. */
  readonly count: number;
  /** All offsets up to this one are accounted for. */
  readonly upTo: number;
}

/** Nothing can be said of what was missed: load the state anew, if there is one. */
export interface Reset {
  readonly type: "reset";
  /** The topic; all topics of the subscription if there is none. */
  readonly topic?: string;
  /** Of one topic: the place of the last message before those that follow. */
  readonly position?: Place;
  /**
   * Why: the server's word, `epoch` for a topic that has begun anew, `overflow` for a subscription
   * that was not read.
   */
  readonly cause: Cause | "epoch" | "overflow";
}

/** The last event: the subscription has ended. */
export interface Unsubscribed {
  readonly type: "unsubscribed";
  /** Why. */
  readonly error: CorewireError;
}

/**
 * What a subscription yields, in the order of the server. Between the first event and the last,
 * messages, gaps, conflations and resets account for all that was published.
 */
export type StreamEvent<T = unknown> =
  | Message<T>
  | Subscribed
  | Gap
  | Conflated
  | Reset
  | Unsubscribed;

/** What the server has said about a connection. */
export interface Session {
  /** The connection's name. */
  readonly conn: string;
  /** The server's name, new at each of its starts. */
  readonly node: string;
  /** Who the server takes this client for. */
  readonly user: string;
  /** Whether it goes on with the session of the connection before. */
  readonly resumed: boolean;
}

/** How a client is. */
export type Status =
  /** Nobody has needed a connection yet. */
  | { readonly type: "idle" }
  /** It connects, for the first time or again. */
  | { readonly type: "connecting" }
  | { readonly type: "connected"; readonly session: Session }
  /** It has no connection, and tries again by itself in so many milliseconds. */
  | { readonly type: "waiting"; readonly retryInMs: number; readonly error: CorewireError }
  /** It says good-bye. */
  | { readonly type: "closing" }
  /** It has ended, and why. */
  | { readonly type: "stopped"; readonly error: CorewireError };

/** A message as the application gets it. */
export function messageOf<T>(
  topic: string,
  epoch: string,
  { o, data, key, tags, pub, ts }: ItemBody,
  replayed: boolean,
): Message<T> {
  return {
    type: "message",
    topic,
    offset: o,
    epoch,
    data: data as T,
    key,
    tags,
    publisher: pub,
    timeMs: ts,
    replayed,
  };
}
