/**
 * The JSON dialect: a command is an object `{"id":1,"pub":{…}}`, several are a list.
 *
 * @module
 */

import { fromBase64, toBase64 } from "./base64.js";
import { type Fields, type Kind, SERVER, type Shape } from "./shape.js";
import { type Dialect, MalformedError, type Request, type ServerWord } from "./words.js";

type Json = Record<string, unknown>;

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
    if (typeof message !== "string")
      throw new MalformedError("a binary message; this dialect has text");
    let parsed: unknown;
    try {
      parsed = JSON.parse(message);
    } catch (error) {
      throw new MalformedError(`not JSON: ${error instanceof Error ? error.message : ""}`);
    }
    return (Array.isArray(parsed) ? parsed : [parsed]).flatMap(word);
  },
};

function word(object: unknown): ServerWord[] {
  const fields = asObject(object, "a word");
  const is = Object.keys(fields).find((name) => Object.hasOwn(SERVER, name));
  const known = is === undefined ? undefined : SERVER[is];
  if (is === undefined || known === undefined) return [];
  const [op, shape] = known;
  const body = asObject(fields[is], is);
  checkShape(shape, body, is);
  if (op >= 0x80) return [{ is, body } as unknown as ServerWord];
  check("int", fields.id, `${is}: id`);
  return [{ is, id: fields.id, body } as ServerWord];
}

function checkShape(shape: Shape, object: Json, path: string): void {
  checkFields(shape.need, object, path, (name, kind, value) => {
    if (value === undefined)
      throw new MalformedError(`${path}.${name}: missing; ${needed(kind)} is needed`);
  });
  checkFields(shape.may, object, path);
}

function checkFields(
  fields: Fields,
  object: Json,
  path: string,
  absent?: (name: string, kind: Kind, value: unknown) => void,
): void {
  for (const name in fields) {
    const kind = fields[name] as Kind;
    if (kind === "data") {
      if (typeof object.b64 === "string") {
        object.data = bytes(object.b64, path);
        delete object.b64;
      }
      absent?.(name, kind, object.data);
      continue;
    }
    const dot = name.indexOf(".");
    const holder = dot < 0 ? object : asObject(object[name.slice(0, dot)], path);
    const key = name.slice(dot + 1);
    // What is null counts as not there.
    if (holder[key] === null && kind !== "json") delete holder[key];
    if (kind === "flag") holder[key] ??= false;
    const value = holder[key];
    absent?.(name, kind, value);
    if (value !== undefined) check(kind, value, `${path}.${name}`);
  }
}

function check(kind: Kind, value: unknown, path: string): void {
  if (kind === "json") return;
  if (typeof kind === "object" && "list" in kind) {
    if (!Array.isArray(value)) throw wrong(kind, path);
    for (const item of value) check(kind.list, item, path);
  } else if (typeof kind === "object" && "need" in kind) {
    checkShape(kind, asObject(value, path), path);
  } else if (kind === "tags") {
    for (const tag of Object.values(asObject(value, path))) check("text", tag, path);
  } else if (!fits(kind, value)) {
    throw wrong(kind, path);
  }
}

function fits(kind: Exclude<Kind, Shape | { list: Kind }>, value: unknown): boolean {
  if (kind === "int") return Number.isSafeInteger(value) && (value as number) >= 0;
  if (kind === "text") return typeof value === "string";
  if (kind === "flag") return typeof value === "boolean";
  return typeof kind === "object" && kind.includes(value as string);
}

function asObject(value: unknown, path: string): Json {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Json;
  throw new MalformedError(`${path}: an object is needed`);
}

function bytes(text: string, path: string): Uint8Array {
  try {
    return fromBase64(text);
  } catch {
    throw new MalformedError(`${path}.b64: base64 is needed`);
  }
}

function wrong(kind: Kind, path: string): MalformedError {
  return new MalformedError(`${path}: ${needed(kind)} is needed`);
}

function needed(kind: Kind): string {
  if (kind === "int") return "a whole number from 0, below 2^53,";
  if (typeof kind === "string") return kind;
  return "list" in kind ? "a list" : "need" in kind ? "an object" : kind.join(" or ");
}
