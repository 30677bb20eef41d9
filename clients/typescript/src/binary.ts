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

import { broken, type CorewireError, errorName } from "./errors.js";
import { type Field, fieldsOf, names, opOf, parse } from "./shape.js";
import type { Dialect, Payload, Request, ServerWord } from "./words.js";

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
    if (typeof message === "string") {
      throw broken("a text message; this dialect is binary");
    }
    const reader = new Reader(message instanceof Uint8Array ? message : new Uint8Array(message));
    const words: ServerWord[] = [];
    while (!reader.isEmpty()) {
      const op = reader.byte("op");
      const is = WORDS.get(op);
      const body = reader.sub("len");
      if (is !== undefined) words.push(decodeWord(op, is, body));
    }
    return words;
  },
};

/** Words from this number on answer no command. */
const PUSHES = 0x80;

/** Parts of commands. */
const PARTS: Readonly<Record<string, readonly Field[]>> = {
  sub: parse(
    "#s $topic | .policy:policy #credit .from:from -filter -durable -ack =presence:presence -token -delta *watch:$",
  ),
  from: parse("| $epoch #offset #last #since_ms $pos *seen:seen"),
  seen: parse("$topic $epoch #offset"),
};

/** The words of the client; `-` is a field that this one does not use, `^` one that is only `false`. */
const CLIENT: { readonly [W in Request["is"]]: readonly [op: number, fields: readonly Field[]] } = {
  hello: [0x01, parse("#v | $token $user *subs:sub $resume")],
  auth: [0x02, parse("$token")],
  sub: [0x03, PARTS.sub ?? []],
  unsub: [0x04, parse("#s")],
  pub: [0x05, parse("!data | $topic #t #pseq $key =level:level ^echo $idem #ttl_ms %tags")],
  credit: [0x06, parse("| #t #s #msgs #bytes")],
  pong: [0x07, parse("| #t")],
  bye: [0x08, parse("| $reason")],
  hist: [0x0a, parse("$topic | .from:from =dir:dir #limit")],
  state: [0x0b, parse("$topic =op:op $ns | $k ~v #ttl_ms $after #limit")],
};

/** Values by their numbers. */
const NAMES: Readonly<Record<string, readonly (string | boolean)[]>> = {
  mode: ["all", "latest", "drop_oldest", "close"],
  level: ["none", "mem"],
  cause: ["slow", "retention", "broker", "node"],
  repair: ["none", "hist"],
  recovered: [false, true],
  presence: ["announce", "watch", "both"],
  dir: ["forward", "backward"],
  op: ["set", "del", "page"],
};

const WORDS: ReadonlyMap<number, string> = new Map(
  names().flatMap((is) => {
    const op = opOf(is);
    return op === undefined ? [] : [[op, is] as const];
  }),
);

const DATA_JSON = 0;
const DATA_TEXT = 1;
const DATA_BYTES = 2;

const utf8 = new TextEncoder();
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function encodeRequest({ is, id, body }: Request): Uint8Array {
  const [op, fields] = CLIENT[is];
  return encodeRecord(op, fields, body, id ?? 0);
}

/** A word of the server's, as tests need it. */
export function encodeServerWord({ is, id, body }: ServerWord): Uint8Array {
  return encodeRecord(opOf(is) ?? 0, fieldsOf(is), body, id);
}

function encodeRecord(
  op: number,
  fields: readonly Field[],
  body: object,
  id: number | undefined,
): Uint8Array {
  const content = new Writer();
  if (id !== undefined) content.integer(id);
  content.fields(fields, body as Json);
  const record = new Writer();
  record.byte(op);
  record.sized(content.bytes());
  return record.bytes();
}

function decodeWord(op: number, is: string, body: Reader): ServerWord {
  if (op >= PUSHES)
    return { is, id: undefined, body: body.fields(is, is) } as unknown as ServerWord;
  const id = body.integer(`${is}: id`);
  if (id === 0) throw broken(`${is}: id: found 0; numbers of commands begin at 1`);
  return { is, id, body: body.fields(is, is) } as ServerWord;
}

/** The fields of a part. */
function partOf(name: string): readonly Field[] {
  return PARTS[name] ?? fieldsOf(name);
}

/** The value of a field. */
function pick(object: Json, { holder, name }: Field): unknown {
  return holder === undefined ? object[name] : (object[holder] as Json)[name];
}

function put(object: Json, { holder, name }: Field, value: unknown): void {
  if (holder === undefined) object[name] = value;
  else object[holder] = { ...(object[holder] as Json), [name]: value };
}

/** Whether the bit of an optional field is set. */
function isThere({ kind }: Field, value: unknown): boolean {
  if (kind === "-") return false;
  if (kind === "?") return value === true;
  return kind === "^" ? value === false : value !== undefined;
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

  fields(fields: readonly Field[], object: Json): void {
    const optional = fields.filter(({ isOptional }) => isOptional);
    const there = optional.filter((field) => isThere(field, pick(object, field)));
    const bit = (bits: number, field: Field): number => bits * 2 + Number(there.includes(field));
    this.integer(optional.reduceRight(bit, 0));
    for (const field of fields) {
      if (!field.isOptional || there.includes(field)) this.#value(field, pick(object, field));
    }
  }

  #value({ kind, of }: Field, value: unknown): void {
    switch (kind) {
      case "#":
        return this.integer(value as number);
      case "$":
        return this.text(value as string);
      case "~":
        return this.text(JSON.stringify(value));
      case "!":
        return this.#payload(value as Payload);
      case "=":
        return this.integer(NAMES[of]?.indexOf(value as string) ?? 0);
      case ".":
        return this.#part(of, value as Json);
      case "%": {
        const tags = Object.entries(value as Record<string, string>);
        this.integer(tags.length);
        for (const text of tags.flat()) this.text(text);
        return;
      }
      case "*": {
        const items = value as readonly unknown[];
        this.integer(items.length);
        for (const item of items) {
          if (of === "#") this.integer(item as number);
          else if (of === "$") this.text(item as string);
          else this.#part(of, item as Json);
        }
      }
    }
  }

  #part(name: string, object: Json): void {
    const part = new Writer();
    part.fields(partOf(name), object);
    this.sized(part.bytes());
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
        throw broken(`${path}: a number of 2^53 or more; they stay below`);
      }
      if (byte >= 0x80) continue;
      if (byte === 0 && scale > 1) {
        throw broken(`${path}: a number with a zero byte at its end; leave it out`);
      }
      return integer;
    }
  }

  sub(path: string): Reader {
    return new Reader(this.#sized(path));
  }

  fields(name: string, path: string): Json {
    const object: Json = {};
    let bits = this.integer(`${path}: the optional fields`);
    for (const field of fieldsOf(name)) {
      const { kind, isOptional } = field;
      const there = !isOptional || bits % 2 === 1;
      if (isOptional) bits = Math.floor(bits / 2);
      if (kind === "?") {
        if (there || field.name === "complete") put(object, field, there);
      } else if (there) put(object, field, this.#value(field, `${path}.${field.name}`));
    }
    // Only JSON has the name of an error beside its number.
    if (name === "err") object.name = errorName(object.code as number);
    return object;
  }

  #value({ kind, of }: Field, path: string): unknown {
    switch (kind) {
      case "#":
        return this.integer(path);
      case "$":
        return text(this.#sized(path), path);
      case "~":
        return parseJson(this.#sized(path), path);
      case "!":
        return this.#payload(path);
      case "%":
        return this.#tags(path);
      case ".":
        return this.sub(path).fields(of, path);
      case "*":
        return this.#list(of, path);
    }
    const number = this.integer(path);
    const value = NAMES[of]?.[number];
    if (value !== undefined) return value;
    throw broken(`${path}: found ${number}; less is needed`);
  }

  #list(of: string, path: string): unknown[] {
    const items: unknown[] = [];
    // Nothing is set aside for what is only said to follow: every item takes bytes.
    for (let left = this.integer(path); left > 0; left -= 1) {
      if (of === "#") items.push(this.integer(path));
      else if (of === "$") items.push(text(this.#sized(path), path));
      else items.push(this.sub(path).fields(of, path));
    }
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
    if (kind === DATA_JSON) return parseJson(bytes, path);
    if (kind === DATA_TEXT) return text(bytes, path);
    // A copy: what is kept of a message does not keep all of it.
    if (kind === DATA_BYTES) return bytes.slice();
    throw broken(`${path}: found the kind ${kind}; 0 (JSON), 1 (text) or 2 (bytes) is needed`);
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
    throw broken(`${path}: not UTF-8`);
  }
}

function parseJson(bytes: Uint8Array, path: string): unknown {
  try {
    return JSON.parse(text(bytes, path));
  } catch (error) {
    throw broken(`${path}: not JSON: ${error instanceof Error ? error.message : ""}`);
  }
}

function early(path: string): CorewireError {
  return broken(`${path}: the record ends before it does`);
}
