/**
 * Latency as this window sees it: once a second it publishes to a topic of its own, and takes the time
 * to the server's confirmation and to the delivery. The browser is part of it.
 */

import type { Client } from "corewire";
import { byId } from "./element.js";

const EVERY_MS = 1000;
const KEPT = 300;
const BARS = 32;
/** The histogram's ends, as powers of ten milliseconds. */
const LOW = -1;
const HIGH = 3;

/** Measures from now on. */
export function measureLatency(client: Client): void {
  const topic = `pulse.${crypto.randomUUID()}`;
  const sent = new Map<number, number>();
  const confirmed: number[] = [];
  const delivered: number[] = [];
  client.subscribe<unknown>(topic, ({ data }) => {
    const at = sent.get(data as number);
    if (at === undefined) return;
    sent.delete(data as number);
    keep(delivered, performance.now() - at);
    show(confirmed, delivered);
  });
  let number = 0;
  setInterval(() => {
    if (document.hidden || client.status.type !== "connected") return;
    sent.clear();
    number += 1;
    const at = performance.now();
    sent.set(number, at);
    client.publish(topic, number, { ttlMs: 5000 }).then(
      () => keep(confirmed, performance.now() - at),
      () => {},
    );
  }, EVERY_MS);
}

function keep(values: number[], value: number): void {
  values.push(value);
  if (values.length > KEPT) values.shift();
}

function show(confirmed: readonly number[], delivered: readonly number[]): void {
  byId("round-trip").textContent = milliseconds(confirmed.at(-1));
  byId("delivery").textContent = milliseconds(delivered.at(-1));
  const sorted = delivered.toSorted((a, b) => a - b);
  byId("p99").textContent = milliseconds(sorted[Math.ceil(sorted.length * 0.99) - 1]);
  const bars = new Array<number>(BARS).fill(0);
  for (const ms of delivered) {
    const share = (Math.log10(Math.max(ms, 10 ** LOW)) - LOW) / (HIGH - LOW);
    const bar = Math.min(BARS - 1, Math.floor(share * BARS));
    bars[bar] = (bars[bar] ?? 0) + 1;
  }
  const most = Math.max(...bars);
  const width = 300 / BARS;
  const rects = bars.flatMap((count, bar) => {
    if (count === 0) return [];
    const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    const height = Math.max(2, (count / most) * 58);
    rect.setAttribute("x", String(bar * width + 0.5));
    rect.setAttribute("y", String(60 - height));
    rect.setAttribute("width", String(width - 1));
    rect.setAttribute("height", String(height));
    return [rect];
  });
  byId("histogram").replaceChildren(...rects);
}

function milliseconds(ms: number | undefined): string {
  if (ms === undefined) return "–";
  return ms < 10 ? `${ms.toFixed(2)} ms` : `${ms.toFixed(0)} ms`;
}
