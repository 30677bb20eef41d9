/** Messages in both dialects, written down by hand; the Rust codecs are tested by the same file. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fromBase64 } from "../src/base64.js";
import { binary, encodeServerWord } from "../src/binary.js";
import { json } from "../src/json.js";
import type { Payload, Request, ServerWord } from "../src/words.js";

interface Vector {
  readonly name: string;
  readonly from: "client" | "server";
  /** The message as it stands there. */
  readonly json: string;
  readonly binary: string;
}

const FILE = new URL("../../../../protocol/tests/vectors/native.json", import.meta.url);

/** One vector an entry; its JSON is the rest of a line, so that it is read as it was written. */
function vectors(): Vector[] {
  const text = readFileSync(process.env.COREWIRE_VECTORS ?? FILE, "utf8");
  const entries = JSON.parse(text) as (Omit<Vector, "json"> & { json: unknown })[];
  const raw = [...text.matchAll(/^ {4}"json": (.*),$/gm)].map(([, line]) => line as string);
  assert.equal(raw.length, entries.length);
  return entries.map(({ name, from, binary }, place) => ({
    name,
    from,
    json: raw[place] as string,
    binary,
  }));
}

const hex = (bytes: string | Uint8Array): string =>
  Buffer.from(bytes as Uint8Array).toString("hex");
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "hex"));

/** The payload of a message whose last field is `data`, as it was written. */
function payload(message: string, word: { b64?: string }): Payload {
  if (word.b64 !== undefined) return fromBase64(word.b64);
  return message.slice(message.lastIndexOf('"data":') + '"data":'.length, -2);
}

function request({ json }: Vector): Request {
  const { id, ...words } = JSON.parse(json) as Record<string, unknown>;
  const [[is, body]] = Object.entries(words) as [[string, { b64?: string }]];
  if (is !== "pub") return { is, id, body } as Request;
  const { b64: _, ...fields } = body;
  return { is, id, body: { ...fields, data: payload(json, body) } } as Request;
}

/** A word as it is to be written again. */
function written(vector: Vector, word: ServerWord): ServerWord {
  const text = (data: unknown): Payload =>
    data instanceof Uint8Array ? data : JSON.stringify(data);
  if (word.is === "page") {
    const items = word.body.items.map((item) => ({ ...item, data: text(item.data) }));
    return { ...word, body: { ...word.body, items } };
  }
  if (word.is !== "msg") return word;
  const { msg } = JSON.parse(vector.json) as { msg: { b64?: string } };
  return { ...word, body: { ...word.body, data: payload(vector.json, msg) } };
}

test("there are many", () => {
  assert.ok(vectors().length > 50);
});

for (const vector of vectors()) {
  if (vector.from === "client") {
    test(`a client writes: ${vector.name}`, () => {
      assert.equal(json.encode(request(vector)), vector.json);
      assert.equal(hex(binary.encode(request(vector))), vector.binary);
    });
  } else {
    test(`a server's word means the same in both dialects: ${vector.name}`, () => {
      const word = json.decode(vector.json);
      assert.equal(word.length, 1);
      assert.deepEqual(binary.decode(bytes(vector.binary)), word);
      assert.equal(hex(encodeServerWord(written(vector, word[0] as ServerWord))), vector.binary);
    });
  }
}
