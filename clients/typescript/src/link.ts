/**
 * One connection as the machine sees it: what was said and waits for an answer, which topics it
 * carries, how much the server may send, and when it is to be given up.
 *
 * @module
 */

import { NEVER } from "./clock.js";
import type { Feed, Watcher } from "./feed.js";
import { newPace, type Pace } from "./pace.js";
import type { Limits, Place, Pushes, Request } from "./words.js";

/** Milliseconds that a server has to answer whether it is there. */
const PROBE_MS = 3000;
/** A timer that comes so late says that the process slept: what was sent meanwhile was not looked at. */
const LATE_MS = 1000;

/**
 * How far a connection has come.
 *
 * ```text
 *   opening ──▶ greeting ──welcome──▶ ready ──▶ leaving
 * ```
 */
export type Stage =
  | { readonly at: "opening"; readonly until: number }
  | { readonly at: "greeting"; readonly until: number }
  | { readonly at: "ready" }
  | { readonly at: "leaving"; readonly until: number };

/** What a reply is waited for. */
export type Awaited =
  | { readonly is: "hello"; readonly feeds: readonly Feed[] }
  | { readonly is: "sub"; readonly feed: Feed }
  | { readonly is: "state"; readonly watcher: Watcher }
  | { readonly is: "call"; readonly id: number }
  | { readonly is: "unsub" | "auth" | "probe" };

/** One topic on one connection. */
export interface Delivery {
  readonly t: number;
  readonly topic: string;
  epoch: string;
  routes: number[];
  /** Messages that the server may have sent, and those that all have taken. */
  granted: number;
  taken: number;
  /** Whether what is left out is counted afterwards, by `conflated`. */
  counted: boolean;
}

/** A message that the application has, for the credit that it gives back when it was taken. */
export interface Ticket {
  readonly link: Link;
  readonly delivery: Delivery;
  /** Subscriptions that have not taken it. */
  left: number;
}

/** One connection. */
export interface Link {
  readonly id: number;
  /** The number of the last command, shared by all connections of a client. */
  readonly commands: { last: number };
  stage: Stage;
  heardAt: number;
  /** What is never exceeded by the server's silence, as far as it has said so. */
  silenceMs: number;
  probeUntil: number | undefined;
  readonly awaiting: Map<number, { readonly what: Awaited; sentAt: number }>;
  /** Subscriptions that the server was told of. */
  readonly said: Set<Feed>;
  limits: Limits | undefined;
  pace: Pace;
  /** What the server has said about its end. */
  hints: Partial<Pushes["closing"]>;
  /** Credit of all topics together. */
  granted: number;
  /** Messages that came by it. */
  received: number;
  readonly deliveries: Map<number, Delivery>;
  /** Whether the server takes no publications from it any more: another connection has its session. */
  isFenced: boolean;
  /** Commands that go out with the next message. */
  out: Request[];
}

/** A connection that is being opened. */
export function newLink(commands: { last: number }, id: number, until: number, now: number): Link {
  return {
    id,
    commands,
    stage: { at: "opening", until },
    heardAt: now,
    silenceMs: NEVER,
    probeUntil: undefined,
    awaiting: new Map(),
    said: new Set(),
    limits: undefined,
    pace: newPace(0, 0),
    hints: {},
    granted: 0,
    received: 0,
    deliveries: new Map(),
    isFenced: false,
    out: [],
  };
}

/** Whether the server takes commands: the `hello` is out. */
export function takesCommands({ stage }: Link): boolean {
  return stage.at === "greeting" || stage.at === "ready";
}

/** Whether the server has welcomed it, and it is not being left. */
export function isReady(link: Link | undefined): link is Link {
  return link?.stage.at === "ready";
}

/** Whether everything that was asked for when the connection opened has its answer. */
export function isSettled(link: Link): boolean {
  const waits = [...link.awaiting.values()].some(
    ({ what }) => what.is === "sub" || what.is === "state",
  );
  return link.stage.at === "ready" && !waits && link.out.length === 0;
}

/** Has a command sent whose reply is waited for. */
export function ask<W extends Request["is"]>(
  link: Link,
  what: Awaited,
  now: number,
  is: W,
  body: Extract<Request, { is: W }>["body"],
): void {
  link.commands.last += 1;
  const id = link.commands.last;
  link.awaiting.set(id, { what, sentAt: now });
  link.out.push({ is, id, body } as Request);
}

/** Asks whether the server is there, unless that was asked already. */
export function probe(link: Link, now: number): void {
  if (link.stage.at !== "ready" || link.probeUntil !== undefined) return;
  link.probeUntil = now + PROBE_MS;
  ask(link, { is: "probe" }, now, "pong", {});
}

/** A topic comes by this alias. */
export function deliver(
  link: Link,
  t: number,
  topic: string,
  { epoch }: Place,
  window: number,
): Delivery {
  const fresh = { t, topic, epoch, routes: [], counted: false, granted: window, taken: 0 };
  const delivery: Delivery = link.deliveries.get(t) ?? fresh;
  link.deliveries.set(t, delivery);
  delivery.epoch = epoch;
  return delivery;
}

/**
 * The new total of what may have been sent, if half of the window is used up: not each message costs
 * one of our own.
 */
export function grant(to: { granted: number }, taken: number, window: number): number | undefined {
  const next = Math.max(1, taken + window);
  if (to.granted > 0 && next - to.granted <= window / 2) return undefined;
  to.granted = next;
  return next;
}

/** When something is due on this connection. */
export function dueAt(link: Link, replyTimeoutMs: number): number {
  if (link.stage.at !== "ready") return link.stage.until;
  if (link.probeUntil !== undefined) return link.probeUntil;
  const [first] = link.awaiting.values();
  const reply = first === undefined ? NEVER : first.sentAt + replyTimeoutMs;
  return Math.min(reply, link.heardAt + link.silenceMs);
}

/** What is to be done when that moment has come: a timer that comes late asks first. */
export function overdue(link: Link, replyTimeoutMs: number, now: number): "no" | "ask" | "lost" {
  const due = dueAt(link, replyTimeoutMs);
  if (due > now) return "no";
  const wasAsked = link.stage.at !== "ready" || link.probeUntil !== undefined;
  return wasAsked || now - due < LATE_MS ? "lost" : "ask";
}
