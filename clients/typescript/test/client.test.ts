/** The client against a model of the server, in a time that tests let pass. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Status } from "../src/events.js";
import { history } from "../src/history.js";
import { settled } from "./clock.js";
import { LIMITS } from "./model.js";
import { messages, told, World } from "./world.js";

test("it connects when it is first needed, and says all that it wants at once", () => {
  const world = new World();
  const client = world.client({ user: "ann" });
  world.pass(1000);
  assert.equal(client.status.type, "idle");
  assert.equal(world.server.opened.length, 0);
  const one = world.record(client, "news");
  const two = world.record(client, "chat.>");
  world.pass(100);
  assert.equal(client.status.type, "connected");
  const [hello] = world.server.heard("hello");
  assert.deepEqual(hello, {
    v: 1,
    user: "ann",
    subs: [
      { s: 1, topic: "news", credit: 256 },
      { s: 2, topic: "chat.>", credit: 256 },
    ],
  });
  assert.deepEqual([told(one), told(two)], [["subscribed"], ["subscribed"]]);
});

test("a message goes to each subscription that it fits", () => {
  const world = new World();
  const client = world.client();
  const all = world.record(client, "chat.*");
  const room = world.record(client, "chat.a");
  world.pass(100);
  world.server.publish("chat.a", 1);
  world.server.publish("chat.b", 2);
  world.pass(100);
  assert.deepEqual(told(all), ["subscribed", 1, 2]);
  assert.deepEqual(told(room), ["subscribed", 1]);
  room.subscription.unsubscribe();
  world.server.publish("chat.a", 3);
  world.pass(100);
  assert.deepEqual(told(all), ["subscribed", 1, 2, 3]);
  assert.deepEqual(told(room), ["subscribed", 1]);
});

test("several subscriptions of a topic share it, also with a pattern that came first", () => {
  const world = new World();
  const client = world.client({ topicWindow: 4 });
  const heard = [world.record(client, "chat.>")];
  world.pass(100);
  world.server.publish("chat.a", 1);
  world.pass(100);
  for (let n = 0; n < 2; n += 1) heard.push(world.record(client, "chat.a"));
  world.pass(100);
  for (let data = 2; data <= 20; data += 1) world.server.publish("chat.a", data);
  world.pass(100);
  world.server.peer.cut();
  world.server.publish("chat.a", 21);
  world.pass(2000);
  const all = Array.from({ length: 21 }, (_, place) => place + 1);
  assert.deepEqual(told(heard[0] as never), ["subscribed", ...all]);
  for (const one of heard.slice(1)) assert.deepEqual(told(one), ["subscribed", ...all.slice(1)]);
});

test("what is published without a connection is sent once, in order, when there is one", async () => {
  const world = new World();
  world.server.isDown = true;
  const client = world.client({ backoff: { maxMs: 100 } });
  const published = [1, 2, 3].map((data) => client.publish("news", data));
  world.pass(5000);
  assert.equal(client.status.type, "waiting");
  world.server.isDown = false;
  world.pass(1000);
  assert.deepEqual(
    (await Promise.all(published)).map(({ offset }) => offset),
    [1, 2, 3],
  );
  assert.deepEqual(
    world.server.topic("news").log.map(({ data, pub }) => [data, pub.pseq]),
    [
      [1, 1],
      [2, 2],
      [3, 3],
    ],
  );
});

test("a value is published as it was", async () => {
  const world = new World();
  const client = world.client();
  const data = { list: [1] };
  const published = client.publish("news", data);
  data.list.push(2);
  world.pass(100);
  await published;
  assert.deepEqual(world.server.topic("news").log[0]?.data, { list: [1] });
});

test("bytes are published as bytes, as they were, whatever shows them", async () => {
  const world = new World();
  const client = world.client();
  const { buffer } = Uint8Array.of(9, 1, 2, 3, 4, 9);
  const views = [
    new Uint8Array(buffer, 1, 4),
    new DataView(buffer, 1, 4),
    new Int8Array(buffer, 1, 4),
    Buffer.from(buffer, 1, 4),
    buffer.slice(1, 5),
  ];
  const published = views.map((view) => client.publish("news", view));
  for (const view of views) {
    new Uint8Array(ArrayBuffer.isView(view) ? view.buffer : view).fill(0);
  }
  world.pass(100);
  await Promise.all(published);
  const said = world.server.heard("pub").map(({ b64 }) => b64);
  assert.deepEqual(
    said,
    Array.from(views, () => "AQIDBA=="),
  );
});

test("what JSON has nothing of is refused, and not published as an empty object", async () => {
  const world = new World();
  const client = world.client();
  const lost = [undefined, () => 1, new Blob(["x"]), new Map([[1, 2]]), Promise.resolve(1), 1n];
  for (const data of lost) await assert.rejects(client.publish("news", data), TypeError);
  const fine = [{}, Object.create(null), new (class Empty {})(), new Date(0), null];
  const published = fine.map((data) => client.publish("news", data));
  world.pass(100);
  await Promise.all(published);
  const said = world.server.topic("news").log.map(({ data }) => data);
  assert.deepEqual(said, [{}, {}, {}, "1970-01-01T00:00:00.000Z", null]);
});

test("one that closes the connection is refused to its caller, and the others go on", async () => {
  for (let oversize = 0; oversize < 6; oversize += 1) {
    const world = new World();
    const client = world.client({ backoff: { firstMs: 10, maxMs: 10 } });
    const news = world.record(client, "news");
    await connected(world, client);
    await finish(world, client.publish("news", "first"));
    world.server.messageBytesMax = 20_000;
    const all = Array.from({ length: 6 }, (_, n) => (n === oversize ? "x".repeat(20_000) : n));
    const published = Promise.allSettled(all.map((data) => client.publish("news", data)));
    world.pass(5000);
    const outcomes = await published;
    for (const [n, outcome] of outcomes.entries()) {
      if (n !== oversize) assert.equal(outcome.status, "fulfilled", `${oversize}: ${n}`);
      else {
        assert.equal(outcome.status, "rejected");
        assert.equal(outcome.reason.code, "too_large");
        assert.match(outcome.reason.message, /1009 too large \(limit\)/);
      }
    }
    assert.equal(client.status.type, "connected");
    assert.ok(world.server.opened.length <= 3, `${world.server.opened.length}`);
    const expected = [0, 1, 2, 3, 4, 5].filter((n) => n !== oversize);
    assert.deepEqual(told(news), ["subscribed", "first", ...expected]);
  }
});

test("two that close the connection are both refused, and it does not come back for ever", async () => {
  const world = new World();
  const client = world.client({ backoff: { firstMs: 10, maxMs: 10 } });
  await connected(world, client);
  world.server.messageBytesMax = 20_000;
  const large = "x".repeat(20_000);
  const published = Promise.allSettled(
    [1, large, 2, large, 3].map((data, n) => client.publish(`news${n % 2}`, data)),
  );
  world.pass(5000);
  const reasons = (await published).map((one) => (one.status === "rejected" ? one.reason.code : 0));
  assert.deepEqual(reasons, [0, "too_large", 0, "too_large", 0]);
  assert.ok(world.server.opened.length <= 5);
  const count = world.server.opened.length;
  world.pass(20_000);
  assert.equal(world.server.opened.length, count);
});

test("a close for a size that is no publication's stops it, as before", async () => {
  const world = new World();
  const client = world.client();
  await connected(world, client);
  world.server.peer.close(1009, "too large");
  world.pass(60_000);
  assert.equal(client.status.type, "stopped");
});

test("what is larger than the server said is not sent, to the byte, and nothing else waits", async () => {
  const world = new World();
  world.server.welcome = { limits: { ...LIMITS, message_bytes: 1000 } };
  world.server.messageBytesMax = 1000;
  const client = world.client();
  await connected(world, client);
  const length = (data: string): number =>
    JSON.stringify({ id: 9, pub: { topic: "n", pseq: 1, data } }).length;
  const fits = "x".repeat(1000 - length(""));
  const all = [fits, `${fits}x`, ...Array.from({ length: 50 }, () => "small")];
  const published = Promise.allSettled(
    all.map((data, n) => client.publish(n < 2 ? "n" : "m", data)),
  );
  world.pass(5000);
  const outcomes = await published;
  const reasons = outcomes.flatMap((one) => (one.status === "rejected" ? [one.reason] : []));
  assert.equal(reasons.length, 1);
  assert.equal(reasons[0].code, "too_large");
  assert.match(reasons[0].message, /1001 bytes.*message_bytes: 1000/);
  assert.equal(world.server.opened.length, 1);
});

test("those behind one that was refused before a cut are published", async () => {
  const world = new World();
  const client = world.client({ backoff: { firstMs: 10, maxMs: 10 } });
  await connected(world, client);
  await finish(world, client.publish("news", 0));
  world.server.answer = (peer, is, body) => {
    if (is !== "pub") return undefined;
    if (body.data === 1) return { err: { code: 102, name: "forbidden", text: "not you" } };
    // The refusal arrives, and nothing behind it.
    world.clock.after(2, () => peer.cut());
    return null;
  };
  const published = Promise.allSettled([1, 2, 3].map((data) => client.publish("news", data)));
  world.pass(3);
  world.server.answer = undefined;
  world.pass(5000);
  assert.deepEqual(
    (await published).map(({ status }) => status),
    ["rejected", "fulfilled", "fulfilled"],
  );
  assert.deepEqual(
    world.server.topic("news").log.map(({ data }) => data),
    [0, 2, 3],
  );
});

test("a later subscription of a topic that asks for a past of its own is refused, and says so", () => {
  const world = new World();
  for (let data = 1; data <= 3; data += 1) world.server.publish("news", data);
  const client = world.client();
  const first = world.record(client, "news", { from: { last: 1 } });
  const early = world.record(client, "news", { from: { last: 2 } });
  world.pass(100);
  const late = world.record(client, "news", { from: { last: 2 } });
  const plain = world.record(client, "news");
  world.pass(100);
  world.server.publish("news", 4);
  world.pass(100);
  assert.deepEqual(told(first), ["subscribed", 3, 4]);
  assert.deepEqual(told(plain), ["subscribed", 4]);
  for (const refused of [early, late]) {
    const [event] = refused.events;
    assert.deepEqual(told(refused), ["unsubscribed"]);
    assert.ok(event?.type === "unsubscribed" && event.error.code === "already");
    assert.match(event.error.message, /news: .*from.*history/);
  }
  assert.equal(client.status.type, "connected");
});

test("what was taken, and not answered before a cut, is published once", async () => {
  const world = new World();
  const client = world.client({ backoff: { firstMs: 10, maxMs: 10 } });
  await connected(world, client);
  const published = client.publish("news", 1);
  world.pass(1); // it is there, and its reply on the way
  world.server.peer.cut();
  world.pass(1000);
  assert.deepEqual((await published).duplicate, true);
  assert.equal(world.server.topic("news").end, 1);
});

test("what the server has forgotten may be published again only with an idem", async () => {
  const world = new World();
  const client = world.client({ backoff: { firstMs: 10, maxMs: 10 } });
  await connected(world, client);
  const doubtful = client.publish("news", 1);
  const keyed = client.publish("news", 2, { idem: "k" });
  world.pass(1);
  world.server.producers.clear();
  world.server.peer.cut();
  const refused = assert.rejects(doubtful, { code: "uncertain" });
  world.pass(1000);
  await refused;
  await keyed;
});

test("what a part of the server has lost is published again only with an idem, as it was", async () => {
  const world = new World();
  const client = world.client();
  await connected(world, client);
  await finish(world, client.publish("news", 0));
  let lost = 2;
  world.server.answer = ({ session }, is) => {
    if (is !== "pub" || lost === 0) return undefined;
    lost -= 1;
    session?.topics.clear();
    return { err: { code: 111, name: "unavailable", text: "its memory is gone" } };
  };
  const doubtful = assert.rejects(client.publish("news", 1), { code: "uncertain" });
  const keyed = client.publish("news", 2, { idem: "k" });
  world.pass(2000);
  await Promise.all([doubtful, keyed]);
  const [, , first, again] = world.server.heard("pub");
  assert.deepEqual(again, first);
});

test("a refusal for a time holds the order", async () => {
  const world = new World();
  const client = world.client();
  await connected(world, client);
  let refusals = 1;
  world.server.answer = (_peer, is) => {
    if (is !== "pub" || refusals === 0) return undefined;
    refusals -= 1;
    return { err: { code: 108, name: "rate_limited", text: "slowly", retry_ms: 500 } };
  };
  world.server.publish("news", 0);
  const published = [1, 2, 3].map((data) => client.publish("news", data));
  world.pass(2000);
  await Promise.all(published);
  assert.deepEqual(
    world.server.topic("news").log.map(({ data }) => data),
    [0, 1, 2, 3],
  );
});

test("a refusal for good is told, and does not stop those behind it", async () => {
  const world = new World();
  const client = world.client();
  await connected(world, client);
  await finish(world, client.publish("news", 0));
  world.server.answer = (_peer, is, body) =>
    is === "pub" && body.data === 1
      ? { err: { code: 102, name: "forbidden", text: "not you" } }
      : undefined;
  const refused = assert.rejects(client.publish("news", 1), { code: "forbidden" });
  const behind = [2, 3].map((data) => client.publish("news", data));
  world.pass(1000);
  await refused;
  await Promise.all(behind);
  assert.deepEqual(
    world.server.topic("news").log.map(({ data }) => data),
    [0, 2, 3],
  );
});

test("what waits to be published is bounded, in number and in time", async () => {
  const world = new World();
  world.server.isDown = true;
  const client = world.client({ publicationsMax: 2, publishTimeoutMs: 3000 });
  const waiting = [1, 2].map((data) =>
    assert.rejects(client.publish("a", data), { code: "timed_out" }),
  );
  await assert.rejects(client.publish("a", 3), { code: "full" });
  world.pass(3001);
  await Promise.all(waiting);
  await assert.rejects(client.publish("not a topic", 1), { code: "bad_request" });
});

test("a silent server is given up, and its subscriptions go on elsewhere", () => {
  const world = new World();
  const client = world.client({ backoff: { firstMs: 10, maxMs: 10 } });
  const news = world.record(client, "news");
  world.pass(100);
  world.server.publish("news", 1);
  world.pass(100);
  world.server.peer.isDead = true;
  world.server.publish("news", 2);
  world.pass(34_000);
  assert.equal(world.server.opened.length, 1);
  world.pass(2000);
  assert.equal(world.server.opened.length, 2);
  assert.deepEqual(told(news), ["subscribed", 1, 2]);
});

test("a ping is answered", () => {
  const world = new World();
  world.record(world.client(), "news");
  world.pass(100);
  world.server.peer.say({ ping: { t: 7 } });
  world.pass(100);
  assert.deepEqual(world.server.heard("pong"), [{ t: 7 }]);
});

test("after a sleep it asks first, and gives up within 3 s if nobody answers", () => {
  const world = new World();
  const client = world.client({ backoff: { firstMs: 10, maxMs: 10 } });
  world.record(client, "news");
  world.pass(100);
  world.clock.sleep(600_000);
  world.pass(100);
  assert.deepEqual(world.server.heard("pong"), [{}]);
  assert.equal(world.server.opened.length, 1, "it was there");
  world.server.peer.isDead = true;
  world.clock.sleep(600_000);
  world.pass(2900);
  assert.equal(world.server.opened.length, 1);
  world.pass(200);
  assert.equal(world.server.opened.length, 2);
});

test("a machine that slept is noticed by the time of day", () => {
  const world = new World();
  const client = world.client();
  world.record(client, "news");
  world.pass(100);
  world.clock.suspend(60_000);
  world.server.publish("news", 1);
  world.pass(100);
  assert.deepEqual(world.server.heard("pong"), [{}]);
});

test("it leaves a server that asks for it only when another connection carries everything", async () => {
  const world = new World();
  const client = world.client();
  const news = world.record(client, "news");
  const all = world.record(client, "*");
  world.pass(100);
  const [elder] = world.server.opened;
  world.server.publish("news", 1);
  elder?.say({ goaway: { deadline_ms: 10_000, spread_ms: 100, url: "ws://other/ws" } });
  world.pass(50);
  world.server.publish("news", 2);
  const published = client.publish("news", 3);
  world.pass(2000);
  await published;
  const next = world.server.peer;
  assert.equal(next.url, "ws://other/ws");
  assert.equal(elder?.open, false);
  assert.deepEqual(elder?.heard.at(-1), { bye: {} });
  assert.deepEqual(told(news), ["subscribed", 1, 2, 3]);
  assert.deepEqual(told(all), ["subscribed", 1, 2, 3]);
  const statuses = next.heard.filter((word) => "hello" in word);
  assert.equal(statuses.length, 1);
  assert.equal(client.status.type, "connected");
});

test("a place that is not encrypted is not followed from one that is", () => {
  const world = new World();
  const warnings: string[] = [];
  const client = world.client();
  client.on("warning", ({ message }) => warnings.push(message));
  world.record(client, "news");
  world.pass(100);
  world.server.peer.say({ closing: { code: 4200, reason: "", url: "wss://b/ws", spread_ms: 0 } });
  world.server.peer.close(4200);
  world.pass(2000);
  assert.equal(world.server.peer.url, "wss://b/ws");
  assert.deepEqual(warnings, []);
});

test("it comes back when the server says so: not before retry_ms, at once within spread_ms", () => {
  const world = new World();
  const client = world.client();
  world.record(client, "news");
  world.pass(20_000);
  world.server.peer.say({ closing: { code: 4100, reason: "full", retry_ms: 60_000 } });
  world.server.peer.close(4100);
  world.pass(59_000);
  assert.equal(world.server.opened.length, 1);
  world.pass(3000);
  assert.equal(world.server.opened.length, 2);
  world.pass(20_000);
  world.server.peer.say({ closing: { code: 4200, reason: "stop", spread_ms: 300 } });
  world.server.peer.close(4200);
  world.pass(310);
  assert.equal(world.server.opened.length, 3);
});

test("it stops where coming back would end the same way, and says what to do", async () => {
  const world = new World();
  const client = world.client();
  const news = world.record(client, "news");
  const published = assert.rejects(client.publish("news", 1), { code: "refused" });
  world.server.answer = (peer, is) => {
    if (is !== "hello") return undefined;
    peer.close(4003, "bad");
    return null;
  };
  world.pass(60_000);
  await published;
  assert.equal(world.server.opened.length, 1);
  assert.deepEqual(told(news), ["unsubscribed"]);
  assert.throws(() => client.subscribe("news"), { code: "refused", closeCode: 4003 });
});

test("a token is fetched when one is needed, and again before it expires", async () => {
  const world = new World();
  world.server.welcome = { expires_ms: 60_000 };
  let tokens = 0;
  const client = world.client({
    token: async () => {
      tokens += 1;
      return `token ${tokens}`;
    },
  });
  await connected(world, client);
  assert.equal(world.server.heard("hello")[0]?.token, "token 1");
  world.server.peer.say({ token_expiring: { in_ms: 30_000 } });
  world.pass(100);
  await settled();
  world.pass(100);
  assert.deepEqual(world.server.heard("auth"), [{ token: "token 2" }]);
});

test("one that expired in a sleep is replaced, and nothing is lost", async () => {
  const world = new World();
  world.server.welcome = { expires_ms: 60_000 };
  let tokens = 0;
  const client = world.client({
    token: () => {
      tokens += 1;
      return `token ${tokens}`;
    },
    backoff: { firstMs: 10, maxMs: 10 },
  });
  const news = world.record(client, "news");
  await connected(world, client);
  world.clock.sleep(600_000);
  world.server.publish("news", 1);
  world.server.peer.close(4203, "token expired");
  for (let turn = 0; turn < 5; turn += 1) {
    world.pass(200);
    await settled();
  }
  assert.equal(world.server.heard("hello").at(-1)?.token, "token 2");
  assert.deepEqual(told(news), ["subscribed", 1]);
});

test("a token that cannot be renewed ends the client", async () => {
  const world = new World();
  const client = world.client({ token: "old" });
  world.server.answer = (peer, is) => {
    if (is !== "hello") return undefined;
    peer.close(4001, "the signature is wrong");
    return null;
  };
  const connecting = assert.rejects(client.connect(), { code: "bad_token" });
  world.pass(1000);
  await connecting;
});

test("a source of tokens that fails is asked again", async () => {
  const world = new World();
  let asked = 0;
  const client = world.client({
    token: () => {
      asked += 1;
      if (asked === 1) throw new Error("offline");
      return "t";
    },
  });
  const statuses: Status[] = [];
  client.on("status", (status) => statuses.push(status));
  void client.connect();
  for (let turn = 0; turn < 5; turn += 1) {
    await settled();
    world.pass(500);
  }
  assert.deepEqual(
    statuses.map(({ type }) => type),
    ["connecting", "waiting", "connecting", "connected"],
  );
});

test("who does not read is not sent more than the window, and loses nothing", async () => {
  const world = new World();
  const client = world.client({ topicWindow: 10, window: 100 });
  const news = client.subscribe<number>("news");
  world.pass(100);
  for (let data = 1; data <= 50; data += 1) world.server.publish("news", data);
  world.pass(1000);
  assert.equal(world.server.peer.deliveries.get("news")?.sent, 10);
  const heard: number[] = [];
  for await (const message of news.messages()) {
    heard.push(message.data);
    world.pass(10);
    if (heard.length === 50) break;
  }
  assert.deepEqual(
    heard,
    Array.from({ length: 50 }, (_, place) => place + 1),
  );
  world.pass(100);
  assert.equal(world.server.peer.subs.size, 0, "to leave the loop ends the subscription");
});

test("a loop that waits ends with its subscription, or with the client", async () => {
  const world = new World();
  const client = world.client();
  const one = client.subscribe("news");
  const other = client.subscribe("news");
  await connected(world, client);
  const all = async (events: AsyncIterable<{ type: string }>): Promise<string[]> => {
    const types: string[] = [];
    for await (const { type } of events) types.push(type);
    return types;
  };
  const loops = [all(one), all(one), all(other)];
  await settled();
  one.unsubscribe();
  await settled();
  await finish(world, client.close());
  const [first, second, third] = await Promise.all(loops);
  assert.deepEqual([...(first ?? []), ...(second ?? [])], ["subscribed"]);
  assert.deepEqual(third, ["subscribed", "unsubscribed"]);
});

test("a handler that returns a promise is waited for", async () => {
  const world = new World();
  const client = world.client({ topicWindow: 4 });
  const heard: number[] = [];
  let go = (): void => {};
  client.subscribe<number>("news", ({ data }) => {
    heard.push(data);
    return new Promise<void>((resolve) => {
      go = resolve;
    });
  });
  world.pass(100);
  for (let data = 1; data <= 20; data += 1) world.server.publish("news", data);
  world.pass(100);
  assert.deepEqual(heard, [1]);
  for (let turn = 0; turn < 30; turn += 1) {
    go();
    await settled();
    world.pass(10);
  }
  assert.equal(heard.length, 20);
});

test("a server that forgot says so, and the stream goes on", () => {
  const world = new World();
  const client = world.client({ backoff: { firstMs: 10, maxMs: 10 } });
  const news = world.record(client, "news");
  const all = world.record(client, "*");
  world.pass(100);
  world.server.publish("news", 1);
  world.pass(100);
  world.server.restart();
  world.server.publish("news", 2);
  world.pass(1000);
  world.server.publish("news", 3);
  world.pass(100);
  assert.deepEqual(told(news), ["subscribed", 1, "reset", 3]);
  assert.deepEqual(told(all), ["subscribed", 1, "reset", 3]);
  assert.deepEqual(
    messages(news).map(({ offset }) => offset),
    [1, 2],
  );
});

test("a subscription that is refused for a time is asked for again; one for good ends", () => {
  const world = new World();
  const warnings: string[] = [];
  const client = world.client();
  client.on("warning", ({ code }) => warnings.push(code));
  client.connect().catch(() => {});
  world.pass(100);
  let refusals = 2;
  world.server.answer = (_peer, is, body) => {
    if (is !== "sub") return undefined;
    if (body.topic === "secret") return { err: { code: 102, name: "forbidden", text: "not you" } };
    refusals -= 1;
    return refusals < 0 ? undefined : { err: { code: 115, name: "overloaded", text: "later" } };
  };
  const news = world.record(client, "news");
  const secret = world.record(client, "secret");
  world.pass(100);
  assert.deepEqual(told(news), []);
  world.pass(5000);
  assert.deepEqual(told(news), ["subscribed"]);
  assert.deepEqual(warnings, ["overloaded", "overloaded"]);
  assert.deepEqual(told(secret), ["unsubscribed"]);
});

test("a page of history waits for a connection", async () => {
  const world = new World();
  for (let data = 1; data <= 5; data += 1) world.server.publish("news", data);
  const client = world.client();
  const newest = history<number>(client, "news", { limit: 2 });
  const page = await finish(world, newest);
  assert.deepEqual(
    page.messages.map(({ data, offset }) => [data, offset]),
    [
      [4, 4],
      [5, 5],
    ],
  );
  const before = history<number>(client, "news", { before: page.messages[0], limit: 10 });
  assert.deepEqual(
    (await finish(world, before)).messages.map(({ data }) => data),
    [1, 2, 3],
  );
});

test("a server that breaks the protocol is left, and asked again later", () => {
  for (const word of [
    "nonsense",
    '{"msg":{"t":77,"o":1,"ts":0,"pub":{"user":"","conn":""},"data":1}}',
    '{"id":99,"ok":{}}',
  ]) {
    const world = new World();
    const client = world.client();
    world.record(client, "news");
    world.pass(100);
    world.server.peer.raw(word);
    world.pass(100);
    world.pass(1000);
    assert.equal(world.server.opened.length, 2, word);
    assert.equal(client.status.type, "connected");
  }
});

test("to close it finishes what was published, then says good-bye", async () => {
  const world = new World();
  const client = world.client();
  const news = world.record(client, "news");
  world.pass(100);
  const published = client.publish("news", 1);
  const closed = client.close();
  world.pass(100);
  await published;
  await closed;
  assert.deepEqual(told(news), ["subscribed", "unsubscribed"]);
  assert.equal(client.status.type, "stopped");
  assert.equal(world.server.peers.size, 0);
  assert.equal(world.clock.waiting, 0, "no alarm is left behind");
  await assert.rejects(client.publish("news", 1), { code: "closed" });
});

test("one that is closed before it is connected only says that it is closing", async () => {
  const world = new World();
  const client = world.client();
  const published = client.publish("news", 1);
  const seen: string[] = [];
  client.on("status", ({ type }) => seen.push(type));
  const closed = client.close();
  await finish(world, closed);
  assert.equal((await published).offset, 1);
  assert.deepEqual(seen, ["closing", "stopped"]);
});

test("a handler that throws does not stop the others", () => {
  const world = new World();
  const client = world.client();
  const thrown: (() => void)[] = [];
  const { queueMicrotask } = globalThis;
  globalThis.queueMicrotask = (call) => thrown.push(call);
  client.subscribe("news", () => {
    throw new Error("mine");
  });
  const news = world.record(client, "news");
  world.pass(100);
  world.server.publish("news", 1);
  world.pass(100);
  globalThis.queueMicrotask = queueMicrotask;
  assert.equal(thrown.length, 1);
  assert.throws(() => thrown[0]?.(), /mine/);
  assert.deepEqual(told(news), ["subscribed", 1]);
});

async function connected(world: World, client: ReturnType<World["client"]>): Promise<void> {
  await finish(world, client.connect());
}

async function finish<T>(world: World, promise: Promise<T>): Promise<T> {
  for (let turn = 0; turn < 20; turn += 1) {
    await settled();
    world.pass(5);
  }
  return promise;
}
