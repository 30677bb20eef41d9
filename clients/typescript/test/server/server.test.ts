/** The client against a real server, in both dialects. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Client } from "../../src/client.js";
import { CorewireError } from "../../src/errors.js";
import type { Message, StreamEvent } from "../../src/events.js";
import { history } from "../../src/history.js";
import { json } from "../../src/json.js";
import { presence, state } from "../../src/presence.js";
import { client, DIALECTS, type RealServer, start, until } from "./start.js";

const OPTIONS = { timeout: 60_000 };

let server: RealServer;
const clients: Client[] = [];

before(async () => {
  server = await start();
});

after(async () => {
  await Promise.all(clients.map((one) => one.close()));
  await server.stop();
});

let topics = 0;
/** A name that no other test has. */
function room(): string {
  topics += 1;
  return `test.room${topics}`;
}

/** Text that does not compress well: one that does meets another limit. */
function noise(length: number): string {
  let text = "";
  for (let seed = 1; text.length < length; seed = (seed * 48_271) % 0x7fff_ffff) {
    text += seed.toString(36);
  }
  return text.slice(0, length);
}

for (const dialect of DIALECTS) {
  const open = (user: string): ReturnType<typeof client> => {
    const one = client(server.url, { dialect, user });
    clients.push(one.client);
    return one;
  };

  describe(`in ${dialect.subprotocol}`, OPTIONS, () => {
    test("a subscriber gets what is published, by all who publish", async () => {
      const topic = room();
      const ann = open("ann").client;
      const bob = open("bob").client;
      const heard: Message[] = [];
      let subscribed = false;
      ann.subscribe(topic, {
        subscribed: () => {
          subscribed = true;
        },
        message: (message) => heard.push(message),
      });
      await until(() => subscribed);
      const bytes = new Uint8Array([0, 1, 254, 255]);
      const first = await bob.publish(topic, { text: "hé" }, { key: "k", tags: { a: "b" } });
      await ann.publish(topic, bytes);
      await until(() => heard.length === 2);
      const [one, two] = heard;
      assert.deepEqual(one?.data, { text: "hé" });
      assert.deepEqual([one?.offset, one?.epoch], [first.offset, first.epoch]);
      assert.deepEqual([one?.key, one?.tags, one?.publisher.user], ["k", { a: "b" }, "bob"]);
      assert.deepEqual(two?.data, bytes);
    });

    test("several subscriptions of a client share a topic", async () => {
      const topic = room();
      const ann = open("ann");
      const heard: unknown[][] = [];
      const subscribe = async (subject: string, options = {}): Promise<void> => {
        const events: unknown[] = [];
        const note = (event: StreamEvent): void => {
          events.push(event.type === "message" ? event.data : event.type);
        };
        const handlers = { message: note, gap: note, reset: note, unsubscribed: note };
        await new Promise<unknown>((subscribed) =>
          ann.client.subscribe(subject, { ...handlers, subscribed }, options),
        );
        heard.push(events);
      };
      await subscribe("test.*");
      await ann.client.publish(topic, 0);
      await subscribe(topic, { policy: { mode: "all" } });
      await subscribe(topic);
      await ann.client.publish(topic, 1);
      ann.cut();
      await ann.client.publish(topic, 2);
      await until(() => heard.every((events) => events.includes(2)));
      assert.deepEqual(heard, [
        [0, 1, 2],
        [1, 2],
        [1, 2],
      ]);
    });

    test("an iterator gets the same, and ends the subscription when it is left", async () => {
      const topic = room();
      const ann = open("ann").client;
      await ann.publish(topic, 0);
      const heard: unknown[] = [];
      const subscription = ann.subscribe<number>(topic, undefined, { from: { last: 10 } });
      ann.send(topic, 1);
      for await (const { data } of subscription.messages()) {
        heard.push(data);
        if (data === 1) break;
      }
      assert.deepEqual(heard, [0, 1]);
    });

    test("what is wrong is said, with what to do", async () => {
      const ann = open("ann").client;
      assert.throws(() => ann.subscribe("a b"), CorewireError);
      await assert.rejects(ann.publish("a.>", 1), { code: "bad_request" });
      await assert.rejects(ann.publish(room(), "x".repeat(2_000_000)), { code: "too_large" });
    });

    test("a message up to the limit passes, and none larger", async () => {
      const { client } = open("ann");
      const topic = room();
      const limit = 1 << 20;
      // More than the words around them take.
      for (const bytes of [70_000, limit - 2200]) await client.publish(topic, noise(bytes));
      await assert.rejects(client.publish(topic, "x".repeat(limit)), {
        code: "too_large",
        message: /message_bytes: 1048576/,
      });
      assert.equal((await client.publish(topic, 1)).offset, 3);
    });

    test("bytes travel as bytes, whatever shows them", async () => {
      const { client } = open("ann");
      const topic = room();
      const reader = client.subscribe(topic).messages();
      await client.connect();
      const bytes = Uint8Array.of(0, 1, 254, 255);
      for (const data of [
        bytes.buffer,
        new DataView(bytes.buffer),
        new Uint16Array(bytes.buffer),
      ]) {
        await client.publish(topic, data);
        assert.deepEqual((await reader.next()).value?.data, bytes);
      }
    });

    // What types refuse, and JavaScript does not: it is said by name, and nothing is thrown aside.
    if (dialect === json) {
      for (const [option, value] of [
        ["policy", "latest"],
        ["from", "start"],
        ["presence", "yes"],
      ] as const) {
        test(`a ${option} that is none is named, and stops nothing else`, async () => {
          const ann = open("ann").client;
          const topic = room();
          const heard: unknown[] = [];
          ann.subscribe(topic, ({ data }) => heard.push(data));
          const bad = ann.subscribe(room(), undefined, { [option]: value } as object);
          const also = ann.subscribe(room(), undefined, { watch: ["Typing"] });
          await assert.rejects(bad.messages().next(), new RegExp(`${option}: found "${value}"`));
          await assert.rejects(also.messages().next(), /watch\[0\]: found "Typing"/);
          await ann.publish(topic, 1);
          await until(() => heard.length === 1);
        });
      }
    }

    test("a cut is not noticed: nothing is lost, doubled or reordered", async () => {
      const topic = room();
      const reader = open("ann");
      const writer = open("bob");
      const events: StreamEvent[] = [];
      const note = (event: StreamEvent): void => {
        events.push(event);
      };
      reader.client.subscribe(topic, { message: note, gap: note, reset: note });
      reader.client.subscribe("test.*", { gap: note, reset: note });
      await reader.client.connect();
      const published: Promise<unknown>[] = [];
      for (let number = 0; number < 300; number += 1) {
        published.push(writer.client.publish(topic, number));
        if (number % 60 === 30) reader.cut();
        if (number % 75 === 50) writer.cut();
        if (number % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
      }
      await Promise.all(published);
      await until(() => events.length >= 300);
      const data = events.map((event) => (event.type === "message" ? event.data : event));
      assert.deepEqual(
        data,
        Array.from({ length: 300 }, (_, number) => number),
      );
    });

    test("a pattern goes on where it was, too", async () => {
      const reader = open("ann");
      const writer = open("bob").client;
      const level = room().replace(".", "-");
      const heard: string[] = [];
      const others: string[] = [];
      const note = ({ type }: StreamEvent): void => {
        others.push(type);
      };
      const message = ({ topic, data }: Message): void => {
        heard.push(`${topic} ${data}`);
      };
      reader.client.subscribe(`${level}.>`, { message, gap: note, reset: note });
      await reader.client.connect();
      await writer.publish(`${level}.a`, 1);
      await until(() => heard.length === 1);
      reader.cut();
      await writer.publish(`${level}.a`, 2);
      await writer.publish(`${level}.b`, 1);
      await until(() => heard.length === 3);
      reader.cut();
      await writer.publish(`${level}.b`, 2);
      await until(() => heard.length === 4);
      assert.deepEqual(others, []);
      assert.deepEqual(
        heard.sort(),
        [1, 2].flatMap((n) => [`${level}.a ${n}`, `${level}.b ${n}`]).sort(),
      );
    });

    test("history is read a page at a time, both ways", async () => {
      const topic = room();
      const ann = open("ann").client;
      for (let number = 1; number <= 10; number += 1) await ann.publish(topic, number);
      const newest = await history<number>(ann, topic, { limit: 4 });
      assert.deepEqual(
        newest.messages.map(({ data }) => data),
        [7, 8, 9, 10],
      );
      assert.equal(newest.complete, false);
      const [first] = newest.messages;
      const before = await history<number>(ann, topic, { before: first, limit: 100 });
      assert.deepEqual(
        before.messages.map(({ data }) => data),
        [1, 2, 3, 4, 5, 6],
      );
      assert.equal(before.complete, true);
      const forward = await history<number>(ann, topic, { after: "start", limit: 3 });
      assert.deepEqual(
        forward.messages.map(({ data }) => data),
        [1, 2, 3],
      );
      const next = forward.messages.at(-1);
      const rest = await history<number>(ann, topic, { after: next });
      assert.equal(rest.messages.length, 7);
    });

    test("who is there is seen, once for each user", async () => {
      const topic = room();
      const watch = { presence: "both" } as const;
      const ann = open("ann").client;
      const here = presence<{ name: string }>(ann.subscribe(topic, {}, watch));
      here.set({ name: "Ann" });
      await until(() => here.users.has("ann"));
      const tabs = [open("bob").client, open("bob").client];
      for (const tab of tabs)
        presence(tab.subscribe(topic, {}, { presence: "announce" })).set({ name: "Bob" });
      await until(() => here.users.get("bob") === 2);
      const gone: string[] = [];
      here.onChange(({ usersRemoved }) => gone.push(...usersRemoved));
      await tabs[0]?.close();
      await until(() => here.users.get("bob") === 1);
      assert.deepEqual(gone, []);
      await tabs[1]?.close();
      await until(() => gone.length > 0);
      assert.deepEqual(gone, ["bob"]);
      assert.deepEqual(
        [...here.entries.values()].map(({ value }) => value),
        [{ name: "Ann" }],
      );
    });

    test("who is typing is seen, until it is over", async () => {
      const topic = room();
      const watch = { watch: ["typing"] };
      const ann = open("ann").client;
      const typing = state<boolean>(ann.subscribe(topic, {}, watch), "typing");
      const bob = open("bob").client;
      let stands = false;
      const his = state<boolean>(
        bob.subscribe(topic, { subscribed: () => (stands = true) }, watch),
        "typing",
      );
      await until(() => stands && ann.status.type === "connected");
      his.set(true, { ttlMs: 500 });
      await until(() => typing.users.has("bob"));
      await until(() => typing.users.size === 0);
      his.set(true);
      await until(() => typing.users.has("bob"));
      his.clear();
      await until(() => typing.users.size === 0);
    });

    test("connections that come and go leave nothing behind", async () => {
      const topic = room();
      const one = open("ann");
      const heard: unknown[] = [];
      one.client.subscribe(topic, ({ data }) => heard.push(data));
      for (let round = 0; round < 60; round += 1) {
        await one.client.publish(topic, round);
        one.cut();
      }
      await until(() => heard.length === 60);
      assert.equal(new Set(heard).size, 60);
    });
  });
}

test("a server that is started again is told from one that was away", OPTIONS, async () => {
  const first = await start();
  const port = Number(new URL(first.url).port);
  const { client: ann } = client(first.url, { backoff: { firstMs: 50, maxMs: 300 } });
  const events: StreamEvent[] = [];
  const note = (event: StreamEvent): void => {
    events.push(event);
  };
  const topic = room();
  ann.subscribe(topic, { message: note, reset: note, gap: note });
  await ann.publish(topic, "before");
  await until(() => events.length === 1);
  await first.stop("SIGKILL");
  const waiting = [1, 2, 3].map((number) => ann.publish(topic, number));
  const second = await start(port);
  await Promise.all(waiting);
  await until(() => events.length >= 5);
  assert.deepEqual(
    events.map((event) => (event.type === "message" ? event.data : event.type)),
    ["before", "reset", 1, 2, 3],
  );
  await ann.close();
  await second.stop();
});
