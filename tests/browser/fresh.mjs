// The page that a fresh Vite project has built (FRESH), at an origin of its own.
import assert from "node:assert/strict";
import { test } from "node:test";
import { chromium } from "playwright-core";
import { expect } from "./expect.mjs";
import { Server, Site } from "./server.mjs";

test("a page of another origin uses the package, where the server allows it", async () => {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
  const site = await Site.of(process.env.FRESH);
  const server = await Server.start("--allow-origin", site.origin);
  const page = await browser.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(error));
  await page.goto(`${site.origin}/#ws://127.0.0.1:${server.port}/ws`);
  await expect("history is read", async () => (await page.title()) === "1 in history");
  await expect("the message is there", async () => /\bhi\b/.test(await page.innerText("body")));
  await expect("so is the user", async () => /\w-\d+:\d/.test(await page.innerText("body")));
  assert.deepEqual(faults, []);
  await browser.close();
  await site.stop();
  await server.stop();
});
