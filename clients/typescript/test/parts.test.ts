/** Small pure things. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { ceilingMs, comeback, waitMs } from "../src/backoff.js";
import { Client } from "../src/client.js";
import { newPace, nextAt, take } from "../src/pace.js";
import { checkSubject, checkTopic } from "../src/subject.js";
import { webSocketTransport } from "../src/transport.js";
import { watchWake } from "../src/wake.js";
import { random } from "./clock.js";

const BACKOFF = { firstMs: 500, maxMs: 20_000 };

test("waits double up to their bound and fill the whole range", () => {
  const ceilings = Array.from({ length: 8 }, (_, failures) => ceilingMs(BACKOFF, failures));
  assert.deepEqual(ceilings, [500, 1000, 2000, 4000, 8000, 16_000, 20_000, 20_000]);
  assert.equal(ceilingMs(BACKOFF, 2000), 20_000);
  const dice = random(7);
  const waits = Array.from({ length: 1000 }, () => waitMs(BACKOFF, 0, false, {}, dice));
  for (let fifth = 0; fifth < 5; fifth += 1) {
    const met = waits.filter((wait) => wait >= fifth * 100 && wait < (fifth + 1) * 100).length;
    assert.ok(met > 140 && met < 260, `${met} of 1000`);
  }
});

test("the server's hints are kept, within bounds", () => {
  const dice = random(1);
  assert.ok(waitMs(BACKOFF, 0, false, { retry_ms: 5000 }, dice) >= 5000);
  assert.ok(waitMs(BACKOFF, 0, false, { retry_ms: 1e12 }, dice) <= 601_000);
  for (let turn = 0; turn < 100; turn += 1) {
    assert.ok(waitMs(BACKOFF, 0, true, { spread_ms: 300 }, dice) <= 300);
    assert.ok(waitMs(BACKOFF, 0, true, {}, dice) <= 1000);
  }
});

test("each code says whether to come back", () => {
  const codes = [undefined, 1000, 1001, 1002, 1012, 4000, 4007, 4100, 4203, 4300, 4400, 4500];
  assert.deepEqual(
    codes.map((code) => comeback(code)),
    [
      "later",
      "later",
      "soon",
      "never",
      "soon",
      "never",
      "never",
      "later",
      "soon",
      "later",
      "never",
      "later",
    ],
  );
});

test("a burst goes at once and the rest at its rate", () => {
  const pace = newPace(1000, 2000);
  let sent = 0;
  for (let now = 0; now <= 1000; now += 1) {
    while (take(pace, now)) sent += 1;
    assert.equal(nextAt(pace), now + 1);
  }
  assert.equal(sent, 2500);
  const free = newPace(0, 0);
  assert.ok([0, 0, 0, 5].every((now) => take(free, now)));
  const slow = newPace(3, 1);
  assert.deepEqual(
    [0, 333, 334].map((now) => take(slow, now)),
    [true, false, true],
  );
});

test("names of topics and patterns", () => {
  for (const topic of ["a", "chat.room-1_B", Array(16).fill("a").join("."), "x".repeat(255)]) {
    assert.equal(checkSubject(topic), false);
  }
  for (const pattern of [">", "*", "a.*.b", "a.>", "*.>"]) {
    assert.equal(checkSubject(pattern), true);
    assert.throws(() => checkTopic(pattern), { code: "bad_request" });
  }
  const wrong = [
    "",
    ".",
    "a.",
    ".a",
    "a..b",
    "a b",
    "a.>.b",
    "a*",
    "ä",
    Array(17).fill("a").join("."),
    "x".repeat(256),
  ];
  for (const name of wrong) assert.throws(() => checkSubject(name), { code: "bad_request" }, name);
  for (const other of [5, undefined, null, {}]) {
    assert.throws(() => checkSubject(other as unknown as string), { code: "bad_request" });
  }
});

test("an address is one of a server", () => {
  const transport = webSocketTransport(class {});
  assert.throws(() => new Client("ftp://a/ws", { transport }), /wss:/);
  assert.throws(() => new Client("/ws", { transport }), /\/ws is no address .* wss:/);
  assert.throws(() => new Client("", { transport }), /is no address/);
  assert.equal(new Client("https://a/ws", { transport }).status.type, "idle");
});

test("where there is no WebSocket the error says what to do", {
  skip: "WebSocket" in globalThis,
}, () => {
  assert.throws(() => new Client("ws://a/ws"), /package ws/);
});

test("a page that is shown again, or has a network again, says so until it is left", () => {
  const page = globalThis as { document?: unknown; window?: unknown };
  const document = Object.assign(new EventTarget(), { hidden: true });
  const window = new EventTarget();
  Object.assign(page, { document, window });
  const told: string[] = [];
  const end = watchWake({ woke: () => told.push("woke"), online: () => told.push("online") });
  delete page.document;
  delete page.window;
  const happens = (): void => {
    for (const type of ["pageshow", "offline", "online"]) window.dispatchEvent(new Event(type));
    document.dispatchEvent(new Event("visibilitychange"));
  };
  happens();
  assert.deepEqual(told.splice(0), ["woke", "woke", "online"]);
  document.hidden = false;
  happens();
  assert.deepEqual(told.splice(0), ["woke", "woke", "online", "woke"]);
  end();
  happens();
  assert.deepEqual(told, []);
});
