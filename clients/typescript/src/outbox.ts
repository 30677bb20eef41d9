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

import { againMs, CorewireError, type ErrorCode, refusal } from "./errors.js";
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
  #nextId = 0;
  /** The last number given in each topic. */
  readonly #numbers = new Map<string, number>();
  /**
   * Of topics whose order is broken by a refusal: the number that is free again. Those behind it
   * are refused, too, and sent again when nothing is in flight any more.
   */
  readonly #broken = new Map<string, number>();

  get size(): number {
    return this.queued.length + this.inFlight.size;
  }

  /** Whether something may be sent, but for the bounds of the connection. */
  isReady(now: number): boolean {
    return this.queued.length > 0 && this.#broken.size === 0 && this.heldUntil <= now;
  }

  push(body: Omit<PublishCommand, "pseq">, bytes: number, now: number): number {
    this.#nextId += 1;
    const publication = {
      id: this.#nextId,
      body,
      bytes,
      askedAt: now,
      pseq: undefined,
      attempts: 0,
    };
    this.queued.push(publication);
    this.bytes += bytes;
    return publication.id;
  }

  /** The next one goes out, as the command with this `id`. */
  send(id: number): PublishCommand | undefined {
    const publication = this.queued.shift();
    if (publication === undefined) return undefined;
    const { topic } = publication.body;
    publication.attempts += 1;
    if (
      publication.pseq === undefined &&
      (this.#numbers.has(topic) || this.#numbers.size < NUMBERED_TOPICS_MAX)
    ) {
      publication.pseq = (this.#numbers.get(topic) ?? 0) + 1;
      this.#numbers.set(topic, publication.pseq);
    }
    this.inFlight.set(id, publication);
    this.bytesInFlight += publication.bytes;
    const { topic: _, ...rest } = publication.body;
    // In the order of the wire.
    return {
      topic,
      ...(publication.pseq === undefined ? {} : { pseq: publication.pseq }),
      ...rest,
    };
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
      if (askedAt > askedUntil) break;
      const publication = this.#landed(id);
      if (publication !== undefined) this.#end(publication, uncertain());
      this.hasHole = true;
    }
    for (
      let first = this.queued[0];
      first !== undefined && first.askedAt <= askedUntil;
      first = this.queued[0]
    ) {
      this.failFirst("timed_out", "there was no connection in time; the message was not published");
    }
  }

  /** The next one cannot be sent. */
  failFirst(code: ErrorCode, text: string): void {
    const publication = this.queued.shift();
    if (publication === undefined) return;
    if (publication.pseq !== undefined) this.hasHole = true;
    this.#end(publication, publication.attempts > 0 ? uncertain() : new CorewireError(code, text));
  }

  /** The client stops: whatever is left has its outcome now. */
  stop(): void {
    this.cut();
    while (this.queued.length > 0)
      this.failFirst("closed", "the client was closed; the message was not published");
  }

  /** When the oldest one was asked for. */
  oldestAt(): number | undefined {
    const [sent] = this.inFlight.values();
    const asked = [sent, this.queued[0]].flatMap((one) => (one === undefined ? [] : [one.askedAt]));
    return asked.length > 0 ? Math.min(...asked) : undefined;
  }

  #landed(id: number): Publication | undefined {
    const publication = this.inFlight.get(id);
    if (publication !== undefined) {
      this.inFlight.delete(id);
      this.bytesInFlight -= publication.bytes;
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
      this.#numbers.set(body.topic, number - 1);
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
    "the connection ended before the reply: the message may have been published; give publications an idem to have " +
      "them sent again without a doubt",
  );
}
