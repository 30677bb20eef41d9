// What one window measures, draws and leaves out.
import assert from "node:assert/strict";
import { test } from "node:test";
import { expect } from "./expect.mjs";
import { browser, server, url } from "./served.mjs";
import { Proxy } from "./server.mjs";
import { Window } from "./window.mjs";

const SLOW_MS = 100;

function figure(window, id) {
  return async () => Number((await window.page.locator(id).innerText()).replace(/,| ms$/g, ""));
}

/** The bars of the histogram: from which to which time, and how high. */
function bars(window) {
  return window.page.locator("#histogram rect").evaluateAll((all) =>
    all.map((bar) => {
      const [x, width, height] = ["x", "width", "height"].map((name) => Number(bar.getAttribute(name)));
      const ms = (place) => 10 ** ((place / 300) * 4 - 1);
      return { from: ms(x - 0.5), to: ms(x + width + 0.5), height };
    }),
  );
}

test("the histogram shows deliveries where they belong, and the figures say the same", async () => {
  const slow = await Proxy.before(server, { delayMs: SLOW_MS });
  const window = await Window.open(browser, `${slow.url}#latency`);
  await expect("it has measured", async () => (await figure(window, "#p99")()) > 0);
  await expect("and once more", async () => (await bars(window)).length > 0);
  // There and back again.
  for (const id of ["#round-trip", "#delivery", "#p99"]) {
    await expect(`${id} is known`, async () => (await figure(window, id)()) >= 2 * SLOW_MS);
  }
  const [shown, p99] = [await bars(window), await figure(window, "#p99")()];
  assert.ok(Math.max(...shown.map(({ height }) => height)) === 58, JSON.stringify(shown));
  for (const { from, to } of shown) {
    assert.ok(to >= 2 * SLOW_MS && from <= 1.35 * p99, `${from} to ${to} ms, p99 ${p99} ms`);
  }
  assert.deepEqual(window.faults, []);
  await window.close();
  await slow.stop();
});

test("the keyboard draws, the space bar lifts, and the others see a line and no more", async () => {
  const ann = await Window.open(browser, `${url}#keys`);
  const bob = await Window.open(browser, `${url}#keys`);
  const ink = () =>
    bob.page.locator("#strokes").evaluate((canvas) => {
      const { width, height } = canvas;
      const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
      copy.drawImage(canvas, 0, 0);
      const { data } = copy.getImageData(0, 0, width, height);
      let [left, right, top, bottom, count] = [1, 0, 1, 0, 0];
      for (let place = 3; place < data.length; place += 4) {
        if (data[place] === 0) continue;
        const pixel = (place - 3) / 4;
        const [x, y] = [(pixel % width) / width, Math.floor(pixel / width) / height];
        [left, right] = [Math.min(left, x), Math.max(right, x)];
        [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
        count += 1;
      }
      return { left, right, top, bottom, count };
    });
  await ann.page.focus("#strokes");
  const press = async (key, times) => {
    for (let n = 0; n < times; n += 1) await ann.page.keyboard.press(key);
  };
  // From the middle to the left without drawing, then down with it: 5 steps of 2 % each.
  await press("ArrowLeft", 10);
  await ann.page.keyboard.down(" ");
  await press("ArrowDown", 5);
  await ann.page.keyboard.up(" ");
  await press("ArrowRight", 10);
  await expect("the line is there", async () => (await ink()).bottom > 0.58);
  const { left, right, top, bottom } = await ink();
  const near = (found, meant) => assert.ok(Math.abs(found - meant) < 0.02, `${found}, not ${meant}`);
  near((left + right) / 2, 0.3);
  near(top, 0.5);
  near(bottom, 0.6);
  assert.ok(right - left < 0.03, "it was lifted before it went right");
  assert.deepEqual([...ann.faults, ...bob.faults], []);
  await ann.close();
  await bob.close();
});

test("a window that does not keep up skips to the newest values, and says how many it left out", async () => {
  const ann = await Window.open(browser, `${url}#skips`);
  const tight = await Proxy.before(server);
  const bob = await Window.open(browser, `${tight.url}#skips`);
  await ann.page.check("#feeding");
  const sent = figure(ann, "#feed-sent");
  const [received, skipped] = [figure(bob, "#feed-received"), figure(bob, "#feed-skipped")];
  await expect("it receives", async () => (await received()) > 50);
  // Nothing of what the server sends arrives: it may send no more than the window of the client.
  tight.hold();
  const before = await sent();
  await expect("much is sent meanwhile", async () => (await sent()) > before + 700);
  tight.go();
  await ann.page.uncheck("#feeding");
  await expect(
    "all are accounted for",
    async () => (await received()) + (await skipped()) === (await sent()),
  );
  assert.ok((await skipped()) > 100, `${await skipped()} skipped of ${await sent()}`);
  assert.deepEqual([...ann.faults, ...bob.faults], []);
  await ann.close();
  await bob.close();
  await tight.stop();
});
