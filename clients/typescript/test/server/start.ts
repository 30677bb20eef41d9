/** A real server on a free port: COREWIRE_BIN, or what cargo has built. */

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { WebSocket } from "ws";
import { binary } from "../../src/binary.js";
import { Client, type ClientOptions } from "../../src/client.js";
import { json } from "../../src/json.js";
import type { Connection, Transport } from "../../src/transport.js";
import { type WebSocketClass, webSocketTransport } from "../../src/transport.js";

const TARGET = fileURLToPath(new URL("../../../../../target/", import.meta.url));
const STARTED_MS = 20_000;

export const DIALECTS = [json, binary];

/** What opens sockets here: Node's own from version 22 on, or those of `ws`. */
const Class: WebSocketClass = (globalThis as { WebSocket?: WebSocketClass }).WebSocket ?? WebSocket;

export class RealServer {
  readonly url: string;
  readonly #process: ChildProcess;

  constructor(url: string, process: ChildProcess) {
    this.url = url;
    this.#process = process;
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const exited = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#process.kill(signal);
    await exited;
  }
}

/** Starts one and waits until it listens. */
export async function start(port = 0, ...options: string[]): Promise<RealServer> {
  const bins = [process.env.COREWIRE_BIN, `${TARGET}release/corewire`, `${TARGET}debug/corewire`];
  const bin = bins.find((path) => path !== undefined && existsSync(path));
  if (bin === undefined) throw new Error("no server: cargo build --release, or set COREWIRE_BIN");
  const args = ["serve", "--listen", `127.0.0.1:${port}`, "--anonymous-names", ...options];
  const child = spawn(bin, args, { stdio: ["ignore", "pipe", "inherit"] });
  const late = setTimeout(() => child.kill("SIGKILL"), STARTED_MS);
  for await (const line of createInterface({ input: child.stdout })) {
    const address = /127\.0\.0\.1:\d+/.exec(line)?.[0];
    if (address === undefined) continue;
    clearTimeout(late);
    child.stdout.resume();
    return new RealServer(`ws://${address}/ws`, child);
  }
  throw new Error("the server did not start");
}

/** A client whose connections a test can cut. */
export function client(
  url: string,
  options: ClientOptions = {},
): { client: Client; cut: () => void } {
  const open = new Set<{ connection: Connection; lost: () => void }>();
  const real = webSocketTransport(Class);
  const transport: Transport = (to, protocols, listener) => {
    const connection = real(to, protocols, listener);
    open.add({ connection, lost: () => listener.lost(undefined, "cut by the test") });
    return connection;
  };
  const backoff = { firstMs: 10, maxMs: 50 };
  return {
    client: new Client(url, { transport, backoff, ...options }),
    cut() {
      for (const one of open) {
        one.connection.abort();
        one.lost();
      }
      open.clear();
    },
  };
}

/** Waits until it is so. A test that waits for ever is ended by its runner. */
export async function until(what: () => boolean, timeoutMs = 10_000): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!what()) {
    if (Date.now() > end) throw new Error(`not so after ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
