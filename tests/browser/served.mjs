// A browser, and the page from a real server: for all tests of a file that imports it.
import { after } from "node:test";
import { chromium } from "playwright-core";
import { Server } from "./server.mjs";

export const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ["--no-sandbox"],
});
export const server = await Server.start();
export const url = `http://127.0.0.1:${server.port}/`;

after(async () => {
  await browser.close();
  await server.stop();
});
