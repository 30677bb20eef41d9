/**
 * The JSON dialect: a command is an object `{"id":1,"pub":{…}}`, several are a list.
 *
 * What is read is checked by two small tables: what must be there, and what a field's name says of its
 * type, which is the same in all words.
 *
 * @module
 */

import { fromBase64, toBase64 } from "./base64.js";
import { broken, CorewireError } from "./errors.js";
import type { Dialect, Request, ServerWord } from "./words.js";

type Json = Record<string, unknown>;

/** What a word must have. Replies have an `id` first, outside of their fields. */
const NEEDS: Readonly<Record<string, string>> = {
  welcome: "id conn node user ping_ms slack_ms limits subs",
  ok: "id",
  subbed: "id s policy",
  pubbed: "id epoch offset",
  err: "id code text",
  page: "id epoch start end items",
  members: "id ns ver n digest items",
  topic: "t topic s epoch offset",
  msg: "t o ts pub data",
  untopic: "t",
  pos: "",
  gap: "t from to cause repair",
  conflated: "t n upto",
  reset: "cause",
  unsubbed: "s code",
  token_expiring: "in_ms",
  goaway: "spread_ms",
  ping: "t",
  warn: "code text",
  closing: "code reason",
  state: "t ns ver n digest set del",
};

const set = (names: string): ReadonlySet<string> => new Set(names.split(" "));
/** Whole numbers from 0, below 2^53; so is whatever ends with `_ms`. */
const INTEGERS = set(
  "id t o s n ts ver to from upto code offset pseq start end digest users replay_to",
);
const TEXTS = set(
  "conn node user ticket epoch pos topic text cause repair ns k next key reason url mode level cmd",
);
const LISTS = set("items set subs del s");
const OBJECTS = set("pub policy limits subbed err");

/** The words as JSON, in text messages. */
export const json: Dialect = {
  subprotocol: "corewire.v1.json",

  encode({ is, id, body }: Request): string {
    if (is !== "pub") return JSON.stringify({ id, [is]: body });
    // The payload was written when it was published: it is put in as it stands.
    const { data, ...fields } = body;
    const payload = typeof data === "string" ? `"data":${data}` : `"b64":"${toBase64(data)}"`;
    return `${JSON.stringify({ id, pub: fields }).slice(0, -2)},${payload}}}`;
  },

  join(messages: readonly string[]): string {
    return messages.length === 1 ? (messages[0] as string) : `[${messages.join()}]`;
  },

  decode(message: string | ArrayBuffer | Uint8Array): ServerWord[] {
    try {
      const parsed: unknown = JSON.parse(message as string);
      return (Array.isArray(parsed) ? parsed : [parsed]).flatMap(word);
    } catch (error) {
      throw error instanceof CorewireError ? error : broken(`not JSON, or not base64: ${error}`);
    }
  },
};

function word(value: unknown): ServerWord[] {
  const object = asObject(value, "a word");
  const is = Object.keys(object).find((name) => Object.hasOwn(NEEDS, name));
  if (is === undefined) return [];
  const body = fields(object[is], is);
  for (const name of NEEDS[is]?.match(/\w+/g) ?? []) {
    const { [name]: field } = name === "id" ? object : body;
    if (field === undefined || (name === "id" && (!isInteger(field) || !field))) {
      throw wrong(`${is}.${name}`);
    }
  }
  return [{ is, id: object.id, body } as ServerWord];
}

/** The fields of an object, each of which is what its name says; bytes are read. */
function fields(value: unknown, path: string): Json {
  const object = asObject(value, path);
  for (const name in object) {
    const inner = `${path}.${name}`;
    const field = object[name];
    if (name === "b64") {
      object.data = fromBase64(field as string);
      delete object.b64;
    } else if (field === null && name !== "data" && name !== "v") {
      // It counts as not there.
      delete object[name];
    } else if (!fits(name, field, inner)) {
      throw wrong(inner);
    }
  }
  return object;
}

function fits(name: string, value: unknown, path: string): boolean {
  if (LISTS.has(name) && Array.isArray(value)) {
    if (name === "s") return value.every(isInteger);
    if (name === "del") return value.every(isText);
    return value.every((item) => fields(item, path));
  }
  if (INTEGERS.has(name) || name.endsWith("_ms")) return isInteger(value);
  if (TEXTS.has(name)) return isText(value);
  // Their names are the application's own: they say nothing of a type.
  if (name === "tags") return Object.values(asObject(value, path)).every(isText);
  if (OBJECTS.has(name)) fields(value, path);
  return !LISTS.has(name);
}

function asObject(value: unknown, path: string): Json {
  if (typeof value === "object" && value && !Array.isArray(value)) return value as Json;
  throw wrong(path);
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isInteger(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function wrong(path: string): CorewireError {
  return broken(`${path} is missing, or of another type`);
}
