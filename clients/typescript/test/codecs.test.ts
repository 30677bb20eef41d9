/** Whatever comes, the decoders answer or refuse it; what is written is read as it was. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { fromBase64, toBase64 } from "../src/base64.js";
import { binary, encodeServerWord } from "../src/binary.js";
import { CorewireError } from "../src/errors.js";
import { json } from "../src/json.js";
import type { Dialect, ServerWord } from "../src/words.js";

const RUNS = Number(process.env.CODEC_RUNS ?? 2000);

function refuses(dialect: Dialect, message: string | Uint8Array): ServerWord[] | undefined {
  try {
    return dialect.decode(message);
  } catch (error) {
    assert.ok(error instanceof CorewireError && error.code === "broken", `${error}`);
    return undefined;
  }
}

const integer = fc.maxSafeNat();
const text = fc.string({ unit: "grapheme", maxLength: 20 });
const optional = <T>(arb: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arb, { nil: undefined });
const tags = fc.dictionary(
  text.filter((name) => name !== "__proto__" && !/^\d+$/.test(name)),
  text,
  {
    maxKeys: 4,
  },
);
const bytes = fc.uint8Array({ maxLength: 40 });
const value = fc
  .jsonValue({ maxDepth: 2 })
  .map((data) => JSON.parse(JSON.stringify(data)) as unknown);
const publisher = fc.record({ user: text, conn: text, pseq: optional(integer) });
const item = { o: integer, ts: integer, key: optional(text), tags: optional(tags), pub: publisher };
const entry = fc.record({ k: text, user: text, ver: integer, v: optional(value) });
const set = {
  t: integer,
  ns: text,
  ver: integer,
  n: integer,
  digest: integer,
  users: optional(integer),
};
const cause = fc.constantFrom("slow", "retention", "broker", "node");
const policy = fc.record({
  mode: fc.constantFrom("all", "latest", "drop_oldest", "close"),
  max_bytes: optional(integer),
});

/** Words without payloads, which have tests of their own. */
const words: fc.Arbitrary<ServerWord> = fc
  .oneof(
    fc.record({
      is: fc.constant("subbed"),
      id: fc.integer({ min: 1, max: 2 ** 40 }),
      body: fc.record({
        s: integer,
        t: optional(integer),
        epoch: optional(text),
        recovered: optional(fc.boolean()),
        policy,
      }),
    }),
    fc.record({
      is: fc.constant("members"),
      id: fc.constant(7),
      body: fc.record({ ...set, items: fc.array(entry, { maxLength: 4 }), next: optional(text) }),
    }),
    fc.record({
      is: fc.constant("state"),
      body: fc.record({ ...set, set: fc.array(entry, { maxLength: 4 }), del: fc.array(text) }),
    }),
    fc.record({
      is: fc.constant("topic"),
      body: fc.record({
        t: integer,
        topic: text,
        s: fc.array(integer),
        epoch: text,
        offset: integer,
      }),
    }),
    fc.record({
      is: fc.constant("closing"),
      body: fc.record({
        code: integer,
        reason: text,
        retry_ms: optional(integer),
        url: optional(text),
      }),
    }),
    fc.record({
      is: fc.constant("reset"),
      body: fc.record({ s: integer, pos: text, cause }),
    }),
  )
  .map((word) => strip(word) as ServerWord);

/** Without what is undefined, as it is read. */
function strip(word: unknown): unknown {
  if (Array.isArray(word)) return word.map(strip);
  if (typeof word !== "object" || word === null || word instanceof Uint8Array) return word;
  const fields = Object.entries(word).filter(([, field]) => field !== undefined);
  return Object.fromEntries(
    fields.map(([name, field]) => [name, name === "v" ? field : strip(field)]),
  );
}

test("bytes of any kind do not confuse the binary decoder", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (message) => {
      refuses(binary, message);
    }),
    { numRuns: RUNS },
  );
});

test("neither do bytes that are almost a word", () => {
  const damaged = fc.tuple(words, fc.nat(), fc.nat(255)).map(([word, at, byte]) => {
    const message = encodeServerWord(word);
    message[at % message.length] = byte;
    return message;
  });
  fc.assert(
    fc.property(damaged, (message) => {
      refuses(binary, message);
    }),
    { numRuns: RUNS },
  );
});

test("text of any kind does not confuse the JSON decoder", () => {
  const anything = fc.oneof(fc.string(), fc.json());
  fc.assert(
    fc.property(anything, (message) => {
      refuses(json, message);
    }),
    { numRuns: RUNS },
  );
});

test("neither do words with fields of other types", () => {
  const names = fc.constantFrom(
    "id",
    "t",
    "o",
    "s",
    "pub",
    "data",
    "b64",
    "items",
    "set",
    "epoch",
    "limits",
    "subs",
  );
  const body = fc.dictionary(names, fc.oneof(fc.jsonValue({ maxDepth: 2 }), integer, text));
  const is = fc.constantFrom(
    "welcome",
    "msg",
    "subbed",
    "page",
    "state",
    "topic",
    "err",
    "gap",
    "closing",
  );
  const word = fc.record({ id: fc.oneof(integer, text), is, body });
  fc.assert(
    fc.property(word, ({ id, is, body }) => {
      for (const { body: read } of refuses(json, JSON.stringify({ id, [is]: body })) ?? []) {
        const { t, epoch } = read as { t?: unknown; epoch?: unknown };
        assert.ok(t === undefined || (Number.isSafeInteger(t) && (t as number) >= 0));
        assert.ok(epoch === undefined || typeof epoch === "string");
      }
    }),
    { numRuns: RUNS },
  );
});

test("what is written in binary is read as it was", () => {
  fc.assert(
    fc.property(words, (word) => {
      assert.deepEqual(binary.decode(encodeServerWord(word)), [{ ...word, id: word.id }]);
    }),
    { numRuns: RUNS },
  );
});

test("both dialects say the same", () => {
  fc.assert(
    fc.property(words, ({ is, id, body }) => {
      const word = { is, ...(id === undefined ? {} : { id }), body } as ServerWord;
      const text = JSON.stringify({ id, [is]: body, ...(is === "err" ? { name: "" } : {}) });
      assert.deepEqual(json.decode(text), binary.decode(encodeServerWord(word)));
    }),
    { numRuns: RUNS },
  );
});

test("messages keep their payload: bytes, and any JSON", () => {
  fc.assert(
    fc.property(fc.record({ ...item, t: integer }), fc.oneof(bytes, value), (fields, data) => {
      const body = strip(fields) as typeof fields;
      const payload = data instanceof Uint8Array ? data : JSON.stringify(data);
      const word = { is: "msg", body: { ...body, data: payload } } as unknown as ServerWord;
      const [read] = binary.decode(encodeServerWord(word));
      assert.deepEqual(read?.body, { ...body, data });
      const rest = data instanceof Uint8Array ? { b64: toBase64(data) } : { data };
      assert.deepEqual(json.decode(JSON.stringify({ msg: { ...body, ...rest } }))[0]?.body, {
        ...body,
        data,
      });
    }),
    { numRuns: RUNS },
  );
});

test("bytes are the same behind base64", () => {
  const large = new Uint8Array(100_000).map((_, at) => at * 31);
  assert.deepEqual(fromBase64(toBase64(large)), large);
  fc.assert(
    fc.property(bytes, (some) => {
      assert.deepEqual(fromBase64(toBase64(some)), some);
    }),
  );
});

test("several commands are one message, and unknown words are left out", () => {
  const pong = { is: "pong", body: { t: 1 } } as const;
  const bye = { is: "bye", body: {} } as const;
  assert.equal(json.join([json.encode(pong)]), '{"pong":{"t":1}}');
  assert.equal(json.join([json.encode(pong), json.encode(bye)]), '[{"pong":{"t":1}},{"bye":{}}]');
  const both = binary.join([binary.encode(pong), binary.encode(bye)]);
  assert.equal(Buffer.from(both as Uint8Array).toString("hex"), "0703000101080200" + "00");
  assert.deepEqual(json.decode('[{"later":{}},{"ping":{"t":1,"new":[]}}]'), [
    { is: "ping", id: undefined, body: { t: 1, new: [] } },
  ]);
  assert.deepEqual(binary.decode(new Uint8Array([0xf0, 1, 0])), []);
});
