// Tabs of one browser that share a connection: `corewire/tabs` with real locks and channels.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { expect } from "./expect.mjs";
import { Server, Site } from "./server.mjs";

let browser;
let site;
let server;

before(async () => {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
  site = await Site.of(process.env.CLIENT);
  server = await Server.start("--allow-origin", site.origin);
});

after(async () => {
  await browser.close();
  await site.stop();
  await server.stop();
});

/** A browser of somebody's: its tabs share a connection, and nothing with those of somebody else. */
async function context() {
  const one = await browser.newContext();
  one.sockets = 0;
  /** A tab that subscribes to the room, and keeps what it hears. */
  one.tab = async (room, module = "tabs", Class = "TabsClient") => {
    const page = await one.newPage();
    page.on("websocket", () => {
      one.sockets += 1;
    });
    page.on("pageerror", (error) => assert.fail(String(error)));
    await page.goto(site.origin);
    await page.evaluate(
      async ([url, room, module, Class]) => {
        const { [Class]: Client } = await import(`/${module}.js`);
        const { presence, state } = await import("/presence.js");
        globalThis.client = new Client(url, { backoff: { firstMs: 50, maxMs: 200 } });
        globalThis.heard = [];
        const hear = (event) => globalThis.heard.push(event.data ?? event.type);
        const subscribed = () => {
          globalThis.stands = true;
        };
        const handlers = { message: hear, gap: hear, reset: hear, subscribed };
        const options = { presence: "both", watch: ["typing"] };
        const subscription = globalThis.client.subscribe(room, handlers, options);
        globalThis.here = presence(subscription);
        globalThis.typing = state(subscription, "typing");
        globalThis.publish = (data) => globalThis.client.publish(room, data);
      },
      [`ws://127.0.0.1:${server.port}/ws`, room, module, Class],
    );
    await expect("it stands", () => is(page, "globalThis.stands"));
    return page;
  };
  return one;
}

const is = (page, what) => page.evaluate(what);
const heard = (page) => is(page, "heard");
const publish = (page, data) => page.evaluate((data) => globalThis.publish(data), data);
const numbers = (count) => Array.from({ length: count }, (_, at) => at + 1);

test("three tabs have one connection, and each has all there is", async () => {
  const mine = await context();
  const tabs = [await mine.tab("tabs.one"), await mine.tab("tabs.one"), await mine.tab("tabs.one")];
  const theirs = await context();
  const other = await theirs.tab("tabs.one", "index", "Client");
  assert.equal(mine.sockets, 1);
  const leading = await Promise.all(tabs.map((tab) => is(tab, "client.isLeading")));
  assert.deepEqual(leading, [true, false, false]);

  for (const [at, tab] of [...tabs, other].entries()) await publish(tab, at + 1);
  for (const tab of [...tabs, other]) {
    await expect("all is heard", async () => (await heard(tab)).length === 4);
    assert.deepEqual(await heard(tab), numbers(4));
  }
  await is(tabs[2], "here.set('me')");
  await expect("it is there", () => is(other, "[...here.entries.values()].some(({ value }) => value === 'me')"));
  await expect("tabs see each other", () => is(tabs[1], "[...here.entries.values()].some(({ value }) => value === 'me')"));
  await is(other, "typing.set(true)");
  for (const tab of tabs) await expect("typing is seen", () => is(tab, "typing.entries.size === 1"));
  await mine.close();
  await expect("all tabs are gone", () => is(other, "here.entries.size === 1"));
  await theirs.close();
});

/** One tab after another goes, by `end`, while somebody publishes: the last one has heard everything. */
async function takeOver(room, end) {
  const mine = await context();
  const tabs = [await mine.tab(room), await mine.tab(room), await mine.tab(room)];
  const theirs = await context();
  const writer = await theirs.tab(room, "index", "Client");
  let last = 0;
  for (const tab of tabs.slice(0, 2)) {
    await expect("it leads", () => is(tab, "client.isLeading"));
    for (let n = 0; n < 5; n += 1) await publish(writer, (last += 1));
    const ending = end(tab);
    for (let n = 0; n < 5; n += 1) await publish(writer, (last += 1));
    await ending;
    // What another tab has sent goes out by whoever leads then, and once.
    await publish(tabs[2], (last += 1));
  }
  await expect("the last one leads", () => is(tabs[2], "client.isLeading"));
  await expect("it has heard all", async () => (await heard(tabs[2])).length >= last);
  assert.deepEqual(await heard(tabs[2]), numbers(last));
  assert.deepEqual(await heard(writer), numbers(last));
  assert.equal(mine.sockets, 3);
  await mine.close();
  await theirs.close();
}

test("a tab that is closed is followed by another, and nothing is lost or doubled", () =>
  takeOver("tabs.closed", (tab) => tab.close()));

test("so is one that crashes", () =>
  takeOver("tabs.crashed", async (tab) => {
    const session = await tab.context().newCDPSession(tab);
    // There is nobody left to answer.
    session.send("Page.crash").catch(() => {});
    await new Promise((resolve) => tab.once("crash", resolve));
  }));
