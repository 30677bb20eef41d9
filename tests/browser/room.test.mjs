// Two windows in one room.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { expect } from "./expect.mjs";
import { browser, server, url } from "./served.mjs";
import { Proxy, Server } from "./server.mjs";
import { Window } from "./window.mjs";

/** Two windows in a room of their own. */
async function twoWindows(room, address = url, options = {}) {
  const ann = await Window.open(browser, `${address}#${room}`, options);
  const bob = await Window.open(browser, `${address}#${room}`, { colorScheme: "dark" });
  await expect("both are there", async () => (await ann.people()).length === 2);
  return [ann, bob];
}

async function closed(...windows) {
  for (const window of windows) {
    assert.deepEqual(window.faults, []);
    await window.close();
  }
}

function picture(window, name) {
  return window.page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}.png`) });
}

test("both see the same messages in the same order, and who comes later sees them, too", async () => {
  const [ann, bob] = await twoWindows("order");
  for (let n = 1; n <= 10; n += 1) await (n % 2 ? ann : bob).say(`number ${n}`);
  const has = (window) => async () => (await window.texts()).length === 10;
  await expect("all have come", async () => (await has(ann)()) && (await has(bob)()));
  const texts = await ann.texts();
  assert.deepEqual(texts, await bob.texts());
  assert.deepEqual([...texts].sort(), Array.from({ length: 10 }, (_, n) => `number ${n + 1}`).sort());
  const late = await Window.open(browser, `${url}#order`);
  await expect("the history has come", has(late));
  assert.deepEqual(await late.texts(), texts);
  assert.deepEqual(await late.offsets(), Array.from({ length: 10 }, (_, n) => n + 1));
  await closed(ann, bob, late);
});

test("who is here, who is typing, and what somebody draws", async () => {
  const [ann, bob] = await twoWindows("people");
  assert.deepEqual(await ann.people(), [await ann.name(), await bob.name()].sort());
  await bob.page.fill("#name", "Bob the Builder");
  await bob.page.press("#name", "Enter");
  await expect("the new name is seen", async () => (await ann.people()).includes("Bob the Builder"));

  const typing = () => ann.page.locator("#typing").innerText();
  await bob.page.locator("#text").pressSequentially("a thought");
  await expect("typing is seen", async () => (await typing()) === "Bob the Builder is typing …");
  await bob.page.fill("#text", "");
  await expect("and its end", async () => (await typing()) === "");

  const board = await bob.page.locator("#strokes").boundingBox();
  await bob.page.mouse.move(board.x + 20, board.y + 20);
  await bob.page.mouse.down();
  await bob.page.mouse.move(board.x + 120, board.y + 120, { steps: 20 });
  await expect("the cursor is seen", async () => {
    return (await ann.page.locator("#cursors span").allInnerTexts()).includes("Bob the Builder");
  });
  await bob.page.mouse.up();
  const inked = () =>
    ann.page.locator("#strokes").evaluate((canvas) => {
      const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
      copy.drawImage(canvas, 0, 0);
      return copy.getImageData(0, 0, canvas.width, canvas.height).data.some((byte) => byte > 0);
    });
  await expect("the stroke is seen", inked);
  // It leaves in one go, with its last place still to be told, and is gone before its time is over.
  const leaving = performance.now();
  await bob.page.mouse.move(board.x + 20, board.y - 200, { steps: 10 });
  await expect("the cursor is gone", async () => (await ann.page.locator("#cursors span").count()) === 0);
  assert.ok(performance.now() - leaving < 4000);
  await ann.page.click("#clear");
  await expect("the canvas is empty", async () => !(await inked()));

  await bob.close();
  await expect("who says good-bye is gone at once", async () => (await ann.people()).length === 1);
  await closed(ann);
});

test("a hundred values a second reach the other window, whole or conflated", async () => {
  const [ann, bob] = await twoWindows("wave");
  await ann.page.check("#feeding");
  const figure = (window, id) => async () =>
    Number((await window.page.locator(id).innerText()).replace(",", ""));
  const sent = figure(ann, "#feed-sent");
  await expect("it sends", async () => (await sent()) >= 200);
  await ann.page.uncheck("#feeding");
  const [received, skipped] = [figure(bob, "#feed-received"), figure(bob, "#feed-skipped")];
  // What is shown is drawn a moment later, here and there.
  await expect(
    "all are accounted for",
    async () => (await received()) + (await skipped()) === (await sent()),
  );
  assert.match(await bob.page.locator("#wave").getAttribute("d"), /^M.*L/);
  await picture(ann, "light");
  await picture(bob, "dark");
  await closed(ann, bob);
});

test("with the connection cut, what is sent meanwhile comes once and in order", async () => {
  const [ann, bob] = await twoWindows("cut", url, { clock: true });
  await bob.say("before");
  await expect("it has come", async () => (await ann.texts()).length === 1);
  // The cut lasts for as long as all of this takes.
  await ann.page.clock.pauseAt((await ann.page.evaluate(() => Date.now())) + 2000);
  await ann.page.click("#cut");
  await expect("it is cut", async () => (await ann.state()) !== "connected");
  for (let n = 1; n <= 20; n += 1) await bob.say(`missed ${n}`);
  await ann.say("written without a connection");
  assert.equal(await ann.page.locator("#messages li.pending").count(), 1);
  await ann.page.clock.resume();
  await ann.connected();
  await expect("all of it is there", async () => (await ann.texts()).length === 22);
  assert.deepEqual(await ann.texts(), await bob.texts());
  assert.deepEqual(await ann.offsets(), Array.from({ length: 22 }, (_, n) => n + 1));
  assert.equal(await ann.page.locator("#messages li.again").count(), 20);
  assert.equal(await ann.page.locator("#messages li.pending").count(), 0);
  await expect("it says so", async () => /in order and once: messages 2 to 21/.test(await ann.news()));
  // Inside the grace nobody has seen anybody leave.
  assert.equal((await bob.people()).length, 2);
  await picture(ann, "resumed");
  await closed(ann, bob);
});

test("offline and online again, and a window in the background", async () => {
  const [ann, bob] = await twoWindows("tunnel");
  await ann.context.setOffline(true);
  await ann.page.click("#cut");
  await bob.say("in the tunnel");
  await expect("it has no connection", async () => (await ann.state()) === "waiting");
  await ann.context.setOffline(false);
  await expect("it is back", async () => (await ann.texts()).includes("in the tunnel"));
  const other = await ann.context.newPage();
  await other.bringToFront();
  for (let n = 1; n <= 5; n += 1) await bob.say(`behind ${n}`);
  await ann.page.bringToFront();
  await expect("all are there", async () => (await ann.texts()).length === 6);
  assert.deepEqual(await ann.texts(), await bob.texts());
  await closed(ann, bob);
});

test("a server that is killed: history begins anew, and what was typed meanwhile is sent once", async () => {
  const mortal = await Server.start();
  const [ann, bob] = await twoWindows("restart", `http://127.0.0.1:${mortal.port}/`);
  await ann.say("before the end");
  await expect("it has come", async () => (await bob.texts()).length === 1);
  await mortal.kill();
  await expect("both know", async () => {
    return (await ann.state()) !== "connected" && (await bob.state()) !== "connected";
  });
  const lines = ["first", "second", "third"];
  for (const line of lines) await ann.say(line);
  await mortal.start();
  await ann.connected();
  await bob.connected();
  for (const window of [ann, bob]) {
    await expect("what was typed is there", async () => (await window.texts()).length === 4);
    assert.deepEqual(await window.texts(), ["before the end", ...lines]);
    const notes = (await window.notes()).filter((note) => /begun anew/.test(note));
    assert.equal(notes.length, 1, JSON.stringify(await window.notes()));
    await expect("both are there", async () => (await window.people()).length === 2);
  }
  await bob.page.locator("#text").pressSequentially("x");
  await expect("typing is seen", async () => {
    return /is typing/.test(await ann.page.locator("#typing").innerText());
  });
  await closed(ann, bob);
  await mortal.stop();
});

test("an address that nobody has encoded is a room like any other", async () => {
  const window = await Window.open(browser, `${url}#50%`);
  assert.equal(await window.page.locator("#room").innerText(), "50-");
  await closed(window);
});

test("the page asks nobody else, does not jump, and can be used without eyes or a mouse", async () => {
  const window = await Window.open(browser, `${url}#access`, { viewport: { width: 390, height: 844 } });
  const { page } = window;
  await window.say("hello");
  await expect("it has come", async () => (await window.texts()).length === 1);
  assert.deepEqual([...window.requests].map((origin) => new URL(origin).host), [
    new URL(url).host,
    new URL(url).host,
  ]);
  assert.ok((await page.evaluate(() => globalThis.shifted)) < 0.05);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));

  const session = await window.context.newCDPSession(page);
  const { nodes } = await session.send("Accessibility.getFullAXTree");
  const named = new Set(["button", "textbox", "switch", "link", "log", "list", "Canvas", "image"]);
  for (const { ignored, role, name } of nodes) {
    if (!ignored && named.has(role?.value)) {
      assert.notEqual(name?.value ?? "", "", `${role.value} without a name`);
    }
  }
  const reached = new Set();
  for (let n = 0; n < 16; n += 1) {
    await page.keyboard.press("Tab");
    reached.add(await page.evaluate(() => document.activeElement?.id ?? ""));
  }
  for (const id of ["cut", "messages", "text", "name", "strokes", "feeding"]) {
    assert.ok(reached.has(id), `${id} is not reached by Tab: ${[...reached]}`);
  }
  await page.screenshot({ path: join(process.env.SCREENSHOTS, "phone.png"), fullPage: true });
  await closed(window);
});

test("a page that reconnects again and again does not grow", async () => {
  const proxy = await Proxy.before(server);
  const window = await Window.open(browser, `${proxy.url}#soak`);
  const session = await window.context.newCDPSession(window.page);
  await session.send("Performance.enable");
  const figures = async () => {
    await session.send("HeapProfiler.collectGarbage");
    const { metrics } = await session.send("Performance.getMetrics");
    return Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
  };
  let cuts = 0;
  const cut = async (times) => {
    for (let n = 0; n < times; n += 1) {
      proxy.cut();
      cuts += 1;
      await window.say(`cut ${cuts}`);
      await expect("it is back", async () => (await window.texts()).at(-1) === `cut ${cuts}`);
    }
  };
  await cut(6);
  const before = await figures();
  await cut(10);
  const after = await figures();
  assert.deepEqual(await window.texts(), Array.from({ length: 16 }, (_, n) => `cut ${n + 1}`));
  const grown = after.JSHeapUsedSize - before.JSHeapUsedSize;
  assert.ok(grown < 1 << 20, `${grown} bytes more after 10 reconnects`);
  assert.ok(after.JSEventListeners <= before.JSEventListeners + 2, "listeners stay behind");
  await closed(window);
  await proxy.stop();
});
