// A `corewire serve` of its own for a test, and a way to it that can be cut.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import http from "node:http";
import net from "node:net";
import { createInterface } from "node:readline";
import { Transform } from "node:stream";

const running = new Set();
process.on("exit", () => {
  for (const server of running) server.kill("SIGKILL");
});

/** A server process. It can be killed and started again at the same address. */
export class Server {
  #process;
  #options = [];
  port = 0;

  static async start(...options) {
    const server = new Server();
    server.#options = options;
    await server.start();
    return server;
  }

  async start() {
    const listen = `127.0.0.1:${this.port}`;
    const args = ["serve", "--cores", "2", "--listen", listen, ...this.#options];
    this.#process = spawn(process.env.COREWIRE_BIN, args, { stdio: ["ignore", "pipe", "inherit"] });
    running.add(this.#process);
    this.#process.on("exit", () => running.delete(this.#process));
    const [line] = await once(createInterface(this.#process.stdout), "line");
    this.port = Number(/127\.0\.0\.1:(\d+)/.exec(line)[1]);
  }

  /** As a crash or a power cut: nobody says anything. */
  async kill() {
    this.#process.kill("SIGKILL");
    await once(this.#process, "exit");
  }

  async stop() {
    this.#process.kill("SIGTERM");
    await once(this.#process, "exit");
  }
}

/** A site of static files, as somebody else's page that uses the client. */
export class Site {
  #listener;

  /** The files of a folder; at `/` its index.html, or an empty page. */
  static async of(folder) {
    const site = new Site();
    site.#listener = http.createServer(async ({ url }, response) => {
      try {
        const isPage = url === "/";
        const file = readFile(folder + (isPage ? "/index.html" : url));
        const body = await (isPage ? file.catch(() => "<!doctype html>") : file);
        response.setHeader("Content-Type", isPage ? "text/html" : "text/javascript");
        response.end(body);
      } catch {
        response.writeHead(404).end();
      }
    });
    site.#listener.listen(0, "127.0.0.1");
    await once(site.#listener, "listening");
    return site;
  }

  get origin() {
    return `http://127.0.0.1:${this.#listener.address().port}`;
  }

  async stop() {
    this.#listener.closeAllConnections();
    this.#listener.close();
    await once(this.#listener, "close");
  }
}

/** Stands between a browser and a server: breaks connections when it is told to, or keeps back what comes. */
export class Proxy {
  #listener;
  #sockets = new Set();
  /** Of each connection both sides. */
  #pairs = new Set();

  /** What comes from either side goes on after so many milliseconds. */
  static async before(server, { delayMs = 0 } = {}) {
    const proxy = new Proxy();
    proxy.#listener = net.createServer((near) => {
      const far = net.connect(server.port, "127.0.0.1");
      for (const socket of [near, far]) {
        proxy.#sockets.add(socket);
        socket.on("close", () => proxy.#sockets.delete(socket));
        socket.on("error", () => {});
      }
      const late = () =>
        new Transform({
          transform(bytes, _, done) {
            setTimeout(() => this.push(bytes), delayMs);
            done();
          },
        });
      const pair = { near, far };
      if (delayMs > 0) near.pipe(late()).pipe(far).pipe(late()).pipe(near);
      else near.pipe(far).pipe(near);
      proxy.#pairs.add(pair);
      near.on("close", () => far.destroy());
      far.on("close", () => {
        proxy.#pairs.delete(pair);
        near.destroy();
      });
    });
    proxy.#listener.listen(0, "127.0.0.1");
    await once(proxy.#listener, "listening");
    return proxy;
  }

  get url() {
    return `http://127.0.0.1:${this.#listener.address().port}/`;
  }

  /** Keeps back what the server sends. */
  hold() {
    for (const { near, far } of this.#pairs) far.unpipe(near);
  }

  /** Lets it go on. */
  go() {
    for (const { near, far } of this.#pairs) far.pipe(near);
  }

  cut() {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async stop() {
    this.cut();
    this.#listener.close();
    await once(this.#listener, "close");
  }
}
