/**
 * The connection: the client, what it says about itself, and the button that breaks it.
 *
 * A cut takes the sockets away as a network does that goes: nobody says good-bye. For as long as it
 * lasts new ones fail, too.
 */

import { Client, type Status } from "corewire";
import { byId } from "./element.js";

const CUT_MS = 4000;

const TICK_MS = 250;

let cutUntil = Number.NEGATIVE_INFINITY;
const sockets = new Set<CuttableSocket>();

class CuttableSocket extends WebSocket {
  constructor(url: string, protocols: string[]) {
    super(url, protocols);
    sockets.add(this);
    this.addEventListener("close", () => sockets.delete(this));
    // It has not been opened: closing it makes it fail.
    if (performance.now() < cutUntil) this.close();
  }

  sever(): void {
    const lost = this.onclose;
    this.onopen = this.onmessage = this.onclose = null;
    this.close();
    lost?.call(this, new CloseEvent("close", { code: 1006 }));
  }
}

/** A client of the server that this page came from. */
export function makeClient(): Client {
  return new Client("/ws", {
    WebSocket: CuttableSocket as unknown as new (url: string, protocols: string[]) => unknown,
    backoff: { firstMs: 250, maxMs: 3000 },
  });
}

/** Shows how the connection is. */
export function showLink(client: Client): void {
  const link = byId("link");
  const text = byId("link-text");
  const show = (status: Status): void => {
    link.dataset.is = status.type;
    text.textContent = described(status);
  };
  client.on("status", show);
  show(client.status);
  setInterval(() => {
    if (performance.now() < cutUntil + TICK_MS) show(client.status);
  }, TICK_MS);
}

/** Lets the button break the connection. `cut` is called when it is broken. */
export function letCut(cut: () => void): void {
  const button = byId<HTMLButtonElement>("cut");
  button.addEventListener("click", () => {
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    cutUntil = performance.now() + CUT_MS;
    cut();
    for (const socket of [...sockets]) socket.sever();
    setTimeout(() => {
      button.removeAttribute("aria-disabled");
      // As after a tunnel: the system says that there is a network again.
      window.dispatchEvent(new Event("online"));
    }, CUT_MS);
  });
}

function described(status: Status): string {
  const left = cutUntil - performance.now();
  switch (status.type) {
    case "idle":
    case "connecting":
      return left > 0 ? `Cut, back in ${Math.ceil(left / 1000)} s` : "Connecting";
    case "connected":
      return status.session.resumed ? "Goes on where it was" : "Connected";
    case "waiting":
      return left > 0 ? `Cut, back in ${Math.ceil(left / 1000)} s` : "No connection";
    case "closing":
      return "Leaving";
    case "stopped":
      return `Ended: ${status.error.message}`;
  }
}
