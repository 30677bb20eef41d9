/**
 * The binary dialect, `corewire/binary`: records of a byte that names the word, the body's length,
 * and its fields.
 *
 * ```text
 *   record  = op len body            op: one byte; len: bytes of the body
 *   body    = [id] bits *field       id: of commands (0: none) and replies
 *   part    = len bits *field        a value with fields of its own
 *   integer = LEB128 in its shortest form, below 2^53; also len, id, bits
 * ```
 *
 * The fields that must be there come first, then those optional ones whose bit is set.
 *
 * @module
 */

import { errorName } from "./errors.js";
import { type Kind, SERVER, type Shape } from "./shape.js";
import {
  type Dialect,
  MalformedError,
  type Payload,
  type Request,
  type ServerWord,
} from "./words.js";

type Json = Record<string, unknown>;

/** The words as records, in binary messages: smaller, and bytes travel as they are. */
export const binary: Dialect = {
  subprotocol: "corewire.v1.bin",
  encode: encodeRequest,

  join(messages: readonly Uint8Array[]): Uint8Array {
    const writer = new Writer();
    for (const message of messages) writer.append(message);
    return writer.bytes();
  },

  decode(message: string | ArrayBuffer | Uint8Array): ServerWord[] {
    if (typeof message === "string")
      throw new MalformedError("a text message; this dialect is binary");
    const reader = new Reader(message instanceof Uint8Array ? message : new Uint8Array(message));
    const words: ServerWord[] = [];
    while (!reader.isEmpty()) {
      const is = WORDS.get(reader.byte("op"));
      const body = reader.sub("len");
      if (is !== undefined) words.push(decodeWord(is, body));
    }
    return words;
  },
};

const PUSHES = 0x80;

const POLICY: Shape = {
  need: { mode: ["all", "latest", "drop_oldest", "close"] },
  may: { max_bytes: "int", max_msgs: "int" },
};

const PLACES = { epoch: "text", offset: "int", last: "int", since_ms: "int", pos: "text" } as const;

const SUB: Shape = {
  need: { s: "int", topic: "text" },
  may: {
    policy: POLICY,
    credit: "int",
    from: {
      need: {},
      may: {
        ...PLACES,
        seen: { list: { need: { topic: "text", epoch: "text", offset: "int" }, may: {} } },
      },
    },
    filter: "unused",
    durable: "unused",
    ack: "unused",
    presence: ["announce", "watch", "both"],
    token: "unused",
    delta: "unused",
    watch: { list: "text" },
  },
};

/** The words of the client. */
const CLIENT: { readonly [W in Request["is"]]: readonly [op: number, shape: Shape] } = {
  hello: [
    0x01,
    {
      need: { v: "int" },
      may: { token: "text", user: "text", subs: { list: SUB }, resume: "text" },
    },
  ],
  auth: [0x02, { need: { token: "text" }, may: {} }],
  sub: [0x03, SUB],
  unsub: [0x04, { need: { s: "int" }, may: {} }],
  pub: [
    0x05,
    {
      need: { data: "data" },
      may: {
        topic: "text",
        t: "int",
        pseq: "int",
        key: "text",
        level: ["none", "mem"],
        echo: "no",
        idem: "text",
        ttl_ms: "int",
        tags: "tags",
      },
    },
  ],
  credit: [0x06, { need: {}, may: { t: "int", s: "int", msgs: "int", bytes: "int" } }],
  pong: [0x07, { need: {}, may: { t: "int" } }],
  bye: [0x08, { need: {}, may: { reason: "text" } }],
  hist: [
    0x0a,
    {
      need: { topic: "text" },
      may: { from: { need: {}, may: PLACES }, dir: ["forward", "backward"], limit: "int" },
    },
  ],
  state: [
    0x0b,
    {
      need: { topic: "text", op: ["set", "del", "page"], ns: "text" },
      may: { k: "text", v: "json", ttl_ms: "int", after: "text", limit: "int" },
    },
  ],
};

const WORDS: ReadonlyMap<number, string> = new Map(
  Object.entries(SERVER).map(([is, [op]]) => [op, is]),
);

const DATA_JSON = 0;
const DATA_TEXT = 1;
const DATA_BYTES = 2;

const utf8 = new TextEncoder();
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function encodeRequest({ is, id, body }: Request): Uint8Array {
  const [op, shape] = CLIENT[is];
  return encodeRecord(op, shape, body, id ?? 0);
}

/** A word of the server's, as tests need it. */
export function encodeServerWord({ is, id, body }: ServerWord): Uint8Array {
  const [op, shape] = SERVER[is] as readonly [number, Shape];
  return encodeRecord(op, shape, body, id);
}

function encodeRecord(op: number, shape: Shape, body: object, id: number | undefined): Uint8Array {
  const fields = new Writer();
  if (id !== undefined) fields.integer(id);
  fields.shape(shape, body as Json);
  const record = new Writer();
  record.byte(op);
  record.sized(fields.bytes());
  return record.bytes();
}

function decodeWord(is: string, body: Reader): ServerWord {
  const [op, shape] = SERVER[is] as readonly [number, Shape];
  if (op >= PUSHES) return { is, body: body.shape(shape, is) } as unknown as ServerWord;
  const id = body.integer(`${is}: id`);
  if (id === 0) throw new MalformedError(`${is}: id: found 0; numbers of commands begin at 1`);
  return { is, id, body: body.shape(shape, is) } as ServerWord;
}

/** The value at a path of at most two names. */
function pick(object: Json, name: string): unknown {
  const dot = name.indexOf(".");
  return dot < 0 ? object[name] : (object[name.slice(0, dot)] as Json)[name.slice(dot + 1)];
}

function put(object: Json, name: string, value: unknown): void {
  const dot = name.indexOf(".");
  if (dot < 0) {
    object[name] = value;
  } else {
    const holder = name.slice(0, dot);
    object[holder] = { ...(object[holder] as Json), [name.slice(dot + 1)]: value };
  }
}

class Writer {
  #bytes = new Uint8Array(64);
  #len = 0;

  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#len);
  }

  byte(byte: number): void {
    this.#room(1);
    this.#bytes[this.#len++] = byte;
  }

  append(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#len);
    this.#len += bytes.length;
  }

  integer(integer: number): void {
    let rest = integer;
    // Not by shifts, which keep 32 bits only.
    while (rest >= 0x80) {
      this.byte((rest % 0x80) + 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.byte(rest);
  }

  sized(bytes: Uint8Array): void {
    this.integer(bytes.length);
    this.append(bytes);
  }

  text(text: string): void {
    this.sized(utf8.encode(text));
  }

  shape({ need, may }: Shape, object: Json): void {
    const there = Object.entries(may).map(([name, kind]) => {
      const value = kind === "unused" ? undefined : pick(object, name);
      return kind === "flag"
        ? value === true
        : kind === "no"
          ? value === false
          : value !== undefined;
    });
    this.integer(there.reduceRight((bits, bit) => bits * 2 + Number(bit), 0));
    for (const name in need) this.value(need[name] as Kind, pick(object, name));
    for (const [place, [name, kind]] of Object.entries(may).entries()) {
      if (there[place]) this.value(kind, pick(object, name));
    }
  }

  value(kind: Kind, value: unknown): void {
    if (kind === "int") {
      this.integer(value as number);
    } else if (kind === "text") {
      this.text(value as string);
    } else if (kind === "json") {
      this.text(JSON.stringify(value));
    } else if (kind === "data") {
      this.#payload(value as Payload);
    } else if (kind === "tags") {
      const tags = Object.entries(value as Record<string, string>);
      this.integer(tags.length);
      for (const text of tags.flat()) this.text(text);
    } else if (typeof kind === "object") {
      this.#structure(kind, value);
    }
  }

  #structure(kind: Exclude<Kind, string>, value: unknown): void {
    if ("list" in kind) {
      const items = value as readonly unknown[];
      this.integer(items.length);
      for (const item of items) this.value(kind.list, item);
    } else if ("need" in kind) {
      const part = new Writer();
      part.shape(kind, value as Json);
      this.sized(part.bytes());
    } else {
      this.integer(kind.indexOf(value as string));
    }
  }

  #payload(payload: Payload): void {
    this.byte(typeof payload === "string" ? DATA_JSON : DATA_BYTES);
    this.sized(typeof payload === "string" ? utf8.encode(payload) : payload);
  }

  #room(more: number): void {
    if (this.#len + more <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(2 * this.#bytes.length, this.#len + more));
    grown.set(this.bytes());
    this.#bytes = grown;
  }
}

class Reader {
  #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  isEmpty(): boolean {
    return this.#at >= this.#bytes.length;
  }

  byte(path: string): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw early(path);
    return byte;
  }

  integer(path: string): number {
    let integer = 0;
    for (let scale = 1; ; scale *= 0x80) {
      const byte = this.byte(path);
      integer += (byte % 0x80) * scale;
      if (integer > Number.MAX_SAFE_INTEGER || (byte >= 0x80 && scale >= 2 ** 49)) {
        throw new MalformedError(`${path}: a number of 2^53 or more; they stay below`);
      }
      if (byte >= 0x80) continue;
      if (byte === 0 && scale > 1) {
        throw new MalformedError(`${path}: a number with a zero byte at its end; leave it out`);
      }
      return integer;
    }
  }

  sub(path: string): Reader {
    return new Reader(this.#sized(path));
  }

  shape({ need, may }: Shape, path: string): Json {
    const object: Json = {};
    let bits = this.integer(`${path}: the optional fields`);
    for (const name in need) put(object, name, this.value(need[name] as Kind, `${path}.${name}`));
    for (const name in may) {
      const kind = may[name] as Kind;
      const there = bits % 2 === 1;
      bits = Math.floor(bits / 2);
      if (kind === "flag") object[name] = there;
      else if (there) put(object, name, this.value(kind, `${path}.${name}`));
    }
    if (path.endsWith("err")) object.name = errorName(object.code as number);
    return object;
  }

  value(kind: Kind, path: string): unknown {
    if (kind === "int") return this.integer(path);
    if (kind === "text") return text(this.#sized(path), path);
    if (kind === "json") return parse(this.#sized(path), path);
    if (kind === "data") return this.#payload(path);
    if (kind === "tags") return this.#tags(path);
    if (typeof kind === "string") return undefined;
    if ("list" in kind) return this.#list(kind.list, path);
    if ("need" in kind) return this.sub(path).shape(kind, path);
    const place = this.integer(path);
    const named = kind[place];
    if (named === undefined)
      throw new MalformedError(`${path}: found ${place}; less than ${kind.length} is needed`);
    return named;
  }

  #list(kind: Kind, path: string): unknown[] {
    const items: unknown[] = [];
    // Nothing is set aside for what is only said to follow: every item takes bytes.
    for (let left = this.integer(path); left > 0; left -= 1) items.push(this.value(kind, path));
    return items;
  }

  #tags(path: string): Record<string, string> {
    const tags: [string, string][] = [];
    for (let left = this.integer(path); left > 0; left -= 1) {
      tags.push([text(this.#sized(path), path), text(this.#sized(path), path)]);
    }
    return Object.fromEntries(tags);
  }

  #payload(path: string): unknown {
    const kind = this.byte(path);
    const bytes = this.#sized(path);
    if (kind === DATA_JSON) return parse(bytes, path);
    if (kind === DATA_TEXT) return text(bytes, path);
    // A copy: what is kept of a message does not keep all of it.
    if (kind === DATA_BYTES) return bytes.slice();
    throw new MalformedError(
      `${path}: found the kind ${kind}; 0 (JSON), 1 (text) or 2 (bytes) is needed`,
    );
  }

  #sized(path: string): Uint8Array {
    const len = this.integer(path);
    const end = this.#at + len;
    if (end > this.#bytes.length) throw early(path);
    const bytes = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return bytes;
  }
}

function text(bytes: Uint8Array, path: string): string {
  try {
    return strictUtf8.decode(bytes);
  } catch {
    throw new MalformedError(`${path}: not UTF-8`);
  }
}

function parse(bytes: Uint8Array, path: string): unknown {
  try {
    return JSON.parse(text(bytes, path));
  } catch (error) {
    throw new MalformedError(`${path}: not JSON: ${error instanceof Error ? error.message : ""}`);
  }
}

function early(path: string): MalformedError {
  return new MalformedError(`${path}: the record ends before it does`);
}
