/**
 * A model of the server, for tests: topics with a log, resume, numbered publications, credit. It keeps
 * the promises of docs/native-protocol.md and is as simple as they allow.
 */

import type { Connection, Listener, Transport } from "../src/transport.js";
import type { FakeClock } from "./clock.js";

// biome-ignore lint/suspicious/noExplicitAny: words are looked into as they come
type Word = any;

interface Entry {
  readonly o: number;
  readonly pub: { user: string; conn: string; pseq?: number };
  readonly data: unknown;
  readonly mark: number;
}

class Topic {
  readonly log: Entry[] = [];
  readonly t: number;
  readonly name: string;
  readonly epoch: string;
  end = 0;

  constructor(t: number, name: string, epoch: string) {
    this.t = t;
    this.name = name;
    this.epoch = epoch;
  }

  /** What was let go of: offsets up to this one. */
  get gone(): number {
    return (this.log[0]?.o ?? this.end + 1) - 1;
  }
}

interface Delivery {
  readonly topic: Topic;
  readonly routes: number[];
  cursor: number;
  sent: number;
  credit: number;
  isAnnounced: boolean;
}

interface Sub {
  readonly s: number;
  readonly topic: string;
  readonly credit: number;
}

interface Producer {
  incarnation: number;
  readonly topics: Map<string, number[]>;
}

/** One connection, seen from the server. */
export class Peer {
  readonly subs = new Map<number, Sub>();
  readonly deliveries = new Map<string, Delivery>();
  readonly heard: Word[] = [];
  session: Producer | undefined;
  incarnation = 0;
  conn = "";
  open = false;
  /** What it says is lost, and what it is told, too. */
  isDead = false;

  readonly server: Server;
  readonly listener: Listener;
  readonly url: string;

  constructor(server: Server, listener: Listener, url: string) {
    this.server = server;
    this.listener = listener;
    this.url = url;
  }

  say(...words: Word[]): void {
    if (words.length > 0) {
      this.raw(JSON.stringify(words.length === 1 ? words[0] : words));
    }
  }

  raw(message: string): void {
    this.server.later(() => {
      if (this.open && !this.isDead) this.listener.message(message);
    });
  }

  close(code?: number, reason = ""): void {
    this.server.later(() => {
      if (!this.open) return;
      this.drop();
      this.listener.lost(code, reason);
    });
  }

  /** The connection is gone at once, with all that was on its way. */
  cut(): void {
    if (!this.open) return;
    this.drop();
    this.listener.lost(undefined, "cut");
  }

  drop(): void {
    this.open = false;
    this.server.peers.delete(this);
  }
}

export class Server {
  readonly peers = new Set<Peer>();
  readonly topics = new Map<string, Topic>();
  readonly producers = new Map<string, Producer>();
  /** All connections that were opened. */
  readonly opened: Peer[] = [];
  node = "n1";
  /** Messages that a topic keeps. */
  retained = 1000;
  /** Whether connections are refused. */
  isDown = false;
  pingMs = 25_000;
  /** A longer message closes the connection, whatever the client was told. */
  messageBytesMax = Number.POSITIVE_INFINITY;
  welcome: Record<string, unknown> = {};
  /** Answers in place of the model, if it returns something. */
  answer:
    | ((peer: Peer, is: string, body: Word, id: number | undefined) => Word | undefined)
    | undefined;
  latency: () => number = () => 1;
  #mark = 0;
  readonly #said: Word[] = [];
  #aliases = 0;
  #conns = 0;
  #life = 0;

  readonly clock: FakeClock;

  constructor(clock: FakeClock) {
    this.clock = clock;
  }

  readonly transport: Transport = (url, _protocols, listener): Connection => {
    const peer = new Peer(this, listener, url);
    this.later(() => {
      if (this.isDown) return listener.lost(undefined, "refused");
      peer.open = true;
      this.peers.add(peer);
      this.opened.push(peer);
      listener.opened("corewire.v1.json");
    });
    return {
      send: (message) => {
        this.later(() => {
          if (!peer.open || peer.isDead) return;
          if (message.length > this.messageBytesMax) return peer.close(1009, "too large (limit)");
          const words: Word = JSON.parse(message as string);
          for (const word of Array.isArray(words) ? words : [words]) this.#hear(peer, word);
        });
      },
      abort: () => peer.drop(),
    };
  };

  /** In order for each connection, as TCP is: one latency at a time. */
  later(call: () => void): void {
    this.clock.after(this.latency(), call);
  }

  /** The newest connection. */
  get peer(): Peer {
    const peer = [...this.peers].at(-1);
    if (peer === undefined) throw new Error("nobody is connected");
    return peer;
  }

  /** All that was heard of this word on all connections. */
  heard(is: string): Word[] {
    return this.opened.flatMap(({ heard }) =>
      heard.filter((word) => is in word).map((word) => word[is]),
    );
  }

  topic(name: string): Topic {
    let topic = this.topics.get(name);
    if (topic === undefined) {
      this.#aliases += 1;
      topic = new Topic(this.#aliases, name, `${this.node}.${this.#life}`);
      this.topics.set(name, topic);
    }
    return topic;
  }

  /** Publishes as somebody. */
  publish(name: string, data: unknown, pub: Entry["pub"] = { user: "u", conn: "c" }): number {
    const topic = this.topic(name);
    topic.end += 1;
    this.#mark += 1;
    topic.log.push({ o: topic.end, pub, data, mark: this.#mark });
    if (topic.log.length > this.retained) topic.log.shift();
    for (const peer of this.peers) {
      for (const sub of peer.subs.values()) {
        if (covers(sub.topic, name)) this.#route(peer, sub, topic, topic.end - 1);
      }
      this.#pump(peer);
    }
    return topic.end;
  }

  /** The process is killed and started again: it has forgotten everything. */
  restart(): void {
    for (const peer of [...this.peers]) peer.cut();
    this.topics.clear();
    this.producers.clear();
    this.#life += 1;
    this.node = `n${this.#life + 1}`;
  }

  #hear(peer: Peer, word: Word): void {
    peer.heard.push(word);
    const { id } = word;
    const is = Object.keys(word).find((name) => name !== "id") as string;
    const body = word[is];
    const answer = this.answer?.(peer, is, body, id);
    if (answer !== undefined) {
      if (answer !== null) peer.say(id === undefined ? answer : { id, ...answer });
      return;
    }
    switch (is) {
      case "hello":
        return this.#hello(peer, id, body);
      case "sub": {
        peer.say({ id, ...this.#subscribe(peer, body) });
        return this.#pump(peer);
      }
      case "unsub":
        peer.subs.delete(body.s);
        return peer.say({ id, ok: {} });
      case "pub":
        return this.#pub(peer, id, body);
      case "credit":
        return this.#credit(peer, body);
      case "pong":
      case "auth":
        if (id !== undefined) peer.say({ id, ok: {} });
        return;
      case "hist":
        return peer.say({ id, ...this.#page(body) });
      case "state":
        if (id !== undefined) peer.say({ id, ok: {} });
        return;
      case "bye":
        return peer.close(1000);
    }
  }

  #hello(peer: Peer, id: number, { resume, subs = [] }: Word): void {
    this.#conns += 1;
    peer.conn = `c${this.#conns}`;
    const known = this.producers.get(resume);
    const session = known ?? { incarnation: 0, topics: new Map() };
    session.incarnation += 1;
    peer.session = session;
    peer.incarnation = session.incarnation;
    const ticket = known === undefined ? `ticket ${peer.conn}` : resume;
    this.producers.set(ticket, session);
    const answers = subs.map((sub: Sub) => this.#subscribe(peer, sub));
    peer.say({
      id,
      welcome: {
        conn: peer.conn,
        node: this.node,
        user: "u",
        ticket,
        ...(known === undefined ? {} : { resumed: true }),
        ping_ms: this.pingMs,
        slack_ms: 10_000,
        limits: LIMITS,
        subs: answers,
        time_ms: 0,
        ...this.welcome,
      },
    });
    this.#pump(peer);
  }

  #subscribe(peer: Peer, sub: Word): Word {
    const isPattern = /[*>]/.test(sub.topic);
    const isKnown = !isPattern && peer.deliveries.has(sub.topic);
    if (isKnown && (sub.credit ?? sub.policy) !== undefined) {
      return { err: { code: 106, name: "already", text: "sub.credit" } };
    }
    peer.subs.set(sub.s, sub);
    const policy = { mode: "all" };
    const life = `${this.node}.${this.#life}`;
    if (isPattern) {
      const [known, mark] = (sub.from?.pos ?? "").split(" ");
      const isKnown = known === life;
      const since = isKnown ? Number(mark) : this.#mark;
      const resets = sub.from?.pos !== undefined && !isKnown;
      if (resets)
        this.#said.push({ reset: { s: sub.s, pos: `${life} ${this.#mark}`, cause: "node" } });
      for (const topic of this.topics.values()) {
        const first = topic.log.find((entry) => entry.mark > since);
        const seen = (sub.from?.seen ?? []).find((one: Word) => one.topic === topic.name);
        if (!covers(sub.topic, topic.name) || first === undefined) continue;
        this.#route(peer, sub, topic, Math.max(first.o - 1, seen?.offset ?? 0));
      }
      const recovered = sub.from === undefined ? {} : { recovered: isKnown };
      return { subbed: { s: sub.s, pos: `${life} ${since}`, ...recovered, policy } };
    }
    const topic = this.topic(sub.topic);
    const { from } = sub;
    let after = topic.end;
    let recovered: boolean | undefined;
    if (from?.last !== undefined) after = Math.max(topic.gone, topic.end - from.last);
    if (from?.epoch !== undefined) {
      recovered =
        from.epoch === topic.epoch && from.offset >= topic.gone && from.offset <= topic.end;
      if (recovered) after = from.offset;
      else
        this.#said.push({
          reset: { t: topic.t, epoch: topic.epoch, offset: after, cause: "retention" },
        });
    }
    const delivery = this.#route(peer, sub, topic, after);
    const { t, epoch } = topic;
    const replay = topic.end > after ? { replay_to: topic.end } : {};
    const said = recovered === undefined ? {} : { recovered };
    return { subbed: { s: sub.s, t, epoch, offset: delivery.cursor, ...said, ...replay, policy } };
  }

  #route(peer: Peer, sub: Sub, topic: Topic, after: number): Delivery {
    let delivery = peer.deliveries.get(topic.name);
    if (delivery === undefined) {
      delivery = {
        topic,
        routes: [],
        cursor: after,
        sent: 0,
        credit: sub.credit,
        isAnnounced: false,
      };
      peer.deliveries.set(topic.name, delivery);
    }
    if (!delivery.routes.includes(sub.s)) {
      delivery.routes.push(sub.s);
      delivery.isAnnounced = false;
    }
    return delivery;
  }

  #pump(peer: Peer): void {
    // What is said of a stream first.
    for (const reset of this.#said.splice(0)) peer.say(reset);
    for (const delivery of peer.deliveries.values()) {
      const { topic, routes } = delivery;
      const { t, epoch, name } = topic;
      while (delivery.cursor < topic.end && delivery.sent < delivery.credit) {
        if (!delivery.isAnnounced) {
          delivery.isAnnounced = true;
          peer.say({ topic: { t, topic: name, s: routes, epoch, offset: delivery.cursor } });
        }
        if (delivery.cursor < topic.gone) {
          const gap = {
            t,
            from: delivery.cursor + 1,
            to: topic.gone,
            cause: "retention",
            repair: "none",
          };
          peer.say({ gap });
          delivery.cursor = topic.gone;
          continue;
        }
        const entry = topic.log.find(({ o }) => o === delivery.cursor + 1) as Entry;
        const { o, pub, data } = entry;
        peer.say({ msg: { t, o, ts: o, pub, data } });
        delivery.cursor = o;
        delivery.sent += 1;
      }
    }
  }

  /** Tells each pattern how far it has come, as the server does once a second. */
  tellPositions(): void {
    for (const peer of this.peers) {
      const isCaughtUp = [...peer.deliveries.values()].every(
        ({ cursor, topic }) => cursor === topic.end,
      );
      for (const { s, topic } of peer.subs.values()) {
        if (!/[*>]/.test(topic) || !isCaughtUp) continue;
        peer.say({ pos: { s, pos: `${this.node}.${this.#life} ${this.#mark}` } });
      }
    }
  }

  #pub(peer: Peer, id: number | undefined, { topic, pseq, data }: Word): void {
    const offsets = peer.session?.topics.get(topic) ?? [];
    peer.session?.topics.set(topic, offsets);
    const refuse = (code: number, name: string, text: string): void => {
      if (id !== undefined) peer.say({ id, err: { code, name, text } });
    };
    if (peer.incarnation !== peer.session?.incarnation) return refuse(113, "conflict", "fenced");
    const known = pseq === undefined ? undefined : offsets[pseq - 1];
    const epoch = this.topic(topic).epoch;
    if (known !== undefined) {
      return peer.say({ id, pubbed: { epoch, offset: known, level: "mem", dup: true } });
    }
    if (pseq !== undefined && offsets.length > 0 && pseq !== offsets.length + 1) {
      return refuse(104, "bad_request", `pub.pseq: ${pseq}; ${offsets.length + 1} is expected`);
    }
    const offset = this.publish(topic, data, { user: "u", conn: peer.conn, pseq });
    if (pseq !== undefined) offsets[pseq - 1] = offset;
    if (id !== undefined) peer.say({ id, pubbed: { epoch, offset, level: "mem" } });
  }

  #credit(peer: Peer, { t, msgs }: Word): void {
    for (const delivery of peer.deliveries.values()) {
      if (delivery.topic.t === t) delivery.credit = Math.max(delivery.credit, msgs);
    }
    this.#pump(peer);
  }

  #page({ topic: name, from, dir, limit = 100 }: Word): Word {
    const { t, epoch, log, end, gone } = this.topic(name);
    if (from?.epoch !== undefined && from.epoch !== epoch) {
      return { err: { code: 110, name: "bad_position", text: "hist.from: another epoch" } };
    }
    const after = dir === "backward" ? 0 : (from?.offset ?? 0);
    const before = dir === "backward" ? (from?.offset ?? end + 1) : end + 1;
    const all = log.filter(({ o }) => o > after && o < before);
    const some = dir === "backward" ? all.slice(-limit) : all.slice(0, limit);
    const items = some.map(({ o, pub, data }) => ({ o, ts: o, pub, data }));
    const first = items[0]?.o ?? after + 1;
    const complete = some.length === all.length;
    const start = dir === "backward" ? first - 1 : Math.max(after, gone);
    return { page: { t, epoch, start, end: items.at(-1)?.o ?? after, complete, items } };
  }
}

function covers(subject: string, topic: string): boolean {
  const levels = topic.split(".");
  const wanted = subject.split(".");
  const fits = wanted.every(
    (level, place) => level === ">" || level === "*" || level === levels[place],
  );
  return (
    fits &&
    (wanted.at(-1) === ">" ? levels.length >= wanted.length : levels.length === wanted.length)
  );
}

export const LIMITS = {
  message_bytes: 1_048_576,
  topic_bytes: 255,
  topic_levels: 16,
  subscriptions: 10_000,
  backlog_bytes: 262_144,
  publish_per_s: 0,
  publish_burst: 0,
  unanswered: 1024,
  history_items: 1000,
};
