/**
 * A client without I/O: what comes in, the time and chance go in, and effects come out. The same
 * calls with the same times and numbers have the same effects.
 *
 * ```text
 *              no token                   lost
 *   idle ──▶ token ◀──────────┐   ┌───────────────────▶ waiting
 *     │        │ token        │   │                        │
 *     └────────┴───────────▶ linked ◀──────────────────────┘
 *                             │   │         the wait is over
 *                     close() │   │ the server says "never", or a token is wrong
 *                             ▼   ▼
 *                        closing ──▶ stopped
 * ```
 *
 * When the server asks a client to go away, the connection becomes the elder: it works on while
 * another one is opened, and is left when that one has taken over. Both bring the messages behind
 * what was heard, in order; what comes by both is handed on once.
 *
 * @module
 */

import {
  type Comeback,
  comeback,
  type Hints,
  type Random,
  RETRY_MS_MAX,
  waitMs,
} from "./backoff.js";
import { NEVER } from "./clock.js";
import type { Effect, MachineOptions } from "./effect.js";
import { broken, CorewireError, closed, refusal } from "./errors.js";
import type { Session, Status } from "./events.js";
import type { Feed, SubscribeOptions, Watcher } from "./feed.js";
import {
  type Awaited,
  ask,
  dueAt,
  grant,
  isReady,
  isSettled,
  type Link,
  newLink,
  overdue,
  probe,
  type Ticket,
  takesCommands,
} from "./link.js";
import { Outbox, type Outcome, OVERHEAD_BYTES, TOO_LARGE } from "./outbox.js";
import { newPace, nextAt, take } from "./pace.js";
import { Streams } from "./streams.js";
import { checkSubject, checkTopic } from "./subject.js";
import {
  type HistoryCommand,
  type PageBody,
  type PublishCommand,
  type Push,
  type Reply,
  type Request,
  type ServerWord,
  type StateCommand,
  VERSION,
  type WelcomeBody,
} from "./words.js";

/** Characters of the `hello`, which may have 64 KiB. What does not fit is said behind it. */
const HELLO_CHARS = 56 << 10;
/** A connection that lasted so long ends a series of failures. */
const STABLE_MS = 10_000;
/** A token must be there so long after it was asked for. */
const TOKEN_MS = 30_000;
/** A client that hears that there is a network comes back within this time. */
const ONLINE_MS = 500;
/** Bytes of publications that are sent before the first of them is answered. */
const IN_FLIGHT_BYTES = 1 << 20;
/** The server closes for the size of a message (RFC 6455, 7.4.1). */
const CLOSE_TOO_LARGE = 1009;
/** The code for a session that another connection has taken over. */
const CONFLICT = 113;
/** An elder connection is left so long after the next one has taken over: presence is said there first. */
const SETTLE_MS = 200;

type State =
  | { readonly at: "idle" }
  | { readonly at: "token"; readonly until: number }
  | { readonly at: "linked"; readonly link: Link }
  | { readonly at: "waiting"; until: number; readonly notBefore: number }
  | { readonly at: "closing"; readonly link: Link; until: number }
  | { readonly at: "stopped" };

/** See the module. */
export class Machine {
  /** What the driver is to do, in this order. It takes them out. */
  readonly effects: Effect[] = [];
  status: Status = { type: "idle" };
  readonly #options: MachineOptions;
  readonly #random: Random;
  #state: State = { at: "idle" };
  #elder: Link | undefined;
  /** When to replace the connection, because the server asked for it. */
  #departsAt = NEVER;
  /** When to leave the elder one. */
  #leavesAt = NEVER;
  /** What the client says who it is by, and until when that is true. */
  #token: string | undefined;
  #tokenEndsAt = NEVER;
  #isFetchingToken = false;
  #hintedUrl: string | undefined;
  #failures = 0;
  #readyAt = NEVER;
  /** What the server said last: its name, and what a connection is resumed with. */
  #node: string | undefined;
  #ticket: string | undefined;
  readonly #streams: Streams;
  readonly #outbox: Outbox;
  /** When more may be published, where that is a matter of time. */
  #publishAt = NEVER;
  #nextLink = 0;
  /** Counts what is published and asked. */
  #nextId = 0;
  /** The number of the last command, on whatever connection. */
  readonly #commands = { last: 0 };

  constructor(options: MachineOptions, random: Random) {
    this.#options = options;
    this.#random = random;
    this.#streams = new Streams(this.effects, options.topicWindow, random);
    this.#outbox = new Outbox(this.effects);
    this.#token = options.token;
  }

  // What the application wants.

  /** Connects, if that has not begun. */
  start(now: number): void {
    if (this.#state.at === "idle") this.#begin(now);
  }

  /** Begins a subscription. It lasts until `unsubscribe`, or until an event that says that it has ended. */
  subscribe(subject: string, options: SubscribeOptions, now: number): Feed {
    const isPattern = checkSubject(subject);
    this.#refuseIfStopped();
    const feed = this.#streams.begin(subject, isPattern, options);
    const link = this.#link();
    if (link !== undefined && takesCommands(link)) this.#streams.say(link, feed, now);
    this.start(now);
    this.#proceed(now);
    return feed;
  }

  /** Ends a subscription. It has no further events. */
  unsubscribe(feed: Feed, now: number): void {
    if (!this.#streams.forget(feed)) return;
    for (const link of this.#links()) {
      if (link.said.delete(feed) && takesCommands(link))
        ask(link, { is: "unsub" }, now, "unsub", { s: feed.s });
    }
    this.#proceed(now);
  }

  /** The application has taken a message: the server may send more. */
  taken(ticket: Ticket, now: number): void {
    if (!this.#streams.taken(ticket)) return;
    this.#flush(now);
  }

  /** Has something published as soon as there is a connection, behind all that was published before. */
  publish(body: Omit<PublishCommand, "pseq">, bytes: number, now: number): number {
    checkTopic(body.topic);
    this.#refuseIfStopped();
    const { publicationsMax, publicationBytesMax } = this.#options;
    const cost = bytes + body.topic.length + OVERHEAD_BYTES;
    if (this.#outbox.size >= publicationsMax || this.#outbox.bytes + cost > publicationBytesMax) {
      throw new CorewireError("full", "too much waits to be published; await some replies first");
    }
    this.#nextId += 1;
    const id = this.#nextId;
    this.#outbox.push(id, body, cost, now);
    this.start(now);
    this.#proceed(now);
    return id;
  }

  /** Asks for a page of history. Returns what the answer is called. */
  history(body: HistoryCommand, now: number): number {
    checkTopic(body.topic);
    this.#refuseIfStopped();
    const link = [...this.#links()].find(isReady);
    if (link === undefined) throw new CorewireError("disconnected", "there is no connection");
    this.#nextId += 1;
    const id = this.#nextId;
    ask(link, { is: "call", id }, now, "hist", body);
    this.#flush(now);
    return id;
  }

  /** The watcher hears of its state, beginning now if the subscription stands. */
  watch(feed: Feed, watcher: Watcher, now: number): void {
    feed.watchers.add(watcher);
    if (this.#stands(feed) !== undefined) this.#streams.tell(watcher, { is: "subscribed" });
    this.#flush(now);
  }

  /** Changes or reads state, if the subscription stands. The watcher hears the answer, if there is one. */
  state(feed: Feed, body: StateCommand, watcher: Watcher | undefined, now: number): boolean {
    checkTopic(body.topic);
    const link = this.#stands(feed);
    if (link === undefined) return false;
    if (watcher === undefined) link.out.push({ is: "state", body });
    else ask(link, { is: "state", watcher }, now, "state", body);
    this.#flush(now);
    return true;
  }

  /** Says good-bye: no further events and publications; those that were published are finished. */
  close(now: number): void {
    if (this.#state.at === "closing" || this.#state.at === "stopped") return;
    if (this.#state.at === "linked" && (isReady(this.#state.link) || this.#outbox.size > 0)) {
      this.#streams.endAll(closed());
      this.#state = {
        at: "closing",
        link: this.#state.link,
        until: now + this.#options.closeTimeoutMs,
      };
      this.#setStatus({ type: "closing" });
      this.#proceed(now);
    } else {
      this.#stop(closed());
    }
  }

  // What the driver tells.

  /** A connection is open. */
  opened(id: number, now: number): void {
    const link = this.#named(id);
    if (link?.stage.at !== "opening") return;
    link.heardAt = now;
    const token = this.#token;
    if (this.#outbox.hasHole) this.#ticket = undefined;
    const resume = this.#ticket;
    const chars = HELLO_CHARS - (token?.length ?? 0) - (resume?.length ?? 0);
    const { feeds, subs, later } = this.#streams.hello(link, chars);
    const user = token === undefined ? this.#options.user : undefined;
    const body = { v: VERSION, token, user, resume, subs: subs.length > 0 ? subs : undefined };
    ask(link, { is: "hello", feeds }, now, "hello", body);
    link.stage = { at: "greeting", until: now + this.#options.replyTimeoutMs };
    // It is a message of its own.
    this.#send(link);
    for (const feed of later) this.#streams.say(link, feed, now);
    this.#flush(now);
  }

  /**
   * A message has come over a connection.
   *
   * @throws {@link CorewireError} if the server breaks the protocol: call `broken` with it.
   */
  message(id: number, words: readonly ServerWord[], now: number): void {
    for (const word of words) {
      const link = this.#named(id);
      if (link === undefined) return;
      link.heardAt = now;
      if (word.id === undefined) this.#push(link, word, now);
      else this.#reply(link, word, now);
    }
    this.#proceed(now);
  }

  /** A command was not sent, for the server takes no message of so many bytes: it is refused. */
  tooLarge(id: number, request: Request, bytes: number, now: number): void {
    const link = this.#named(id);
    if (link === undefined || request.id === undefined) return;
    const text = `${bytes} bytes, more than message_bytes: ${link.limits?.message_bytes}`;
    this.#reply(link, { is: "err", id: request.id, body: { code: TOO_LARGE, text } }, now);
    this.#proceed(now);
  }

  /** A connection has ended, or did not come about. */
  lost(id: number, code: number | undefined, reason: string, now: number): void {
    const link = this.#named(id);
    if (link === undefined) return;
    const { stage, hints } = link;
    const closeCode = hints.code ?? code;
    const why = `${closeCode ?? ""} ${hints.reason ?? reason}`.trim();
    const error =
      stage.at === "opening"
        ? new CorewireError(
            "unreachable",
            `no WebSocket at ${this.#options.url}: ${why}; is the server there, with this path, ` +
              "and allows this page (--allow-origin)?",
          )
        : new CorewireError("disconnected", `the connection ended: ${why}`, { closeCode });
    this.#lost(link, error, now);
  }

  /** A message that cannot be read, or must not be. */
  broken(id: number, error: CorewireError, now: number): void {
    const link = this.#named(id);
    if (link !== undefined) this.#giveUp(link, error, now);
  }

  /** The source of tokens has answered. */
  token(answer: string | CorewireError, now: number): void {
    this.#isFetchingToken = false;
    if (answer instanceof CorewireError) {
      if (this.#state.at === "token") this.#wait(answer, false, {}, now);
      else this.#warn(answer);
      return;
    }
    this.#token = answer;
    this.#tokenEndsAt = NEVER;
    if (this.#state.at === "token") {
      this.#open(now);
    } else if (this.#state.at === "linked" && takesCommands(this.#state.link)) {
      // Before its hello a connection takes the new one anyway.
      ask(this.#state.link, { is: "auth" }, now, "auth", { token: answer });
      this.#flush(now);
    }
  }

  /** The process may have slept: each connection is asked whether it is there. */
  woke(now: number): void {
    for (const link of this.#links()) probe(link, now);
    this.#flush(now);
  }

  /** There is a network again: no need to wait any longer, but for what the server has asked for. */
  online(now: number): void {
    const state = this.#state;
    if (state.at === "waiting") {
      state.until = Math.min(
        state.until,
        Math.max(state.notBefore, now + Math.round(this.#random() * ONLINE_MS)),
      );
    } else {
      this.woke(now);
    }
  }

  /** When `timeout` is to be called, if nothing happens before. */
  deadline(): number {
    const { replyTimeoutMs, publishTimeoutMs } = this.#options;
    const moments = [...this.#links()].map((link) => dueAt(link, replyTimeoutMs));
    if ("until" in this.#state) moments.push(this.#state.until);
    if (this.#mayDepart()) moments.push(this.#departsAt);
    for (const feed of this.#streams.again) moments.push(feed.againAt);
    const expiresAt = this.#outbox.oldestAt() + publishTimeoutMs;
    return Math.min(...moments, expiresAt, this.#publishAt, this.#leavesAt);
  }

  /** Does what is due. */
  timeout(now: number): void {
    const { replyTimeoutMs, publishTimeoutMs } = this.#options;
    const state = this.#state;
    if (state.at === "token" && state.until <= now) {
      const text = "the function that fetches tokens took too long";
      this.token(new CorewireError("timed_out", text), now);
    } else if (state.at === "waiting" && state.until <= now) {
      this.#begin(now);
    } else if (state.at === "closing" && state.until <= now) {
      this.#stop(closed());
    }
    for (const link of this.#links()) {
      const due = overdue(link, replyTimeoutMs, now);
      if (due === "ask") probe(link, now);
      if (due === "lost")
        this.#giveUp(
          link,
          new CorewireError("timed_out", `the server is silent (${link.stage.at})`),
          now,
        );
    }
    const late = new CorewireError("timed_out", "not published: there was no connection in time");
    this.#outbox.expire(now - publishTimeoutMs, late);
    this.#streams.sayAgain(this.#link(), now);
    this.#proceed(now);
  }

  // From connection to connection.

  #begin(now: number): void {
    const isGood = this.#token !== undefined && now < this.#tokenEndsAt;
    if (this.#options.renews && !isGood) {
      this.#renewToken();
      this.#state = { at: "token", until: now + TOKEN_MS };
    } else {
      this.#open(now);
    }
    if (this.#elder === undefined) this.#setStatus({ type: "connecting" });
  }

  #open(now: number): void {
    this.#nextLink += 1;
    const until = now + this.#options.connectTimeoutMs;
    const link = newLink(this.#commands, this.#nextLink, until, now);
    this.#state = { at: "linked", link };
    this.effects.push({ do: "open", link: link.id, url: this.#hintedUrl ?? this.#options.url });
  }

  #giveUp(link: Link, error: CorewireError, now: number): void {
    this.effects.push({ do: "abort", link: link.id });
    this.#lost(link, error, now);
  }

  #lost(link: Link, error: CorewireError, now: number): void {
    let next = comeback(error.closeCode);
    if (this.#publisher() === link) {
      const isTooLarge = error.closeCode === CLOSE_TOO_LARGE;
      // Without that one it does not end the same way.
      if (isTooLarge && this.#outbox.tooLarge(error.message, now)) next = "later";
      this.#outbox.cut();
    }
    if (link === this.#elder) {
      this.#elder = undefined;
      if (!isReady(this.#link())) {
        this.#streams.away();
        if (this.status.type === "connected") this.#setStatus({ type: "connecting" });
      }
    } else if (this.#state.at === "closing") {
      this.#stop(closed());
    } else if (this.#state.at === "linked") {
      this.#mainLost(link, error, next, now);
    }
    this.#unanswered(link, new CorewireError("disconnected", error.message));
    this.#proceed(now);
  }

  #mainLost(link: Link, error: CorewireError, next: Comeback, now: number): void {
    const wasReady = isReady(link);
    if (wasReady && now - this.#readyAt >= STABLE_MS) this.#failures = 0;
    this.#departsAt = NEVER;
    if (!isReady(this.#elder)) this.#streams.away();
    // An elder connection takes over what it was not asked to answer any more.
    this.#outbox.cut();
    this.#followHint(link.hints.url, wasReady);
    const { closeCode } = error;
    if (closeCode === 4001 || closeCode === 4203) {
      this.#tokenRefused(error, now);
    } else if (next === "never") {
      const text = `${error.message}; connecting again would end the same way`;
      this.#stop(new CorewireError("refused", text, { closeCode, cause: error }));
    } else {
      this.#wait(error, next === "soon", link.hints, now);
    }
  }

  #wait(error: CorewireError, soon: boolean, hints: Hints, now: number): void {
    const wait = waitMs(this.#options.backoff, this.#failures, soon, hints, this.#random);
    this.#failures += 1;
    const notBefore = now + Math.min(hints.retry_ms ?? 0, RETRY_MS_MAX);
    this.#state = { at: "waiting", until: now + wait, notBefore };
    if (this.#elder === undefined) this.#setStatus({ type: "waiting", retryInMs: wait, error });
  }

  /** A place that the server has named is tried next, and left again if nobody is there. */
  #followHint(url: string | undefined, wasReady: boolean): void {
    if (url === undefined) {
      if (!wasReady) this.#hintedUrl = undefined;
    } else if (this.#options.url.startsWith("wss:") && !url.startsWith("wss:")) {
      this.#warn(new CorewireError("forbidden", `not followed, for it is not encrypted: ${url}`));
    } else {
      this.#hintedUrl = url;
    }
  }

  #tokenRefused(error: CorewireError, now: number): void {
    const wasTaken = this.#tokenEndsAt !== NEVER;
    if (this.#options.renews && (wasTaken || this.#failures === 0)) {
      // Another one may do.
      this.#token = undefined;
      this.#wait(error, true, { spread_ms: 0 }, now);
      return;
    }
    const text = `the token is refused; give a function that fetches one: ${error.message}`;
    this.#stop(new CorewireError("bad_token", text, { closeCode: error.closeCode, cause: error }));
  }

  #renewToken(): void {
    if (!this.#options.renews) {
      this.#warn(
        new CorewireError("token_expired", "the token expires; give a function that fetches one"),
      );
    } else if (!this.#isFetchingToken) {
      this.#isFetchingToken = true;
      this.effects.push({ do: "token" });
    }
  }

  #stop(error: CorewireError): void {
    for (const link of this.#links()) {
      this.effects.push({ do: "abort", link: link.id });
      this.#unanswered(link, error);
    }
    this.#state = { at: "stopped" };
    this.#elder = undefined;
    this.#outbox.expire(NEVER, error);
    this.#streams.endAll(error);
    this.#setStatus({ type: "stopped", error });
  }

  /** Goes on where something has become possible. */
  #proceed(now: number): void {
    const state = this.#state;
    const elder = this.#elder;
    if (isReady(elder) && state.at === "linked" && isSettled(state.link)) {
      this.#leavesAt = Math.min(this.#leavesAt, now + SETTLE_MS);
      if (this.#leavesAt <= now) this.#bye(elder, now);
    } else {
      this.#leavesAt = NEVER;
    }
    if (state.at === "closing" && isReady(state.link) && this.#outbox.size === 0) {
      state.until = now + this.#options.closeTimeoutMs;
      this.#bye(state.link, now);
    }
    if (this.#departsAt <= now && this.#mayDepart() && state.at === "linked") {
      this.#departsAt = NEVER;
      this.#failures = 0;
      this.#elder = state.link;
      this.#begin(now);
    }
    this.#flush(now);
  }

  /** Whether another connection can be opened in place of this one. */
  #mayDepart(): boolean {
    const state = this.#state;
    return state.at === "linked" && isReady(state.link) && this.#elder === undefined;
  }

  #bye(link: Link, now: number): void {
    link.out.push({ is: "bye", body: {} });
    this.#send(link);
    link.stage = { at: "leaving", until: now + this.#options.closeTimeoutMs };
  }

  // What is said.

  #grant(link: Link): void {
    const msgs = grant(link, link.received - this.#streams.outstanding, this.#options.window);
    if (msgs !== undefined) link.out.push({ is: "credit", body: { msgs } });
  }

  /** The connection that publications go by: not an elder one from the moment when another says hello. */
  #publisher(): Link | undefined {
    const link = this.#link();
    const isOpening = link === undefined || link.stage.at === "opening";
    if (isReady(link)) return link;
    const elder = this.#elder;
    return isOpening && isReady(elder) && !elder.isFenced ? elder : undefined;
  }

  #inFlightMax({ limits }: Link): number {
    return this.#outbox.isAlone
      ? 1
      : Math.min(this.#options.inFlightMax, limits?.unanswered || NEVER);
  }

  #flush(now: number): void {
    const link = this.#publisher();
    this.#publishAt = link === undefined ? NEVER : this.#publish(link, now);
    for (const one of this.#links()) {
      if (takesCommands(one)) this.#grant(one);
      this.#send(one);
    }
  }

  /** Sends what may be sent. Returns when more may be, if only time is missing. */
  #publish(link: Link, now: number): number {
    const outbox = this.#outbox;
    while (outbox.inFlight < this.#inFlightMax(link)) {
      const next = outbox.next(now);
      if (next === undefined) return outbox.heldUntil > now ? outbox.heldUntil : NEVER;
      const { bytes } = next;
      if (outbox.inFlight > 0 && outbox.bytesInFlight + bytes > IN_FLIGHT_BYTES) break;
      if (!take(link.pace, now)) return nextAt(link.pace);
      link.commands.last += 1;
      const id = link.commands.last;
      link.out.push({ is: "pub", id, body: outbox.send(next, id) });
    }
    return NEVER;
  }

  #send(link: Link): void {
    if (link.out.length === 0 || !takesCommands(link)) return;
    const bytesMax = link.limits?.message_bytes || NEVER;
    this.effects.push({ do: "send", link: link.id, requests: link.out, bytesMax });
    link.out = [];
  }

  // What the server says.

  #reply(link: Link, reply: Reply, now: number): void {
    const awaited = link.awaiting.get(reply.id)?.what;
    if (awaited !== undefined) {
      link.awaiting.delete(reply.id);
      this.#answered(link, awaited, reply, now);
    } else if (reply.is === "pubbed" || reply.is === "err") {
      // Another connection has taken over the session: what this one did not take goes by that.
      const isFenced = reply.is === "err" && reply.body.code === CONFLICT;
      if (!isFenced) this.#outbox.answered(reply.id, reply.body, now);
      else if (link === this.#elder) link.isFenced = true;
      else throw broken("it has given this session to another connection");
    } else {
      throw broken("a reply that does not fit its command");
    }
  }

  #welcome(link: Link, feeds: readonly Feed[], body: WelcomeBody, now: number): void {
    const { conn, node, user, ticket, limits, ping_ms, slack_ms, resumed = false, subs } = body;
    if (subs.length !== feeds.length) throw broken("a reply that does not fit its command");
    link.stage = { at: "ready" };
    link.silenceMs = ping_ms === 0 ? NEVER : ping_ms + slack_ms;
    link.limits = limits;
    link.pace = newPace(limits.publish_per_s, limits.publish_burst);
    // What an elder connection has not answered goes out again by this one.
    this.#outbox.cut();
    this.#outbox.welcomed(resumed, node === this.#node);
    this.#node = node;
    this.#ticket = ticket;
    this.#readyAt = now;
    this.#tokenTaken(body.expires_ms, now);
    const session: Session = { conn, node, user, resumed };
    if (this.#state.at !== "closing") this.#setStatus({ type: "connected", session });
    for (const [place, feed] of feeds.entries()) {
      const answer = subs[place];
      if (answer?.subbed !== undefined) this.#streams.subbed(link, feed, answer.subbed);
      else if (answer?.err !== undefined) this.#streams.notSubbed(link, feed, answer.err, now);
    }
  }

  #tokenTaken(expiresMs: number | undefined, now: number): void {
    if (expiresMs !== undefined) this.#tokenEndsAt = now + expiresMs;
  }

  #answered(link: Link, awaited: Awaited, reply: Reply, now: number): void {
    const { is, body } = reply;
    if (awaited.is === "hello" && is === "welcome") this.#welcome(link, awaited.feeds, body, now);
    else if (awaited.is === "hello" && is === "err") {
      // The server closes behind it.
      link.hints = { reason: body.text, retry_ms: body.retry_ms };
    } else if (awaited.is === "sub" && is === "subbed")
      this.#streams.subbed(link, awaited.feed, body);
    else if (awaited.is === "sub" && is === "err")
      this.#streams.notSubbed(link, awaited.feed, body, now);
    else if (awaited.is === "state" && is === "members")
      this.#streams.tell(awaited.watcher, { is: "page", body });
    else if (awaited.is === "call" && is === "page") this.#settle(awaited.id, body);
    else if (awaited.is === "call" && is === "err")
      this.#settle(awaited.id, refusal("history", body));
    else if (awaited.is === "auth" && is === "ok") this.#tokenTaken(body.expires_ms, now);
    else if (awaited.is === "probe") {
      link.probeUntil = undefined;
      // What else was asked before it slept has its full time.
      for (const waiting of link.awaiting.values()) waiting.sentAt = now;
    } else if (is === "err" && awaited.is === "state")
      this.#warn(refusal(`${awaited.watcher.ns} of ${awaited.watcher.topic}`, body));
    else if (is === "err" && awaited.is !== "unsub") this.#warn(refusal(awaited.is, body));
    else if (is !== "ok" && is !== "err") throw broken("a reply that does not fit its command");
  }

  #push(link: Link, push: Push, now: number): void {
    const { is, body } = push;
    if (is === "unsubbed") {
      this.#streams.unsubbed(link, body, now);
    } else if (is === "ping") {
      link.out.push({ is: "pong", body: { t: body.t } });
    } else if (is === "warn") {
      this.#warn(refusal(body.cmd ?? "the server warns", body));
    } else if (is === "closing") {
      // What is wrong with a `hello` its answer has said better.
      link.hints = { ...body, reason: link.hints.reason ?? body.reason };
    } else if (is === "token_expiring") {
      // An elder connection does not live as long.
      if (link === this.#link()) this.#renewToken();
    } else if (is === "goaway") {
      if (link !== this.#link() || this.#departsAt !== NEVER) return;
      const wait = this.#random() * Math.min(body.spread_ms, RETRY_MS_MAX);
      this.#departsAt = now + Math.round(wait);
      this.#followHint(body.url, true);
    } else {
      this.#streams.push(link, push, link === this.#elder && isReady(this.#link()));
    }
  }

  #settle(id: number, outcome: Outcome | PageBody): void {
    this.effects.push({ do: "settle", id, outcome });
  }

  /** Nothing is answered any more. */
  #unanswered(link: Link, error: CorewireError): void {
    for (const { what } of link.awaiting.values()) {
      if (what.is === "call") this.#settle(what.id, error);
    }
  }

  // Small things.

  #link(): Link | undefined {
    return "link" in this.#state ? this.#state.link : undefined;
  }

  /** The connection by which a subscription stands. */
  #stands(feed: Feed): Link | undefined {
    const link = this.#link();
    return isReady(link) && link.said.has(feed) && feed.life === "begun" ? link : undefined;
  }

  *#links(): Generator<Link> {
    const link = this.#link();
    if (link !== undefined) yield link;
    if (this.#elder !== undefined) yield this.#elder;
  }

  #named(id: number): Link | undefined {
    for (const link of this.#links()) {
      if (link.id === id) return link;
    }
    return undefined;
  }

  #setStatus(status: Status): void {
    this.status = status;
    this.effects.push({ do: "status", status });
  }

  #warn(error: CorewireError): void {
    this.effects.push({ do: "warning", error });
  }

  #refuseIfStopped(): void {
    if (this.status.type === "stopped") throw this.status.error;
    if (this.#state.at === "closing") throw closed();
  }
}
