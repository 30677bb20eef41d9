/**
 * The chart: a hundred values a second from whoever has switched sending on. Its subscription has the
 * policy `latest`, so a window that does not keep up skips to the newest value and is told how many it
 * left out.
 */

import type { Client } from "corewire";
import { byId } from "./element.js";
import type { Room } from "./room.js";

const PER_SECOND = 100;
const EVERY_MS = 1000 / PER_SECOND;
const SHOWN = 300;

/** The chart of a room. */
export class Wave {
  readonly #client: Client;
  readonly #room: Room;
  readonly #values: number[] = [];
  #sent = 0;
  #received = 0;
  #skipped = 0;
  #timer: ReturnType<typeof setInterval> | undefined;
  #isDrawn = true;

  constructor(client: Client, room: Room) {
    this.#client = client;
    this.#room = room;
    client.subscribe<unknown>(
      room.wave,
      {
        message: ({ data }) => this.#take(data),
        conflated: ({ count }) => {
          this.#skipped += count;
          this.#show();
        },
      },
      { policy: { mode: "latest" } },
    );
    byId<HTMLInputElement>("feeding").addEventListener("change", ({ target }) => {
      this.#switch((target as HTMLInputElement).checked);
    });
  }

  #switch(on: boolean): void {
    clearInterval(this.#timer);
    if (!on) return;
    let last = performance.now();
    this.#timer = setInterval(() => {
      const now = performance.now();
      // Timers of windows in the background are slow: what they missed is not sent later.
      const due = Math.min(PER_SECOND, Math.floor(((now - last) / 1000) * PER_SECOND));
      last += (due * 1000) / PER_SECOND;
      if (now - last > 1000) last = now;
      if (this.#client.status.type !== "connected") return;
      for (let i = 0; i < due; i += 1) this.#send();
    }, EVERY_MS);
  }

  #send(): void {
    const t = this.#sent / PER_SECOND;
    const v = Math.sin(t * 2) * 0.6 + Math.sin(t * 9.1) * 0.25 + (Math.random() - 0.5) * 0.1;
    this.#client.send(this.#room.wave, Math.round(v * 1000) / 1000, { key: "wave" });
    this.#sent += 1;
    this.#show();
  }

  #take(data: unknown): void {
    if (typeof data !== "number") return;
    this.#received += 1;
    byId("chart").classList.remove("blank");
    this.#values.push(Math.max(-1, Math.min(1, data)));
    if (this.#values.length > SHOWN) this.#values.shift();
    this.#show();
  }

  #show(): void {
    if (!this.#isDrawn) return;
    this.#isDrawn = false;
    requestAnimationFrame(() => {
      this.#isDrawn = true;
      const first = SHOWN - this.#values.length;
      const points = this.#values.map((v, i) => `${first + i} ${(45 - v * 42).toFixed(1)}`);
      byId("wave").setAttribute("d", points.length > 1 ? `M${points.join("L")}` : "");
      byId("feed-sent").textContent = this.#sent.toLocaleString("en");
      byId("feed-received").textContent = this.#received.toLocaleString("en");
      byId("feed-skipped").textContent = this.#skipped.toLocaleString("en");
    });
  }
}
