/**
 * What waits to be published, and what was sent and waits for its reply.
 *
 * ```text
 *             sent                  the reply
 *   queued ─────────▶ in flight ─────────────────▶ published, or refused
 *     ▲                   │
 *     │ the same session  │ the connection ends
 *     └───────────────────┤
 *                         └─ another session of the same server, or 111 ─▶ uncertain
 * ```
 *
 * Within a session each topic's publications are numbered (`pseq`), and the server knows a number that
 * it has seen: what is sent again is published once. A server that was started anew has forgotten all
 * that it held: what it had not answered, and may have published, is published again only with an
 * `idem`.
 *
 * @module
 */

import { NEVER } from "./clock.js";
import type { Effect } from "./effect.js";
import { againMs, CorewireError, refusal } from "./errors.js";
import type { ErrorBody, PublishCommand, Replies } from "./words.js";

/** What a publication costs beside its bytes. */
export const OVERHEAD_BYTES = 128;
/** Topics whose publications are numbered. Those of further topics carry no `pseq`. */
const NUMBERED_TOPICS_MAX = 65_536;

/** The code for a number that is not the next one. */
const BAD_REQUEST = 104;
/** The code for what may have been published by a part of the server that has lost its memory. */
const UNAVAILABLE = 111;
/** The code for what is larger than the server takes. */
export const TOO_LARGE = 114;

/** Where a message now stands. */
export interface Published {
  /** In which epoch the offset counts. */
  readonly epoch: string;
  /** The message's place in its topic. */
  readonly offset: number;
  /** Whether the server had it already: it was sent twice and published once. */
  readonly duplicate: boolean;
}

/** What became of a publication. */
export type Outcome = Published | CorewireError;

/** A publication on its way. */
export interface Publication {
  readonly id: number;
  readonly body: Omit<PublishCommand, "pseq">;
  readonly bytes: number;
  readonly askedAt: number;
  /** While it is in flight: the `id` of its command. */
  sentAs: number | undefined;
  pseq: number | undefined;
  attempts: number;
}

/** All publications of a client. Each ends with exactly one outcome. */
export class Outbox {
  /** In the order in which they were asked for. */
  readonly #all = new Map<number, Publication>();
  /** By the `id` of their command. */
  readonly #inFlight = new Map<number, Publication>();
  bytes = 0;
  bytesInFlight = 0;
  /** Nothing is sent before this moment. */
  heldUntil = 0;
  /** A number was given to what is not sent any more: this session can publish no further. */
  hasHole = false;
  /** The last number given in each topic. */
  readonly #numbers = new Map<string, number>();
  /**
   * Of topics whose order is broken by a refusal: the number that is free again. Those behind it
   * are refused, too, and sent again when nothing is in flight any more.
   */
  readonly #broken = new Map<string, number>();
  /** Topics whose first publication of this session is not answered yet. */
  readonly #beginning = new Set<string>();
  /** The server has closed a connection for one of those up to this one: each of them goes alone. */
  #suspectTo = 0;
  readonly #effects: Effect[];

  constructor(effects: Effect[]) {
    this.#effects = effects;
  }

  get size(): number {
    return this.#all.size;
  }

  get inFlight(): number {
    return this.#inFlight.size;
  }

  /** Whether only one may be in flight. */
  get isAlone(): boolean {
    const [first] = this.#all.keys();
    return (first ?? NEVER) <= this.#suspectTo;
  }

  /**
   * The next one to be sent, but for the bounds of the connection. The first one of a topic is answered
   * before others follow, for a server that does not know a producer takes any number from it.
   */
  next(now: number): Publication | undefined {
    if (this.#broken.size > 0 || this.heldUntil > now) return undefined;
    for (const publication of this.#all.values()) {
      const { sentAs, body } = publication;
      if (sentAs === undefined && !this.#beginning.has(body.topic)) return publication;
    }
    return undefined;
  }

  push(id: number, body: Omit<PublishCommand, "pseq">, bytes: number, askedAt: number): void {
    const fresh = { sentAs: undefined, pseq: undefined, attempts: 0 };
    this.#all.set(id, { id, body, bytes, askedAt, ...fresh });
    this.bytes += bytes;
  }

  /** It goes out, as the command with this `id`. */
  send(publication: Publication, id: number): PublishCommand {
    const { topic, ...rest } = publication.body;
    publication.attempts += 1;
    const last = this.#numbers.get(topic);
    if (last === undefined && this.#numbers.size < NUMBERED_TOPICS_MAX) this.#beginning.add(topic);
    if (publication.pseq === undefined && (last !== undefined || this.#beginning.has(topic))) {
      publication.pseq = (last ?? 0) + 1;
      this.#numbers.set(topic, publication.pseq);
    }
    publication.sentAs = id;
    this.#inFlight.set(id, publication);
    this.bytesInFlight += publication.bytes;
    // In the order of the wire.
    return { topic, pseq: publication.pseq, ...rest };
  }

  /** The reply to the command with this `id`, if a publication waits for it. */
  answered(id: number, reply: Replies["pubbed"] | ErrorBody, now: number): void {
    const publication = this.#inFlight.get(id);
    if (publication === undefined) return;
    this.#land(publication);
    if ("offset" in reply) {
      const { epoch, offset, dup } = reply;
      this.#end(publication, { epoch, offset, duplicate: dup === true });
    } else if (reply.code === UNAVAILABLE) {
      // Its number is taken, and those behind it were not refused: with an idem it keeps it, and goes
      // again.
      if (publication.body.idem === undefined) this.#end(publication, uncertain());
    } else {
      this.#refused(publication, reply, now);
    }
    if (this.inFlight === 0) this.#closeUp();
  }

  /** The connection on which all in flight were sent has ended. */
  cut(): void {
    for (const publication of this.#inFlight.values()) this.#land(publication);
    this.#closeUp();
  }

  /**
   * The server has closed the connection for the size of one that was in flight. If there was only one,
   * it ends so; if not, each goes alone, so that the next time it is known. `false` if there was none.
   */
  tooLarge(text: string, now: number): boolean {
    const ids = [...this.#inFlight.keys()];
    this.#suspectTo = 0;
    for (const { id } of this.#inFlight.values()) this.#suspectTo = Math.max(this.#suspectTo, id);
    if (ids.length === 1) this.answered(ids[0] ?? 0, { code: TOO_LARGE, text }, now);
    return ids.length > 0;
  }

  /**
   * Another connection stands: with the session of the one before or not, at the same server or
   * another one.
   */
  welcomed(resumed: boolean, sameNode: boolean): void {
    this.heldUntil = 0;
    if (resumed) return;
    this.hasHole = false;
    this.#numbers.clear();
    for (const publication of this.#all.values()) {
      publication.pseq = undefined;
      const mayBeThere =
        publication.attempts > 0 && sameNode && publication.body.idem === undefined;
      if (mayBeThere) this.#end(publication, uncertain());
    }
  }

  /** Ends those that were asked for at this moment or before, with this error where they were not sent. */
  expire(askedUntil: number, error: CorewireError): void {
    for (const publication of this.#all.values()) {
      const { askedAt, pseq, attempts } = publication;
      if (askedAt > askedUntil) return;
      this.#land(publication);
      if (pseq !== undefined) this.hasHole = true;
      this.#end(publication, attempts > 0 ? uncertain() : error);
    }
  }

  /** When the oldest one was asked for. */
  oldestAt(): number {
    const [first] = this.#all.values();
    return first?.askedAt ?? NEVER;
  }

  #land(publication: Publication): void {
    if (!this.#inFlight.delete(publication.sentAs ?? 0)) return;
    publication.sentAs = undefined;
    this.bytesInFlight -= publication.bytes;
    this.#beginning.delete(publication.body.topic);
  }

  #refused(publication: Publication, error: ErrorBody, now: number): void {
    const { pseq, body } = publication;
    const free = this.#broken.get(body.topic);
    const isBehind = free !== undefined && pseq !== undefined && pseq > free;
    // Those behind a number that is free again are refused for that alone.
    const waitMs = isBehind && error.code === BAD_REQUEST ? 0 : againMs(error.code, error.retry_ms);
    if (pseq !== undefined) {
      const number = Math.min(free ?? pseq, pseq);
      this.#broken.set(body.topic, number);
      if (number > 1) this.#numbers.set(body.topic, number - 1);
      else this.#numbers.delete(body.topic);
      publication.pseq = undefined;
    }
    if (waitMs === undefined) {
      this.#end(publication, refusal("the server refused the publication", error));
    } else {
      this.heldUntil = Math.max(this.heldUntil, now + waitMs);
    }
  }

  /** Those behind a number that is free were refused, too, or nobody has read them: they move up. */
  #closeUp(): void {
    for (const publication of this.#broken.size > 0 ? this.#all.values() : []) {
      const free = this.#broken.get(publication.body.topic) ?? NEVER;
      if ((publication.pseq ?? 0) <= free) continue;
      publication.pseq = undefined;
      publication.attempts = 0;
    }
    this.#broken.clear();
  }

  #end(publication: Publication, outcome: Outcome): void {
    this.#all.delete(publication.id);
    this.bytes -= publication.bytes;
    this.#effects.push({ do: "settle", id: publication.id, outcome });
  }
}

function uncertain(): CorewireError {
  return new CorewireError(
    "uncertain",
    "the message may have been published; one with an idem can be sent again",
  );
}
