/**
 * What waits to be published, and what was sent and waits for its reply.
 *
 * ```text
 *             sent                  the reply
 *   queued ─────────▶ in flight ─────────────────▶ published, or refused
 *     ▲                   │
 *     │ the same session  │ the connection ends
 *     └───────────────────┤
 *                         └─ another session of the same server ─▶ uncertain
 * ```
 *
 * Within a session each topic's publications are numbered (`pseq`), and the server knows a number that
 * it has seen: what is sent again is published once. A server that was started anew has forgotten all
 * that it held, so what it had not answered is published again.
 *
 * @module
 */

import { againMs, CorewireError, refusal } from "./errors.js";
import type { ErrorBody, PublishCommand, Replies } from "./words.js";

/** What a publication costs beside its bytes. */
export const OVERHEAD_BYTES = 128;
/** Topics whose publications are numbered. Those of further topics carry no `pseq`. */
const NUMBERED_TOPICS_MAX = 65_536;

/** The code for a number that is not the next one. */
const BAD_REQUEST = 104;

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
  pseq: number | undefined;
  attempts: number;
}

/** All publications of a client. Each ends with exactly one outcome. */
export class Outbox {
  readonly queued: Publication[] = [];
  /** By the `id` of their command, in the order of sending. */
  readonly inFlight: Map<number, Publication> = new Map();
  bytes = 0;
  bytesInFlight = 0;
  /** Nothing is sent before this moment. */
  heldUntil = 0;
  readonly outcomes: [id: number, outcome: Outcome][] = [];
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

  get size(): number {
    return this.queued.length + this.inFlight.size;
  }

  /**
   * The next one to be sent, but for the bounds of the connection. The first one of a topic is answered
   * before others follow, for a server that does not know a producer takes any number from it.
   */
  next(now: number): Publication | undefined {
    if (this.#broken.size > 0 || this.heldUntil > now) return undefined;
    return this.queued.find(({ body }) => !this.#beginning.has(body.topic));
  }

  push(id: number, body: Omit<PublishCommand, "pseq">, bytes: number, now: number): void {
    this.queued.push({ id, body, bytes, askedAt: now, pseq: undefined, attempts: 0 });
    this.bytes += bytes;
  }

  /** It goes out, as the command with this `id`. */
  send(publication: Publication, id: number): PublishCommand {
    const { topic, ...rest } = publication.body;
    this.#unqueue(publication);
    publication.attempts += 1;
    const last = this.#numbers.get(topic);
    if (last === undefined && this.#numbers.size < NUMBERED_TOPICS_MAX) this.#beginning.add(topic);
    if (publication.pseq === undefined && (last !== undefined || this.#beginning.has(topic))) {
      publication.pseq = (last ?? 0) + 1;
      this.#numbers.set(topic, publication.pseq);
    }
    this.inFlight.set(id, publication);
    this.bytesInFlight += publication.bytes;
    // In the order of the wire.
    return { topic, pseq: publication.pseq, ...rest };
  }

  /** The reply to the command with this `id`. `false` if no publication waits for it. */
  answered(id: number, reply: Replies["pubbed"] | ErrorBody, now: number): boolean {
    const publication = this.#landed(id);
    if (publication === undefined) return false;
    if ("offset" in reply) {
      const { epoch, offset, dup } = reply;
      this.#end(publication, { epoch, offset, duplicate: dup === true });
    } else {
      this.#refused(publication, reply, now);
    }
    if (this.inFlight.size === 0) this.#broken.clear();
    return true;
  }

  /** The connection on which all in flight were sent has ended. */
  cut(): void {
    for (const id of [...this.inFlight.keys()]) {
      const publication = this.#landed(id);
      if (publication !== undefined) this.queued.push(publication);
    }
    this.#sort();
    this.#broken.clear();
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
    for (const publication of this.queued.splice(0)) {
      publication.pseq = undefined;
      const mayBeThere =
        publication.attempts > 0 && sameNode && publication.body.idem === undefined;
      if (mayBeThere) this.#end(publication, uncertain());
      else this.queued.push(publication);
    }
  }

  /** Ends those that were asked for at this moment or before. */
  expire(askedUntil: number): void {
    for (const [id, { askedAt }] of this.inFlight) {
      if (askedAt > askedUntil) continue;
      const publication = this.#landed(id);
      if (publication !== undefined) this.#end(publication, uncertain());
      this.hasHole = true;
    }
    const late = new CorewireError("timed_out", "not published: there was no connection in time");
    for (const publication of this.queued.filter(({ askedAt }) => askedAt <= askedUntil)) {
      this.fail(publication, late);
    }
  }

  /** It cannot be sent. */
  fail(publication: Publication, error: CorewireError): void {
    this.#unqueue(publication);
    if (publication.pseq !== undefined) this.hasHole = true;
    this.#end(publication, publication.attempts > 0 ? uncertain() : error);
  }

  /** The client stops: whatever is left has its outcome now. */
  stop(error: CorewireError): void {
    this.cut();
    for (const publication of [...this.queued]) this.fail(publication, error);
  }

  /** When the oldest one was asked for. */
  oldestAt(): number | undefined {
    const [sent] = this.inFlight.values();
    const asked = [sent, this.queued[0]].flatMap((one) => (one === undefined ? [] : [one.askedAt]));
    return asked.length > 0 ? Math.min(...asked) : undefined;
  }

  #unqueue(publication: Publication): void {
    const place = this.queued.indexOf(publication);
    if (place >= 0) this.queued.splice(place, 1);
  }

  #landed(id: number): Publication | undefined {
    const publication = this.inFlight.get(id);
    if (publication !== undefined) {
      this.inFlight.delete(id);
      this.bytesInFlight -= publication.bytes;
      this.#beginning.delete(publication.body.topic);
    }
    return publication;
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
      return;
    }
    this.heldUntil = Math.max(this.heldUntil, now + waitMs);
    this.queued.push(publication);
    this.#sort();
  }

  /** In the order in which they were asked for. */
  #sort(): void {
    this.queued.sort((one, other) => one.id - other.id);
  }

  #end(publication: Publication, outcome: Outcome): void {
    this.bytes -= publication.bytes;
    this.outcomes.push([publication.id, outcome]);
  }
}

function uncertain(): CorewireError {
  return new CorewireError(
    "uncertain",
    "the message may have been published; one with an idem can be sent again without a doubt",
  );
}
