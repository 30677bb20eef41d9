/** Tabs that share a connection, with locks and channels of a test. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { StreamEvent } from "../src/events.js";
import { history } from "../src/history.js";
import { type Channel, type Locks, TabsClient } from "../src/tabs.js";
import { settled } from "./clock.js";
import { World } from "./world.js";

class Browser {
  readonly world = new World();
  readonly #channels = new Map<string, Set<Channel & { readonly tab: number }>>();
  readonly #locks = new Map<string, { tab: number; run: () => void; free: () => void }[]>();
  readonly tabs: TabsClient[] = [];

  open(): TabsClient {
    const tab = this.tabs.length;
    const { clock, server } = this.world;
    const client = new TabsClient("ws://server/ws", {
      clock,
      transport: server.transport,
      random: this.world.random,
      locks: this.#locksOf(tab),
      channel: (name) => this.#channelOf(name, tab),
    });
    this.tabs.push(client);
    return client;
  }

  /** The tab is gone without a word. */
  crash(client: TabsClient): void {
    const tab = this.tabs.indexOf(client);
    if (client.isLeading) this.world.server.peer.drop();
    for (const channels of this.#channels.values()) {
      for (const channel of [...channels]) if (channel.tab === tab) channels.delete(channel);
    }
    for (const queue of this.#locks.values()) {
      for (const waiting of queue.filter((one) => one.tab === tab)) waiting.free();
    }
  }

  async pass(ms: number): Promise<void> {
    for (let step = 0; step < 5; step += 1) {
      await settled();
      this.world.pass(ms / 5);
    }
    await settled();
  }

  #channelOf(name: string, tab: number): Channel {
    const channels = this.#channels.get(name) ?? new Set();
    this.#channels.set(name, channels);
    const channel: Channel & { readonly tab: number } = {
      tab,
      onmessage: null,
      postMessage(message) {
        const data: unknown = structuredClone(message);
        for (const other of channels) {
          if (other !== channel)
            queueMicrotask(() => channels.has(other) && other.onmessage?.({ data }));
        }
      },
      close: () => channels.delete(channel),
    };
    channels.add(channel);
    return channel;
  }

  #locksOf(tab: number): Locks {
    return {
      request: (name, hold) =>
        new Promise((resolve) => {
          const queue = this.#locks.get(name) ?? [];
          this.#locks.set(name, queue);
          const free = (): void => {
            const place = queue.indexOf(one);
            if (place < 0) return;
            queue.splice(place, 1);
            if (place === 0) queue[0]?.run();
          };
          const run = (): void => {
            queueMicrotask(() => {
              hold().then(() => {
                free();
                resolve(undefined);
              });
            });
          };
          const one = { tab, run, free };
          queue.push(one);
          if (queue.length === 1) run();
        }),
    };
  }
}

function record(client: TabsClient, subject: string, options = {}): { events: StreamEvent[] } {
  const events: StreamEvent[] = [];
  const note = (event: StreamEvent): void => {
    events.push(event);
  };
  const handlers = { message: note, subscribed: note, gap: note, reset: note, unsubscribed: note };
  client.subscribe(subject, handlers, options);
  return { events };
}

const short = ({ events }: { events: StreamEvent[] }): unknown[] =>
  events.map((event) => (event.type === "message" ? event.data : event.type));

test("ten tabs have one connection, and all of them hear", async () => {
  const browser = new Browser();
  const tabs = Array.from({ length: 10 }, () => browser.open());
  const heard = tabs.map((tab) => record(tab, "news"));
  await browser.pass(100);
  browser.world.server.publish("news", 1);
  await browser.pass(100);
  assert.equal(browser.world.server.opened.length, 1);
  for (const one of heard) assert.deepEqual(short(one), ["subscribed", 1]);
  assert.deepEqual(
    tabs.map(({ isLeading }) => isLeading),
    [true, ...Array.from({ length: 9 }, () => false)],
  );
  for (const { status } of tabs) assert.equal(status.type, "connected");
});

test("another tab takes over from one that is gone: nothing is lost or doubled", async () => {
  const browser = new Browser();
  const [first, second, third] = [browser.open(), browser.open(), browser.open()];
  const heard = [second, third].map((tab) => record(tab, "news"));
  await browser.pass(100);
  const { server } = browser.world;
  server.publish("news", 1);
  await browser.pass(100);
  browser.crash(first);
  server.publish("news", 2);
  const published = second.publish("news", 3);
  await browser.pass(2000);
  assert.equal(second.isLeading, true);
  assert.deepEqual(await published, {
    epoch: server.topic("news").epoch,
    offset: 3,
    duplicate: false,
  });
  for (const one of heard) assert.deepEqual(short(one), ["subscribed", 1, 2, 3]);
});

test("each tab has the past that it asks for", async () => {
  const browser = new Browser();
  const tabs = [browser.open(), browser.open(), browser.open(), browser.open()] as const;
  const { server } = browser.world;
  server.retained = 8;
  for (let data = 1; data <= 10; data += 1) server.publish("news", data);
  await browser.pass(100);
  const { epoch } = server.topic("news");
  const heard: { events: StreamEvent[] }[] = [];
  const froms = [{ last: 3 }, { last: 5 }, { epoch, offset: 1 }, { epoch: "old", offset: 3 }];
  for (const [at, from] of froms.entries()) {
    heard.push(record(tabs[at] as TabsClient, "news", { from }));
    await browser.pass(100);
  }
  server.publish("news", 11);
  await browser.pass(100);
  assert.deepEqual(heard.map(short), [
    ["subscribed", 8, 9, 10, 11],
    ["subscribed", 6, 7, 8, 9, 10, 11],
    ["subscribed", "gap", 3, 4, 5, 6, 7, 8, 9, 10, 11],
    ["subscribed", "reset", 11],
  ]);
});

test("what a tab that is gone wanted is not wanted any more", async () => {
  const browser = new Browser();
  browser.open();
  const second = browser.open();
  record(second, "news");
  await browser.pass(100);
  assert.equal(browser.world.server.peer.subs.size, 1);
  browser.crash(second);
  await browser.pass(100);
  assert.equal(browser.world.server.peer.subs.size, 0);
});

test("publications and history of any tab are answered, and errors are errors", async () => {
  const browser = new Browser();
  const [first, second] = [browser.open(), browser.open()];
  await browser.pass(100);
  const published = [first.publish("news", "a"), second.publish("news", new Uint8Array([7]))];
  await browser.pass(100);
  assert.deepEqual(
    (await Promise.all(published)).map(({ offset }) => offset),
    [1, 2],
  );
  const page = history(second, "news");
  await browser.pass(100);
  assert.equal((await page).messages.length, 2);
  await assert.rejects(second.publish("a b", 1), { code: "bad_request" });
  browser.world.server.answer = (_peer, is) =>
    is === "pub" ? { err: { code: 102, name: "forbidden", text: "no" } } : undefined;
  const refused = assert.rejects(second.publish("news", 1), {
    name: "CorewireError",
    code: "forbidden",
  });
  await browser.pass(100);
  await refused;
});

test("a tab that is closed lets another one lead", async () => {
  const browser = new Browser();
  const [first, second] = [browser.open(), browser.open()];
  const heard = record(second, "news");
  await browser.pass(100);
  const closed = first.close();
  await browser.pass(100);
  await closed;
  await browser.pass(1000);
  assert.equal(second.isLeading, true);
  browser.world.server.publish("news", 1);
  await browser.pass(100);
  assert.deepEqual(short(heard), ["subscribed", 1]);
  await assert.rejects(first.publish("news", 1), { code: "closed" });
});

test("without locks a tab has a connection of its own", async () => {
  const world = new World();
  const { clock, server } = world;
  const client = new TabsClient("ws://server/ws", { clock, transport: server.transport });
  const heard = record(client, "news");
  world.pass(100);
  server.publish("news", 1);
  world.pass(100);
  assert.equal(client.isLeading, true);
  assert.deepEqual(short(heard), ["subscribed", 1]);
});
