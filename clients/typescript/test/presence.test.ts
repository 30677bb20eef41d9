/** Who is there, as pages and diffs tell it. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { presence, state } from "../src/presence.js";
import {
  applyDiff,
  applyPage,
  type Change,
  digestOf,
  type Entry,
  entryDigest,
  newView,
  startPaging,
  toggle,
  type View,
} from "../src/state.js";
import type { EntryBody, MembersBody, SetBody, StateBody } from "../src/words.js";
import { random } from "./clock.js";
import { World } from "./world.js";

const entry = (k: string, ver: number, user = k): EntryBody => ({ k, user, ver, v: ver });

const asEntry = ({ k, user, ver, v }: EntryBody): Entry => ({
  key: k,
  user,
  value: v,
  version: ver,
});

function setDigest(entries: readonly Entry[]): number {
  const sum = { high: 0, low: 0 };
  for (const one of entries) toggle(sum, one);
  return digestOf(sum);
}

/** The set on the server. */
class Model {
  ver = 0;
  readonly entries = new Map<string, EntryBody>();

  get head(): { t: number; ns: string; ver: number; n: number; digest: number } {
    const digest = setDigest([...this.entries.values()].map(asEntry));
    return { t: 1, ns: "presence", ver: this.ver, n: this.entries.size, digest };
  }

  page(after = 0, limit = 3): MembersBody {
    const sorted = [...this.entries.values()].sort((one, other) => one.ver - other.ver);
    const rest = sorted.filter(({ ver }) => ver > after);
    const items = rest.slice(0, limit);
    const last = items.at(-1);
    return {
      ...this.head,
      items,
      ...(rest.length > limit && last ? { next: String(last.ver) } : {}),
    };
  }

  set(k: string, user = k): StateBody {
    this.ver += 1;
    const one = entry(k, this.ver, user);
    this.entries.set(k, one);
    return { ...this.head, set: [one], del: [] };
  }

  delete(k: string): StateBody {
    this.ver += 1;
    this.entries.delete(k);
    return { ...this.head, set: [], del: [k] };
  }
}

function live(model: Model): View {
  const view = newView();
  startPaging(view);
  let applied = applyPage(view, model.page());
  while (applied.ask?.after !== undefined) {
    applied = applyPage(view, model.page(Number(applied.ask.after)));
  }
  return view;
}

test("the digest is the one of the server", () => {
  // As protocol/src/native/state.rs computes it: 24 bits from each half.
  const [high, low] = entryDigest("c1", 1);
  assert.ok(high < 2 ** 24 && low < 2 ** 24);
  assert.equal(setDigest([]), 0);
  const one = asEntry(entry("c1", 1));
  assert.equal(setDigest([one, one]), 0);
});

test("a user with several connections comes once and goes once", () => {
  const model = new Model();
  const view = live(model);
  const users = ({ change }: { change?: Change }): unknown => [
    change?.usersAdded,
    change?.usersRemoved,
  ];
  assert.deepEqual(users(applyDiff(view, model.set("tab1", "ann"))), [["ann"], []]);
  assert.deepEqual(users(applyDiff(view, model.set("tab2", "ann"))), [[], []]);
  assert.deepEqual(users(applyDiff(view, model.delete("tab1"))), [[], []]);
  assert.deepEqual(users(applyDiff(view, model.delete("tab2"))), [[], ["ann"]]);
});

test("a diff that was missed is noticed, and a page asked for", () => {
  const model = new Model();
  const view = live(model);
  model.set("lost");
  const { ask } = applyDiff(view, model.set("seen"));
  assert.deepEqual(ask, {});
  startPaging(view);
  const { change } = applyPage(view, model.page());
  assert.deepEqual(
    change?.added.map(({ key }) => key),
    ["lost"],
  );
});

test("pages and diffs in any order give the set of the server", () => {
  for (let seed = 1; seed <= 500; seed += 1) {
    const dice = random(seed);
    const pick = (below: number): number => Math.floor(dice() * below);
    const model = new Model();
    const set = (key: number): StateBody => model.set(`k${key}`, `u${key % 4}`);
    for (let made = 0; made < 8; made += 1) set(pick(10));
    const view = newView();
    startPaging(view);
    // What the server sends is in order; while pages are asked for, diffs come between them.
    let cursor: number | undefined = 0;
    const shown = new Set<string>();
    const note = ({ change }: { change?: Change }): void => {
      for (const { key } of change?.added ?? []) {
        assert.ok(!shown.has(key), `seed ${seed}: ${key} comes twice`);
        shown.add(key);
      }
      for (const { key } of change?.removed ?? []) {
        assert.ok(shown.delete(key), `seed ${seed}: ${key} goes and was not there`);
      }
    };
    for (let step = 0; step < 40; step += 1) {
      if (cursor !== undefined && pick(2) === 0) {
        const applied = applyPage(view, model.page(cursor));
        note(applied);
        cursor = applied.ask === undefined ? undefined : Number(applied.ask.after ?? 0);
        if (applied.ask !== undefined && applied.ask.after === undefined) startPaging(view);
      } else {
        const key = pick(10);
        const isThere = model.entries.has(`k${key}`);
        const diff = isThere && pick(2) === 0 ? model.delete(`k${key}`) : set(key);
        // Some are lost on the way.
        const applied = cursor === undefined && pick(8) === 0 ? {} : applyDiff(view, diff);
        note(applied);
        if (applied.ask !== undefined) {
          startPaging(view);
          cursor = 0;
        }
      }
    }
    for (let step = 0; cursor !== undefined && step < 50; step += 1) {
      const applied = applyPage(view, model.page(cursor));
      note(applied);
      cursor = applied.ask === undefined ? undefined : Number(applied.ask.after ?? 0);
      if (applied.ask !== undefined && applied.ask.after === undefined) startPaging(view);
    }
    const last = applyDiff(view, { ...model.head, set: [], del: [] });
    if (last.ask !== undefined) {
      startPaging(view);
      let applied = applyPage(view, model.page(0, 100));
      note(applied);
      applied = {};
    }
    assert.deepEqual(
      [...view.roll.entries.values()].map(({ key, version }) => [key, version]).sort(),
      [...model.entries.values()].map(({ k, ver }) => [k, ver]).sort(),
      `seed ${seed}`,
    );
    assert.deepEqual([...shown].sort(), [...model.entries.keys()].sort(), `seed ${seed}`);
    const users = [...model.entries.values()].map(({ user }) => user);
    assert.deepEqual([...view.users.keys()].sort(), [...new Set(users)].sort(), `seed ${seed}`);
  }
});

/** A client that watches, and the server's set. */
function watching(): {
  world: World;
  model: Model;
  here: ReturnType<typeof presence>;
  seen: string[];
} {
  const world = new World();
  const model = new Model();
  world.server.answer = (_peer, is, body) =>
    is === "state" && body.op === "page"
      ? { members: model.page(Number(body.after ?? 0)) }
      : undefined;
  const client = world.client({ backoff: { firstMs: 10, maxMs: 10 } });
  const here = presence(client.subscribe("room", {}, { presence: "both" }));
  const seen: string[] = [];
  here.onChange(({ added, removed }) => {
    seen.push(...added.map(({ key }) => `+${key}`), ...removed.map(({ key }) => `-${key}`));
  });
  return { world, model, here, seen };
}

test("presence is announced again after a cut, and nobody seems to leave", () => {
  const { world, model, here, seen } = watching();
  for (const name of ["a", "b", "c", "d", "e"]) model.set(name);
  here.set({ name: "me" });
  world.pass(100);
  assert.deepEqual([...here.entries.keys()], ["a", "b", "c", "d", "e"]);
  assert.equal(here.count, 5);
  const announced = (): unknown[] => world.server.heard("state").filter(({ op }) => op === "set");
  assert.deepEqual(announced(), [{ topic: "room", op: "set", ns: "presence", v: { name: "me" } }]);
  world.server.peer.cut();
  model.delete("b");
  assert.equal(here.entries.size, 5);
  world.pass(1000);
  assert.equal(announced().length, 2);
  assert.deepEqual(seen, ["+a", "+b", "+c", "+d", "+e", "-b"]);
});

test("a warning of what the server refuses names the topic", () => {
  const world = new World();
  const client = world.client();
  const warnings: string[] = [];
  client.on("warning", ({ code, message }) => warnings.push(`${code}: ${message}`));
  world.server.answer = (_peer, is, body) =>
    is === "state" && body.op === "set"
      ? { err: { code: 114, name: "too_large", text: "state.v: 1025 bytes" } }
      : undefined;
  const here = presence(client.subscribe("chat.room1", undefined, { presence: "both" }));
  world.pass(100);
  here.set("x");
  world.pass(100);
  assert.deepEqual(warnings, ["too_large: presence of chat.room1: state.v: 1025 bytes"]);
});

test("a value that JSON does not have is refused, and nothing else suffers", () => {
  const { world, here } = watching();
  world.pass(100);
  assert.throws(() => here.set(1n), TypeError);
  here.set("me");
  world.pass(100);
  assert.equal(world.server.heard("state").at(-1).v, "me");
});

test("who typed is forgotten when the connection is gone for long", () => {
  const world = new World();
  const model = new Model();
  world.server.answer = (_peer, is, body) =>
    is === "state" && body.op === "page"
      ? { members: { ...model.page(), ns: "typing" } }
      : undefined;
  const client = world.client();
  const typing = state(client.subscribe("room", {}, { watch: ["typing"] }), "typing");
  world.pass(100);
  // Before its first message or state a topic has no alias.
  world.server.peer.say({ state: { ...model.set("a"), t: 1, ns: "typing" } });
  world.pass(100);
  assert.equal(typing.entries.size, 1);
  world.server.isDown = true;
  world.server.peer.cut();
  world.pass(9000);
  assert.equal(typing.entries.size, 1);
  world.pass(2000);
  assert.equal(typing.entries.size, 0);
});

test("to type on says nothing new before half of its time is over", () => {
  const world = new World();
  const client = world.client();
  const typing = state<boolean>(client.subscribe("room", {}, {}), "typing");
  typing.set(true);
  assert.equal(world.server.heard("state").length, 0, "without a connection it is not kept");
  world.pass(100);
  const sets = (): number => world.server.heard("state").filter(({ op }) => op === "set").length;
  for (let key = 0; key < 30; key += 1) {
    typing.set(true, { ttlMs: 4000 });
    world.pass(100);
  }
  assert.equal(sets(), 2);
  typing.clear();
  typing.clear();
  world.pass(100);
  assert.deepEqual(world.server.heard("state").at(-1), { topic: "room", op: "del", ns: "typing" });
});

/** With 10,000 members each diff of one once took as long as all of them. */
test("what a diff costs does not grow with the set", () => {
  const costs = [100, 10_000].map((size) => {
    const items = Array.from({ length: size }, (_, place) => entry(`k${place}`, place + 1));
    const sum = { high: 0, low: 0 };
    for (const one of items) toggle(sum, asEntry(one));
    const head = (ver: number): SetBody => ({
      t: 1,
      ns: "presence",
      ver,
      n: size,
      digest: digestOf(sum),
    });
    const view = newView();
    startPaging(view);
    applyPage(view, { ...head(size), items });
    const diffs: StateBody[] = [];
    for (let n = 0; n < 50; n += 1) {
      const before = entry(`k${n}`, n + 1);
      const after = entry(`k${n}`, size + n + 1);
      for (const one of [before, after]) toggle(sum, asEntry(one));
      diffs.push({ ...head(size + n + 1), set: [after], del: [] });
    }
    let hashed = 0;
    const encode = TextEncoder.prototype.encode;
    TextEncoder.prototype.encode = function (text) {
      hashed += 1;
      return encode.call(this, text);
    };
    try {
      for (const diff of diffs) {
        const { change, ask } = applyDiff(view, diff);
        assert.deepEqual([change?.updated.length, ask], [1, undefined]);
      }
    } finally {
      TextEncoder.prototype.encode = encode;
    }
    return hashed;
  });
  assert.deepEqual(costs, [100, 100]);
});
