/**
 * The words of the client protocol, as both dialects carry them: commands go to the server, replies
 * answer those that have an `id`, and pushes come of the server's own accord.
 *
 * Fields have their names on the wire. Integers stay below 2^53; epochs, positions of patterns,
 * tickets and cursors are opaque.
 *
 * @module
 */

/** The version of the protocol. */
export const VERSION = 1;

/** What a publication carries, ready to be sent: one JSON value as text, or bytes. */
export type Payload = string | Uint8Array;

/** A place in a topic: all up to this offset is known. */
export interface Place {
  /** Changes when the topic's order could not be kept: offsets of two epochs cannot be compared. */
  readonly epoch: string;
  /** Counts a topic's messages from 1. */
  readonly offset: number;
}

/** How far one topic of a pattern is known. */
export interface Seen extends Place {
  /** The topic's name. */
  readonly topic: string;
}

/** Where a subscription begins, as the wire says it. */
export type From =
  | Place
  | { readonly last: number }
  | { readonly since_ms: number }
  | { readonly pos: string; readonly seen?: readonly Seen[] };

/** What the server does for a subscription whose client does not keep up. */
export interface Policy {
  /**
   * `all`: every message that the server still has. `latest`: of each key the newest one.
   * `drop_oldest`: the newest that fit. `close`: the connection is closed, to begin anew.
   */
  readonly mode: "all" | "latest" | "drop_oldest" | "close";
  /** The backlog before its newest message, in bytes. */
  readonly max_bytes?: number;
  /** The same in messages. */
  readonly max_msgs?: number;
}

/** `sub`. */
export interface SubscribeCommand {
  readonly s: number;
  readonly topic: string;
  readonly from?: From | undefined;
  readonly policy?: Policy | undefined;
  readonly credit?: number | undefined;
  readonly presence?: "announce" | "watch" | "both" | undefined;
  readonly watch?: readonly string[] | undefined;
}

/** `hello`. */
export interface HelloCommand {
  readonly v: number;
  readonly token?: string | undefined;
  readonly user?: string | undefined;
  readonly resume?: string | undefined;
  readonly subs?: readonly SubscribeCommand[] | undefined;
}

/** `pub`. */
export interface PublishCommand {
  readonly topic: string;
  readonly pseq?: number | undefined;
  readonly idem?: string | undefined;
  readonly key?: string | undefined;
  readonly tags?: Readonly<Record<string, string>> | undefined;
  readonly ttl_ms?: number | undefined;
  readonly echo?: false | undefined;
  readonly data: Payload;
}

/** `hist`. */
export interface HistoryCommand {
  readonly topic: string;
  readonly from?: Place | { readonly since_ms: number } | undefined;
  readonly dir?: "forward" | "backward" | undefined;
  readonly limit?: number | undefined;
}

/** `state`. */
export interface StateCommand {
  readonly topic: string;
  readonly op: "set" | "del" | "page";
  readonly ns: string;
  readonly k?: string | undefined;
  readonly v?: unknown | undefined;
  readonly ttl_ms?: number | undefined;
  readonly after?: string | undefined;
  readonly limit?: number | undefined;
}

/** Every command, by its word. */
export interface Commands {
  readonly hello: HelloCommand;
  readonly auth: { readonly token: string };
  readonly sub: SubscribeCommand;
  readonly unsub: { readonly s: number };
  readonly pub: PublishCommand;
  readonly hist: HistoryCommand;
  readonly state: StateCommand;
  readonly credit: {
    readonly t?: number | undefined;
    readonly s?: number | undefined;
    readonly msgs?: number | undefined;
    readonly bytes?: number | undefined;
  };
  readonly pong: { readonly t?: number | undefined };
  readonly bye: { readonly reason?: string | undefined };
}

/** A command, with a number if its sender wants a reply. */
export type Request = {
  [W in keyof Commands]: {
    readonly is: W;
    readonly id?: number | undefined;
    readonly body: Commands[W];
  };
}[keyof Commands];

/** `err`. */
export interface ErrorBody {
  readonly code: number;
  readonly name?: string;
  readonly text: string;
  readonly retry_ms?: number | undefined;
}

/** What a client must stay within. */
export interface Limits {
  readonly message_bytes: number;
  readonly topic_bytes: number;
  readonly topic_levels: number;
  readonly subscriptions: number;
  readonly backlog_bytes: number;
  /** 0: no limit. */
  readonly publish_per_s: number;
  readonly publish_burst: number;
  readonly unanswered: number;
  readonly history_items: number;
}

/** `subbed`: of a topic with `t`, `epoch` and `offset`, of a pattern with `pos`. */
export interface SubbedBody {
  readonly s: number;
  readonly t?: number;
  readonly epoch?: string;
  readonly offset?: number;
  readonly pos?: string;
  readonly recovered?: boolean;
  readonly replay_to?: number;
  readonly policy: Policy;
}

/** `welcome`. */
export interface WelcomeBody {
  readonly conn: string;
  readonly node: string;
  readonly user: string;
  readonly ticket?: string;
  readonly resumed?: boolean;
  readonly ping_ms: number;
  readonly slack_ms: number;
  readonly limits: Limits;
  readonly expires_ms?: number;
  readonly subs: readonly { readonly subbed?: SubbedBody; readonly err?: ErrorBody }[];
  readonly time_ms: number;
}

/** Who published a message. */
export interface PublisherBody {
  readonly user: string;
  readonly conn: string;
  readonly pseq?: number;
}

/** A message of a page. */
export interface ItemBody {
  readonly o: number;
  readonly ts: number;
  readonly key?: string;
  readonly tags?: Readonly<Record<string, string>>;
  readonly pub: PublisherBody;
  /** A JSON value, or `Uint8Array` for bytes. */
  readonly data: unknown;
}

/** `msg`. */
export interface MessageBody extends ItemBody {
  readonly t: number;
}

/** `page`. */
export interface PageBody {
  readonly t: number;
  readonly epoch: string;
  readonly start: number;
  readonly end: number;
  readonly complete: boolean;
  readonly items: readonly ItemBody[];
}

/** One entry of a topic's state. */
export interface EntryBody {
  readonly k: string;
  readonly user: string;
  readonly ver: number;
  readonly v?: unknown;
}

/** What pages and diffs of state have in common. */
export interface SetBody {
  readonly t: number;
  readonly ns: string;
  /** The version of the set. */
  readonly ver: number;
  /** How many entries it has. */
  readonly n: number;
  /** Different users in it; of presence only. */
  readonly users?: number;
  readonly digest: number;
}

/** `members`. */
export interface MembersBody extends SetBody {
  readonly items: readonly EntryBody[];
  readonly next?: string;
}

/** `state`, as a push. */
export interface StateBody extends SetBody {
  readonly set: readonly EntryBody[];
  readonly del: readonly string[];
}

/** Every reply, by its word. */
export interface Replies {
  readonly welcome: WelcomeBody;
  readonly ok: { readonly expires_ms?: number };
  readonly subbed: SubbedBody;
  readonly pubbed: {
    readonly epoch: string;
    readonly offset: number;
    readonly level: string;
    readonly dup?: boolean;
  };
  readonly page: PageBody;
  readonly members: MembersBody;
  readonly err: ErrorBody;
}

/** Why something is missing, in the server's words. */
export type Cause = "slow" | "retention" | "broker" | "node";

/** Every push, by its word. */
export interface Pushes {
  readonly topic: {
    readonly t: number;
    readonly topic: string;
    readonly s: readonly number[];
    readonly epoch: string;
    readonly offset: number;
  };
  readonly msg: MessageBody;
  readonly untopic: { readonly t: number };
  readonly pos: {
    readonly t?: number;
    readonly o?: number;
    readonly s?: number;
    readonly pos?: string;
  };
  readonly gap: {
    readonly t: number;
    readonly from: number;
    readonly to: number;
    readonly cause: Cause;
    readonly repair: "none" | "hist";
  };
  readonly conflated: { readonly t: number; readonly n: number; readonly upto: number };
  readonly reset: {
    readonly t?: number;
    readonly epoch?: string;
    readonly offset?: number;
    readonly s?: number;
    readonly pos?: string;
    readonly cause: Cause;
  };
  readonly state: StateBody;
  readonly unsubbed: { readonly s: number; readonly code: number; readonly retry_ms?: number };
  readonly token_expiring: { readonly in_ms: number };
  readonly goaway: {
    readonly deadline_ms: number;
    readonly spread_ms: number;
    readonly url?: string;
  };
  readonly ping: { readonly t: number };
  readonly warn: { readonly code: number; readonly text: string; readonly cmd?: string };
  readonly closing: {
    readonly code: number;
    readonly reason: string;
    readonly retry_ms?: number | undefined;
    readonly spread_ms?: number;
    readonly url?: string;
  };
}

/** A reply. */
export type Reply = {
  [W in keyof Replies]: { readonly is: W; readonly id: number; readonly body: Replies[W] };
}[keyof Replies];

/** A push. */
export type Push = {
  [W in keyof Pushes]: { readonly is: W; readonly id: undefined; readonly body: Pushes[W] };
}[keyof Pushes];

/** What a server says. */
export type ServerWord = Reply | Push;

/** A way to write the words. */
export interface Dialect {
  /** The name of the WebSocket subprotocol. */
  readonly subprotocol: string;
  /** One command as a message of its own. */
  encode(request: Request): string | Uint8Array;
  /** Several messages of {@link Dialect.encode} as one. */
  join(messages: readonly (string | Uint8Array)[]): string | Uint8Array;
  /**
   * The words of a message. Words that this version does not know are left out.
   *
   * @throws CorewireError with the code `broken` if the message is not of this dialect.
   */
  decode(message: string | ArrayBuffer | Uint8Array): ServerWord[];
}
