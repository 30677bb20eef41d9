/** Thousands of connections that come and go leave nothing behind. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { presence } from "../src/presence.js";
import { World } from "./world.js";

const WARM_UP = 1000;
const ROUNDS = 4000;
/** What the heap may grow by, at most: less than a connection a round would. */
const GROWTH_BYTES = 400_000;

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

function heapBytes(): number {
  collect();
  return process.memoryUsage().heapUsed;
}

test(`${ROUNDS} reconnects cost no memory`, () => {
  const world = new World();
  // What the model keeps is not what is measured.
  world.server.retained = 20;
  const client = world.client({ backoff: { firstMs: 1, maxMs: 1 } });
  let heard = 0;
  client.subscribe("news", () => {
    heard += 1;
  });
  client.subscribe("chat.>", {});
  presence(client.subscribe("room", {}, { presence: "both" })).set("here");
  world.pass(100);
  const round = (number: number): void => {
    world.server.publish("news", number);
    world.server.publish(`chat.room${number % 10}`, number);
    world.server.tellPositions();
    world.pass(20);
    world.server.peer.cut();
    world.server.opened.length = 0;
    world.pass(20);
  };
  for (let number = 0; number < WARM_UP; number += 1) round(number);
  const before = heapBytes();
  for (let number = 0; number < ROUNDS; number += 1) round(number);
  const grown = heapBytes() - before;
  assert.equal(heard, WARM_UP + ROUNDS);
  assert.ok(grown < GROWTH_BYTES, `${grown} bytes more after ${ROUNDS} reconnects`);
  assert.ok(world.clock.waiting <= 2, `${world.clock.waiting} alarms`);
});
