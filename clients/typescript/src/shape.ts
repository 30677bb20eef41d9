/**
 * The fields of every word in one table, in the order of the binary dialect: the JSON dialect checks
 * what it has read against it, and the binary dialect reads and writes by it.
 *
 * @module
 */

/** What a field holds. A list of values stands for one of them, which binary sends as its place. */
export type Kind =
  | "int"
  | "text"
  /** `true` or `false`; in binary a bit without bytes. */
  | "flag"
  /** The field `echo`: only `false` is written, and in binary it is a bit without bytes. */
  | "no"
  /** A payload: `data` or `b64`. */
  | "data"
  /** One JSON value. */
  | "json"
  /** Names and values. */
  | "tags"
  /** A field that this client does not use; its bit is never set. */
  | "unused"
  | readonly (string | boolean)[]
  | { readonly list: Kind }
  | Shape;

/** The fields of a word or of a part of one: those that must be there, then the optional ones. */
export interface Shape {
  readonly need: Fields;
  readonly may: Fields;
}

/** Fields by their names. A dot is a path into an object that only JSON has. */
export type Fields = Readonly<Record<string, Kind>>;

const shape = (need: Fields, may: Fields = {}): Shape => ({ need, may });

const MODES = ["all", "latest", "drop_oldest", "close"] as const;
const LEVELS = ["none", "mem"] as const;
const CAUSES = ["slow", "retention", "broker", "node"] as const;

const policy = shape({ mode: MODES }, { max_bytes: "int", max_msgs: "int" });

const subbed = shape(
  { s: "int", policy },
  {
    t: "int",
    epoch: "text",
    offset: "int",
    pos: "text",
    recovered: [false, true],
    replay_to: "int",
  },
);

const err = shape({ code: "int", text: "text" }, { retry_ms: "int" });

const entry = shape({ k: "text", user: "text", ver: "int" }, { v: "json" });

const item = { o: "int", ts: "int", "pub.user": "text", "pub.conn": "text", data: "data" } as const;
const itemMay = { key: "text", "pub.pseq": "int", tags: "tags" } as const;

const set = { t: "int", ns: "text", ver: "int", n: "int", digest: "int" } as const;

/** The words of the server. */
export const SERVER: Readonly<Record<string, readonly [op: number, shape: Shape]>> = {
  welcome: [
    0x41,
    shape(
      {
        conn: "text",
        node: "text",
        user: "text",
        ping_ms: "int",
        slack_ms: "int",
        time_ms: "int",
        limits: shape({
          message_bytes: "int",
          topic_bytes: "int",
          topic_levels: "int",
          subscriptions: "int",
          backlog_bytes: "int",
          publish_per_s: "int",
          publish_burst: "int",
          unanswered: "int",
          history_items: "int",
        }),
        subs: { list: shape({}, { subbed, err }) },
      },
      { expires_ms: "int", ticket: "text", resumed: "flag" },
    ),
  ],
  ok: [0x42, shape({}, { expires_ms: "int" })],
  subbed: [0x43, subbed],
  pubbed: [0x44, shape({ epoch: "text", offset: "int", level: LEVELS }, { dup: "flag" })],
  err: [0x45, err],
  page: [
    0x46,
    shape(
      { t: "int", epoch: "text", start: "int", end: "int", items: { list: shape(item, itemMay) } },
      { complete: "flag" },
    ),
  ],
  members: [0x47, shape({ ...set, items: { list: entry } }, { users: "int", next: "text" })],
  topic: [
    0x81,
    shape({ t: "int", topic: "text", s: { list: "int" }, epoch: "text", offset: "int" }),
  ],
  msg: [0x82, shape({ t: "int", ...item }, itemMay)],
  untopic: [0x83, shape({ t: "int" })],
  pos: [0x84, shape({}, { t: "int", o: "int", s: "int", pos: "text" })],
  gap: [0x85, shape({ t: "int", from: "int", to: "int", cause: CAUSES, repair: ["none", "hist"] })],
  conflated: [0x86, shape({ t: "int", n: "int", upto: "int" })],
  reset: [
    0x87,
    shape({ cause: CAUSES }, { t: "int", epoch: "text", offset: "int", s: "int", pos: "text" }),
  ],
  unsubbed: [0x88, shape({ s: "int", code: "int" }, { retry_ms: "int" })],
  token_expiring: [0x89, shape({ in_ms: "int" })],
  goaway: [0x8a, shape({ deadline_ms: "int", spread_ms: "int" }, { url: "text" })],
  ping: [0x8b, shape({ t: "int" })],
  warn: [0x8c, shape({ code: "int", text: "text" }, { cmd: "text" })],
  closing: [
    0x8d,
    shape({ code: "int", reason: "text" }, { retry_ms: "int", spread_ms: "int", url: "text" }),
  ],
  state: [0x8e, shape({ ...set, set: { list: entry }, del: { list: "text" } }, { users: "int" })],
};
