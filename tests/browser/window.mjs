// A window with the page in it, as a user sees it.
import { expect } from "./expect.mjs";

/** What is drawn of a browser's faults: nothing that a test does not expect. */
const EXPECTED = /WebSocket connection to .* failed|net::ERR_(INTERNET_DISCONNECTED|CONNECTION)/;

export class Window {
  faults = [];
  requests = new Set();

  /** With `clock`, a test can stop the time of the page. */
  static async open(browser, url, { clock = false, ...options } = {}) {
    const window = new Window();
    window.context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options });
    window.page = await window.context.newPage();
    const { page } = window;
    if (clock) await page.clock.install();
    page.on("pageerror", (error) => window.faults.push(String(error)));
    page.on("console", (message) => {
      const text = message.text();
      if (["error", "warning"].includes(message.type()) && !EXPECTED.test(text)) {
        window.faults.push(text);
      }
    });
    page.on("request", (request) => window.requests.add(new URL(request.url()).origin));
    page.on("websocket", (socket) => window.requests.add(new URL(socket.url()).origin));
    // How much the page has moved under the user's eyes.
    await page.addInitScript(() => {
      globalThis.shifted = 0;
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) {
          if (!entry.hadRecentInput) globalThis.shifted += entry.value;
        }
      }).observe({ type: "layout-shift", buffered: true });
    });
    await page.goto(url);
    await window.connected();
    return window;
  }

  connected() {
    return expect("it is connected", async () => (await this.state()) === "connected");
  }

  state() {
    return this.page.locator("#link").getAttribute("data-is");
  }

  async say(text) {
    await this.page.fill("#text", text);
    await this.page.press("#text", "Enter");
  }

  /** The texts of the chat that have their place, in order. */
  async texts() {
    return this.page.locator("#messages li[data-offset] p").allInnerTexts();
  }

  async offsets() {
    const items = this.page.locator("#messages li[data-offset]");
    return items.evaluateAll((all) => all.map((item) => Number(item.dataset.offset)));
  }

  async notes() {
    return this.page.locator("#messages li.note").allInnerTexts();
  }

  async people() {
    return (await this.page.locator("#members li").allInnerTexts()).sort();
  }

  name() {
    return this.page.locator("#name").inputValue();
  }

  news() {
    return this.page.locator("#news").innerText();
  }

  async close() {
    await this.context.close();
  }
}
