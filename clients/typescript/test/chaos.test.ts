/**
 * Connections are cut at any moment, from seeds: nothing is lost silently, doubled or reordered, and
 * what is published is published once. CHAOS_SEED runs one seed again, CHAOS_SEEDS so many.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { StreamEvent } from "../src/events.js";
import type { Published } from "../src/outbox.js";
import { random, settled } from "./clock.js";
import { World } from "./world.js";

const ROOMS = ["chat.a", "chat.b", "chat.c"];

interface Sent {
  readonly topic: string;
  readonly data: string;
  outcome: Published | Error | undefined;
}

/** Whether the events of each topic account for every offset once, in order. */
function checkCoverage(events: readonly StreamEvent[], where: string): void {
  const heard = new Map<string, { epoch: string; offset: number }>();
  for (const event of events) {
    if (event.type === "reset") {
      if (event.topic === undefined) heard.clear();
      else if (event.position !== undefined) heard.set(event.topic, { ...event.position });
    } else if (event.type === "message") {
      const known = heard.get(event.topic);
      if (known !== undefined) {
        assert.equal(
          event.epoch,
          known.epoch,
          `${where}: ${event.topic} changed its epoch in silence`,
        );
        assert.equal(
          event.offset,
          known.offset + 1,
          `${where}: ${event.topic} after ${known.offset}`,
        );
      }
      heard.set(event.topic, { epoch: event.epoch, offset: event.offset });
    } else if (event.type === "gap") {
      const known = heard.get(event.topic);
      if (known === undefined) continue;
      assert.equal(event.from, known.offset + 1, `${where}: a gap`);
      known.offset = event.to;
    }
  }
}

async function chaos(seed: number, restarts: boolean): Promise<void> {
  const world = new World(seed);
  const { server } = world;
  const dice = random(seed * 7919 + 1);
  const pick = (below: number): number => Math.floor(dice() * below);
  // The order on one connection holds: latencies only grow within it, as they do with TCP.
  let last = 0;
  server.latency = () => {
    last = Math.max(last, world.clock.now() + pick(4));
    return last - world.clock.now();
  };
  server.retained = restarts ? 20 : 10_000;
  const options = { backoff: { firstMs: 50, maxMs: 400 }, topicWindow: 4 + pick(8) };
  const reader = world.client(options);
  const streams = [
    ...ROOMS.map((room) => world.record(reader, room)),
    world.record(reader, "chat.>"),
    world.record(reader, "chat.*"),
  ];
  const writers = [world.client(options), world.client(options)];
  const sent: Sent[][] = writers.map(() => []);
  world.pass(100);
  for (let step = 0; step < 150; step += 1) {
    const peers = [...server.peers];
    const what = pick(20);
    const who = pick(2);
    if (what < 11) {
      const one: Sent = {
        topic: ROOMS[pick(3)] as string,
        data: `${who}:${step}`,
        outcome: undefined,
      };
      sent[who]?.push(one);
      writers[who]?.publish(one.topic, one.data).then(
        (outcome) => {
          one.outcome = outcome;
        },
        (error) => {
          one.outcome = error;
        },
      );
    } else if (what < 14 && peers.length > 0) {
      peers[pick(peers.length)]?.cut();
    } else if (what === 14 && peers.length > 0) {
      peers[pick(peers.length)]?.say({ goaway: { deadline_ms: 5000, spread_ms: pick(50) } });
    } else if (what === 15) {
      server.isDown = !server.isDown;
    } else if (what === 16) {
      server.tellPositions();
    } else if (what === 17 && restarts && pick(4) === 0) {
      server.restart();
    } else if (what === 18 && peers.length > 0) {
      const peer = peers[pick(peers.length)];
      if (peer !== undefined) peer.isDead = true;
    }
    world.pass(pick(30));
    await settled();
  }
  server.isDown = false;
  for (let wait = 0; wait < 20; wait += 1) {
    world.pass(5000);
    await settled();
  }
  const where = `seed ${seed}`;
  for (const { events } of streams) checkCoverage(events, where);
  for (const stream of streams) {
    for (const room of ROOMS) {
      const { subject } = stream.subscription;
      if (!subject.endsWith(">") && !subject.endsWith("*") && subject !== room) continue;
      const { end } = server.topic(room);
      const heard = stream.events.filter((event) => "topic" in event && event.topic === room);
      if (restarts) continue;
      assert.ok(!heard.some(({ type }) => type !== "message"), `${where}: only messages: ${room}`);
      const offsets = heard.map((event) => (event.type === "message" ? event.offset : 0));
      assert.deepEqual(
        offsets,
        Array.from({ length: end }, (_, place) => place + 1),
        `${where}: ${subject} has all of ${room}`,
      );
    }
  }
  for (const publications of sent) {
    for (const { outcome, data } of publications) {
      assert.ok(outcome !== undefined, `${where}: ${data} has an outcome`);
      if (!restarts) assert.ok(!(outcome instanceof Error), `${where}: ${data}: ${outcome}`);
    }
  }
  if (restarts) return;
  for (const room of ROOMS) {
    const log = server.topic(room).log.map(({ data }) => data as string);
    for (const [who, publications] of sent.entries()) {
      const mine = log.filter((data) => data.startsWith(`${who}:`));
      const wanted = publications.filter(({ topic }) => topic === room).map(({ data }) => data);
      assert.deepEqual(mine, wanted, `${where}: each once and in order in ${room}`);
    }
  }
}

const only = process.env.CHAOS_SEED;
const seeds = only === undefined ? Number(process.env.CHAOS_SEEDS ?? 150) : 1;
const first = Number(only ?? 1);

test(`nothing is lost, doubled or reordered: seeds ${first} to ${first + seeds - 1}`, async () => {
  for (let seed = first; seed < first + seeds; seed += 1) await chaos(seed, false);
});

test("where the server forgets, that is told", async () => {
  for (let seed = first; seed < first + seeds; seed += 1) await chaos(seed, true);
});
