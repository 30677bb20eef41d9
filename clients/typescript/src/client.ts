/**
 * The client: drives the machine with a WebSocket, a clock and chance, and has what applications call.
 *
 * @module
 */

import type { Backoff, Random } from "./backoff.js";
import { type Clock, NEVER, systemClock } from "./clock.js";
import type { Bounds, Effect } from "./effect.js";
import { CorewireError } from "./errors.js";
import type { Message, Session, Status } from "./events.js";
import type { Feed, SubscribeOptions } from "./feed.js";
import { json } from "./json.js";
import { Machine } from "./machine.js";
import type { Published } from "./outbox.js";
import { bytesOf, written } from "./payload.js";
import { type Handlers, Subscription, type SubscriptionHost } from "./subscription.js";
import {
  type Connection,
  type Transport,
  type WebSocketClass,
  webSocketTransport,
} from "./transport.js";
import { watchWake } from "./wake.js";
import type { Dialect, HistoryCommand, PageBody, Request } from "./words.js";

/** Bytes of a message with several commands. */
const BATCH_BYTES = 16 << 10;
/** Commands in one message; the server takes 1,024. */
const BATCH_MAX = 512;
/** When the time of day and the clock part by so much, the process has slept. */
const JUMP_MS = 10_000;

/** How a client is made. */
export interface ClientOptions extends Partial<Bounds> {
  /** A JSON Web Token, or what fetches one: called whenever a new one is needed. */
  readonly token?: string | (() => string | Promise<string>) | undefined;
  /** A name, where the server lets clients choose one. */
  readonly user?: string | undefined;
  /** The dialect; JSON if there is none. `corewire/binary` has the other one. */
  readonly dialect?: Dialect | undefined;
  /** The class of WebSockets; the platform's own if there is none. Node before 22 needs that of `ws`. */
  readonly WebSocket?: WebSocketClass | undefined;
  /** How long to wait before coming back. */
  readonly backoff?: Partial<Backoff> | undefined;
  /** In place of {@link ClientOptions.WebSocket}. */
  readonly transport?: Transport | undefined;
  /** The platform's clock if there is none. */
  readonly clock?: Clock | undefined;
  /** `Math.random` if there is none. */
  readonly random?: Random | undefined;
}

/** What a publication may have. */
export interface PublishOptions {
  /** What it is the newest value of, for subscribers with the policy `latest`. */
  readonly key?: string | undefined;
  /** Names and values, told to subscribers; at most 16. */
  readonly tags?: Readonly<Record<string, string>> | undefined;
  /** It is not delivered when it is older. */
  readonly ttlMs?: number | undefined;
  /** Whether this client gets it, too, if it subscribes to the topic; it does if it is not said. */
  readonly echo?: boolean | undefined;
  /** A key of at most 64 bytes: another publication with the same one is not published again for a while. */
  readonly idem?: string | undefined;
}

/** What {@link Client.on} tells. */
export interface ClientEvents {
  /** How the client is, when that changes. */
  readonly status: Status;
  /** Something went wrong that is nobody's answer. Without a listener it goes to the console. */
  readonly warning: CorewireError;
}

const DEFAULTS: Bounds = {
  topicWindow: 256,
  window: 4096,
  publicationsMax: 10_000,
  publicationBytesMax: 16 << 20,
  inFlightMax: 256,
  publishTimeoutMs: 60_000,
  connectTimeoutMs: 10_000,
  replyTimeoutMs: 10_000,
  closeTimeoutMs: 3000,
};

interface Settle {
  readonly resolve: (value: never) => void;
  readonly reject: (error: CorewireError) => void;
}

/**
 * A client of one server. It connects when it is first needed, comes back by itself, and takes its
 * subscriptions and publications along.
 */
export class Client {
  readonly #machine: Machine;
  readonly #clock: Clock;
  readonly #dialect: Dialect;
  readonly #options: ClientOptions;
  readonly #connections = new Map<number, Connection>();
  readonly #subscriptions = new Map<number, Subscription>();
  readonly #waiting = new Map<number, Settle>();
  readonly #listeners = {
    status: new Set<(event: Status) => void>(),
    warning: new Set<(event: CorewireError) => void>(),
  };
  readonly #host: SubscriptionHost;
  readonly #endWake: () => void;
  /** What each effect comes to. */
  readonly #driver: { readonly [E in Effect as E["do"]]: (effect: E) => void } = {
    open: ({ link, url }) => this.#open(link, url),
    send: ({ link, requests, bytesMax }) => this.#send(link, requests, bytesMax),
    abort: ({ link }) => {
      this.#connections.get(link)?.abort();
      this.#connections.delete(link);
    },
    token: () => this.#fetchToken(),
    event: ({ s, event, ticket }) => this.#subscriptions.get(s)?.hand(event, ticket),
    settle: ({ id, outcome }) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (outcome instanceof CorewireError) waiting?.reject(outcome);
      else waiting?.resolve(outcome as never);
    },
    news: ({ watcher, news }) => watcher.hear(news),
    status: ({ status }) => {
      if (status.type === "stopped") this.#endWake();
      this.#emit("status", status);
    },
    warning: ({ error }) => this.#warn(error),
  };
  #transport: Transport | undefined;
  #isDraining = false;
  #alarm: { readonly at: number; readonly off: () => void } | undefined;
  #skew: number;

  /**
   * A client of the server at this address: `wss://example.org/ws`, or in a page `/ws`.
   *
   * @throws TypeError if that is no address, or if there is no WebSocket here.
   */
  constructor(url: string | URL, options: ClientOptions = {}) {
    const { clock = systemClock, dialect = json, random = Math.random, token } = options;
    this.#options = options;
    this.#clock = clock;
    this.#dialect = dialect;
    this.#transport = options.transport ?? webSocketTransport(options.WebSocket);
    this.#machine = new Machine(
      {
        ...DEFAULTS,
        ...options,
        backoff: { firstMs: 500, maxMs: 20_000, ...options.backoff },
        url: webSocketUrl(url),
        token: typeof token === "string" ? token : undefined,
        renews: typeof token === "function",
      },
      random,
    );
    this.#skew = clock.wall() - clock.now();
    const machine = this.#machine;
    this.#host = {
      clock,
      taken: (ticket) => this.#do((now) => machine.taken(ticket, now)),
      unsubscribe: (feed) => this.#unsubscribe(feed),
      watch: (feed, watcher) => this.#do((now) => machine.watch(feed, watcher, now)),
      state: (feed, body, watcher) => this.#do((now) => machine.state(feed, body, watcher, now)),
      failed: report,
      unheard: (error) => this.#warn(error),
    };
    this.#endWake = watchWake({
      woke: () => this.#do((now) => machine.woke(now)),
      online: () => this.#do((now) => machine.online(now)),
    });
  }

  /** How the client is. */
  get status(): Status {
    return this.#machine.status;
  }

  /** Connects, if it has not yet. Resolves when it is connected; rejects if it stops before. */
  connect(): Promise<Session> {
    return new Promise((resolve, reject) => {
      const look = (status: Status): boolean => {
        if (status.type === "connected") resolve(status.session);
        else if (status.type === "stopped") reject(status.error);
        else return false;
        return true;
      };
      this.#do((now) => this.#machine.start(now));
      if (look(this.status)) return;
      const end = this.on("status", (status) => {
        if (look(status)) end();
      });
    });
  }

  /**
   * Subscribes to a topic, or to a pattern: `*` for one level, `>` for all that follow. Messages go to
   * the listener, in order; without one they wait to be iterated.
   *
   * @throws {@link CorewireError} if it is neither, or if there are too many.
   */
  subscribe<T = unknown>(
    subject: string,
    listener?: ((message: Message<T>) => unknown) | Handlers<T>,
    options: SubscribeOptions = {},
  ): Subscription<T> {
    const handlers = typeof listener === "function" ? { message: listener } : listener;
    return this.#do((now) => {
      const feed = this.#machine.subscribe(subject, options, now);
      // Twice what the server was given credit for: a connection before this one had some, too.
      const messagesMax = 2 * (this.#options.window ?? DEFAULTS.window);
      const subscription = new Subscription<T>(feed, this.#host, handlers, messagesMax);
      this.#subscriptions.set(feed.s, subscription as unknown as Subscription);
      return subscription;
    });
  }

  /**
   * Publishes a JSON value; or bytes: an `ArrayBuffer`, a `Uint8Array` or another view of one. It waits
   * for a connection if there is none, and is sent again if one ends before its reply, but published
   * once. Resolves to where it stands.
   *
   * @throws TypeError if JSON has nothing of the value, such as of `undefined` or a `Blob`.
   */
  async publish(
    topic: string,
    data: unknown,
    { key, tags, ttlMs, echo, idem }: PublishOptions = {},
  ): Promise<Published> {
    const payload = written(data);
    const no = echo === false ? echo : undefined;
    const body = { topic, idem, key, tags, ttl_ms: ttlMs, echo: no, data: payload } as const;
    return this.#settled((now) => this.#machine.publish(body, bytesOf(payload), now));
  }

  /** The same without a promise: a failure is a `warning`. */
  send(topic: string, data: unknown, options?: PublishOptions): void {
    this.publish(topic, data, options).catch((error: unknown) => {
      if (error instanceof CorewireError) this.#warn(error);
      else report(error);
    });
  }

  /** @internal For `corewire/history`: a page, by the next connection that there is. */
  async page(body: HistoryCommand): Promise<PageBody> {
    await this.connect();
    return this.#settled((now) => this.#machine.history(body, now));
  }

  /** Calls with each event of this type. Returns what ends that. */
  on<E extends keyof ClientEvents>(
    type: E,
    listener: (event: ClientEvents[E]) => void,
  ): () => void {
    const listeners = this.#listeners[type] as Set<(event: ClientEvents[E]) => void>;
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  /**
   * Says good-bye: subscriptions end, and what was published before is finished. Resolves when the
   * connection is gone.
   */
  async close(): Promise<void> {
    this.#do((now) => this.#machine.close(now));
    // What cannot be connected any more rejects when it has stopped.
    await this.connect().catch(() => {});
  }

  /** What becomes of that which the machine was asked. */
  #settled<T>(ask: (now: number) => number): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#do(ask, (id) => this.#waiting.set(id, { resolve, reject }));
    });
  }

  /** Calls the machine, and `then` with what it returns, before anything comes of it. */
  #do<R>(call: (now: number) => R, then?: (result: R) => void): R {
    const now = this.#clock.now();
    const skew = this.#clock.wall() - now;
    if (Math.abs(skew - this.#skew) > JUMP_MS) {
      this.#skew = skew;
      this.#machine.woke(now);
    }
    const result = call(now);
    then?.(result);
    this.#drain();
    return result;
  }

  #drain(): void {
    // An application that is told something may call back: its effects come after these.
    if (this.#isDraining) return;
    this.#isDraining = true;
    const { effects } = this.#machine;
    while (effects.length > 0) {
      for (const effect of effects.splice(0)) this.#driver[effect.do](effect as never);
    }
    this.#isDraining = false;
    this.#arm();
  }

  #arm(): void {
    const at = this.#machine.deadline();
    // An alarm that comes too early only looks again.
    const isNever = at === NEVER;
    if (this.#alarm !== undefined && this.#alarm.at <= at && !isNever) return;
    this.#alarm?.off();
    this.#alarm = undefined;
    if (isNever) return;
    const off = this.#clock.after(Math.max(0, at - this.#clock.now()), () => {
      this.#alarm = undefined;
      this.#do((now) => this.#machine.timeout(now));
    });
    this.#alarm = { at, off };
  }

  #open(link: number, url: string): void {
    const machine = this.#machine;
    try {
      const connection = this.#transport?.(url, [this.#dialect.subprotocol], {
        opened: () => this.#do((now) => machine.opened(link, now)),
        message: (message) => this.#do((now) => this.#receive(link, message, now)),
        lost: (code, reason) => {
          this.#connections.delete(link);
          this.#do((now) => machine.lost(link, code, reason, now));
        },
      });
      if (connection !== undefined) this.#connections.set(link, connection);
    } catch (error) {
      // Such as ws: from a page that came by https:.
      machine.lost(link, undefined, `${(error as Error).message}`, this.#clock.now());
    }
  }

  #receive(link: number, message: string | ArrayBuffer, now: number): void {
    try {
      this.#machine.message(link, this.#dialect.decode(message), now);
    } catch (error) {
      if (!(error instanceof CorewireError)) throw error;
      this.#machine.broken(link, error, now);
    }
  }

  #send(link: number, requests: readonly Request[], bytesMax: number): void {
    const connection = this.#connections.get(link);
    let batch: (string | Uint8Array)[] = [];
    let bytes = 0;
    const flush = (): void => {
      if (batch.length > 0) connection?.send(this.#dialect.join(batch));
      batch = [];
      bytes = 0;
    };
    for (const request of requests) {
      const message = this.#dialect.encode(request);
      const more = bytesOf(message);
      if (more > bytesMax) {
        this.#do((now) => this.#machine.tooLarge(link, request, more, now));
        continue;
      }
      // A list has a comma, or a bracket, for each.
      bytes += more + 1;
      if (bytes >= Math.min(BATCH_BYTES, bytesMax) || batch.length === BATCH_MAX) {
        flush();
        bytes = more + 1;
      }
      batch.push(message);
    }
    flush();
  }

  async #fetchToken(): Promise<void> {
    const { token } = this.#options;
    let answer: string | CorewireError;
    try {
      answer = typeof token === "function" ? await token() : (token ?? "");
    } catch (cause) {
      const text = `the function that fetches tokens failed: ${(cause as Error)?.message ?? cause}`;
      answer = new CorewireError("unauthorized", text, { cause });
    }
    this.#do((now) => this.#machine.token(answer, now));
  }

  #unsubscribe(feed: Feed): void {
    this.#do((now) => this.#machine.unsubscribe(feed, now));
    this.#subscriptions.delete(feed.s);
  }

  #warn(error: CorewireError): void {
    if (this.#listeners.warning.size > 0) this.#emit("warning", error);
    else console.warn(`corewire: ${error.message}`);
  }

  #emit<E extends keyof ClientEvents>(type: E, event: ClientEvents[E]): void {
    for (const listener of this.#listeners[type] as Set<(event: ClientEvents[E]) => void>) {
      try {
        listener(event);
      } catch (error) {
        report(error);
      }
    }
  }
}

function webSocketUrl(url: string | URL): string {
  const base = (globalThis as { location?: Location }).location?.href;
  try {
    const socket = new URL(url, base).href.replace(/^http/, "ws");
    if (/^wss?:/.test(socket)) return socket;
  } catch {
    // It is named below.
  }
  throw new TypeError(`${url} is no address of a server, such as wss://example.org/ws`);
}

/** An error of the application's own: it is thrown where nothing of ours is interrupted by it. */
function report(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
