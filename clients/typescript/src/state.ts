/**
 * The state beside the messages of a topic, as a watcher sees it: pages and diffs go in, what has
 * changed comes out, and whether something was missed.
 *
 * ```text
 *              ask                    the last page
 *   stale ───────────▶ paging ───────────────────────▶ live
 *     ▲                  ▲                               │ the digest disagrees
 *     │ the connection   └───────────────────────────────┤
 *     └──────────────────────────────────────────────────┘
 * ```
 *
 * @module
 */

import type { EntryBody, MembersBody, SetBody, StateBody } from "./words.js";

/** The namespace of those who are there. */
export const PRESENCE = "presence";

/** Pages that are asked for in a row because the set does not agree with its digest. */
const REPAIRS_MAX = 3;

/** One entry. */
export interface Entry<V = unknown> {
  /** Its key: of presence, and where its owner chose none, one for each connection. */
  readonly key: string;
  /** Who set it. */
  readonly user: string;
  /** What it says. */
  readonly value: V;
  /** The version of the set when it was set last. */
  readonly version: number;
}

/** What has changed. */
export interface Change<V = unknown> {
  readonly added: readonly Entry<V>[];
  /** Those that say something else now. */
  readonly updated: readonly Entry<V>[];
  readonly removed: readonly Entry<V>[];
  /** Users whose first entry came: one with several connections comes once. */
  readonly usersAdded: readonly string[];
  /** Users whose last entry went. */
  readonly usersRemoved: readonly string[];
}

type Stage =
  | { readonly at: "stale" }
  | {
      readonly at: "paging";
      readonly draft: Roll;
      readonly gone: Map<string, number>;
      entries: number;
    }
  | { readonly at: "live" };

/** A set of entries with its digest, which each change keeps up: none costs more in a larger set. */
export interface Roll {
  readonly entries: Map<string, Entry>;
  high: number;
  low: number;
}

/** One namespace of one topic. */
export interface View {
  stage: Stage;
  roll: Roll;
  /** Entries of each user. */
  readonly users: Map<string, number>;
  /** What the server said last of the whole set. */
  told: Pick<SetBody, "ver" | "n" | "users" | "digest">;
  repairs: number;
}

/** What came of a page or a diff. */
export interface Applied {
  readonly change?: Change;
  /** Another page is to be asked for: behind this cursor, or from the beginning. */
  readonly ask?: { readonly after?: string };
}

/** A view that knows nothing. */
export function newView(): View {
  return {
    stage: { at: "stale" },
    roll: newRoll(),
    users: new Map(),
    told: { ver: 0, n: 0, digest: 0 },
    repairs: 0,
  };
}

/** The first page is being asked for. What was known is shown until the last one is here. */
export function startPaging(view: View): void {
  view.stage = { at: "paging", draft: newRoll(), gone: new Map(), entries: 0 };
}

/** Takes in a page. */
export function applyPage(view: View, page: MembersBody): Applied {
  const { stage } = view;
  if (stage.at !== "paging") return {};
  // Versions begin anew with a server's memory: only those of one paging can be compared.
  if (stage.entries === 0 || page.ver >= view.told.ver) view.told = page;
  stage.entries += 1;
  for (const body of page.items) put(stage.draft, body, stage.gone);
  if (page.next !== undefined) return { ask: { after: page.next } };
  const before = view.roll.entries;
  view.roll = stage.draft;
  view.stage = { at: "live" };
  return { ...changed(view, compare(before, view.roll.entries)), ...check(view) };
}

/** Takes in what has changed. */
export function applyDiff(view: View, diff: StateBody): Applied {
  const { stage } = view;
  if (stage.at === "stale") return {};
  if (stage.at === "paging") {
    if (diff.ver >= view.told.ver) view.told = diff;
    for (const body of diff.set) put(stage.draft, body, stage.gone);
    for (const key of diff.del) {
      stage.gone.set(key, diff.ver);
      remove(stage.draft, key, diff.ver);
    }
    return {};
  }
  // One from before the last page, which has it already.
  if (diff.ver < view.told.ver) return {};
  view.told = diff;
  const before = new Map<string, Entry>();
  const after = new Map<string, Entry>();
  for (const key of [...diff.set.map(({ k }) => k), ...diff.del]) {
    const entry = view.roll.entries.get(key);
    if (entry !== undefined) before.set(key, entry);
  }
  for (const body of diff.set) put(view.roll, body);
  for (const key of diff.del) remove(view.roll, key, diff.ver);
  for (const { k } of diff.set) {
    const entry = view.roll.entries.get(k);
    if (entry !== undefined) after.set(k, entry);
  }
  return { ...changed(view, compare(before, after)), ...check(view) };
}

/** The connection is gone. What was known is shown until it is known anew. */
export function stale(view: View): void {
  view.stage = { at: "stale" };
  view.repairs = 0;
}

/** Nothing is known any more. */
export function clear(view: View): Applied {
  const before = view.roll.entries;
  view.roll = newRoll();
  view.told = { ver: 0, n: 0, digest: 0 };
  return changed(view, compare(before, view.roll.entries));
}

const utf8 = new TextEncoder();

/** What one entry contributes to the digest of its set, as two halves of 24 bits. */
export function entryDigest(key: string, version: number): readonly [high: number, low: number] {
  const bytes = utf8.encode(`${key}\0${version}`);
  return [half(0x811c9dc5, bytes), half(0x9747b28c, bytes)];
}

/** FNV-1a, the last step of MurmurHash3, and of that the upper 24 bits. */
function half(start: number, bytes: Uint8Array): number {
  let hash = start;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 8;
}

/** The digest of a set: the exclusive or over its entries. */
export function digestOf({ high, low }: Pick<Roll, "high" | "low">): number {
  return high * 2 ** 24 + low;
}

function newRoll(): Roll {
  return { entries: new Map(), high: 0, low: 0 };
}

/** The entry comes into the digest, or leaves it. */
export function toggle(roll: Pick<Roll, "high" | "low">, { key, version }: Entry): void {
  const [high, low] = entryDigest(key, version);
  roll.high ^= high;
  roll.low ^= low;
}

/** Whether the view has what the server says; asks for a page if not. */
function check(view: View): Applied {
  const { n, digest } = view.told;
  if (view.roll.entries.size === n && digestOf(view.roll) === digest) {
    view.repairs = 0;
  } else if (view.repairs < REPAIRS_MAX) {
    view.repairs += 1;
    return { ask: {} };
  } else {
    // The next diff tries again.
    view.repairs = 0;
  }
  return {};
}

/** The entry that was set last stays. */
function put(roll: Roll, { k, user, v, ver }: EntryBody, gone?: Map<string, number>): void {
  const known = roll.entries.get(k);
  if (ver <= Math.max(known?.version ?? -1, gone?.get(k) ?? -1)) return;
  const entry = { key: k, user, value: v, version: ver };
  if (known !== undefined) toggle(roll, known);
  toggle(roll, entry);
  roll.entries.set(k, entry);
}

function remove(roll: Roll, key: string, version: number): void {
  const known = roll.entries.get(key);
  if (known === undefined || known.version > version) return;
  toggle(roll, known);
  roll.entries.delete(key);
}

type Entries = Pick<Change, "added" | "updated" | "removed">;

function compare(before: ReadonlyMap<string, Entry>, after: ReadonlyMap<string, Entry>): Entries {
  const added: Entry[] = [];
  const updated: Entry[] = [];
  for (const [key, entry] of after) {
    const old = before.get(key);
    if (old === undefined || old.user !== entry.user) added.push(entry);
    else if (JSON.stringify(old.value) !== JSON.stringify(entry.value)) updated.push(entry);
  }
  const removed = [...before.values()].filter(({ key, user }) => after.get(key)?.user !== user);
  return { added, updated, removed };
}

/** Counts users: the first entry in, the last one out. */
function changed(view: View, { added, updated, removed }: Entries): Applied {
  const touched = new Map<string, number>();
  const count = (user: string, by: number): void => {
    const entries = view.users.get(user) ?? 0;
    if (!touched.has(user)) touched.set(user, entries);
    if (entries + by > 0) view.users.set(user, entries + by);
    else view.users.delete(user);
  };
  for (const { user } of added) count(user, 1);
  for (const { user } of removed) count(user, -1);
  if (added.length + updated.length + removed.length === 0) return {};
  const usersAdded = [...touched].filter(([user, before]) => before === 0 && view.users.has(user));
  const usersRemoved = [...touched].filter(([user, before]) => before > 0 && !view.users.has(user));
  const names = (users: [string, number][]): string[] => users.map(([user]) => user);
  return {
    change: {
      added,
      updated,
      removed,
      usersAdded: names(usersAdded),
      usersRemoved: names(usersRemoved),
    },
  };
}
