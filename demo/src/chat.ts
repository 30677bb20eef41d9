/**
 * The chat: messages in the order of the server, those of the past first. What was sent from here
 * stands below, pale, until it comes back in its place.
 */

import type { Client, CorewireError, Message, Subscription } from "corewire";
import { byId, made } from "./element.js";
import { refill } from "./history.js";
import { say } from "./news.js";
import { type Person, personFrom } from "./person.js";
import type { Room } from "./room.js";

const HISTORY = 50;
const MESSAGES_MAX = 500;
/** What came during a cut arrives within this time of the new connection. */
const CATCH_UP_MS = 700;

/** What a message of the chat carries. */
interface Line extends Person {
  readonly text: string;
  /** Its sender's own name for it. */
  readonly nonce: string;
}

/** The chat of a room. */
export class Chat {
  readonly subscription: Subscription<unknown>;
  readonly #client: Client;
  readonly #room: Room;
  readonly #list = byId<HTMLOListElement>("messages");
  readonly #pending = new Map<string, HTMLLIElement>();
  #caughtUp: number[] | undefined;

  constructor(client: Client, room: Room) {
    this.#client = client;
    this.#room = room;
    this.subscription = client.subscribe<unknown>(
      room.chat,
      {
        message: (message) => this.#show(message),
        gap: ({ from, to }) => this.#note(`Messages ${from} to ${to} are not kept any more`),
        reset: ({ position }) => {
          this.#note("The server has begun anew: what was before is gone, history starts here");
          say("History was restarted.");
          return refill(client, room.chat, position, (message) => this.#show(message));
        },
        unsubscribed: ({ error }) => this.#note(error.message),
      },
      { from: { last: HISTORY }, presence: "both", watch: ["typing"] },
    );
    let before = client.status.type;
    client.on("status", ({ type }) => {
      if (type === "connected" && before !== "connected" && this.#caughtUp !== undefined) {
        setTimeout(() => this.#tellCaughtUp(), CATCH_UP_MS);
      }
      before = type;
    });
  }

  /** The connection is broken: what comes back is counted from now on. */
  cut(): void {
    this.#caughtUp = [];
    say("The connection is cut. Write something, here and in another window: it waits.");
  }

  /** Sends a line of this person's. */
  send(person: Person, text: string): void {
    const nonce = crypto.randomUUID();
    const line: Line = { ...person, text, nonce };
    const item = itemOf(line, "waits");
    item.classList.add("pending");
    this.#pending.set(nonce, item);
    this.#list.append(item);
    this.#list.scrollTop = this.#list.scrollHeight;
    this.#client.publish(this.#room.chat, line).catch((error: CorewireError) => {
      item.classList.add("failed");
      item.querySelector(".offset")?.replaceChildren(`not sent: ${error.message}`);
    });
  }

  #show(message: Message<unknown>): void {
    const line = lineFrom(message.data);
    const item = itemOf(line, `${timeOf(message.timeMs)} · ${message.offset}`);
    item.dataset.offset = String(message.offset);
    // What was written here while it was cut was not missed.
    if (message.replayed && this.#caughtUp !== undefined && !this.#pending.has(line.nonce)) {
      item.classList.add("again");
      this.#caughtUp.push(message.offset);
    }
    this.#pending.get(line.nonce)?.remove();
    this.#pending.delete(line.nonce);
    this.#add(item);
  }

  #note(text: string): void {
    this.#add(made("li", text, "note"));
  }

  /** Adds an item behind all that has its place, and follows it if the end was in view. */
  #add(item: HTMLLIElement): void {
    const list = this.#list;
    const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    const [firstPending] = this.#pending.values();
    list.insertBefore(item, firstPending ?? null);
    while (list.childElementCount > MESSAGES_MAX) list.firstElementChild?.remove();
    if (isAtEnd) list.scrollTop = list.scrollHeight;
  }

  #tellCaughtUp(): void {
    const offsets = this.#caughtUp ?? [];
    this.#caughtUp = undefined;
    const [first] = offsets;
    const last = offsets.at(-1);
    if (first === undefined || last === undefined) {
      say("Connected again. Nothing was sent meanwhile.");
      return;
    }
    const isWhole = last - first + 1 === offsets.length;
    const what = offsets.length === 1 ? `message ${first}` : `messages ${first} to ${last}`;
    say(
      isWhole
        ? `Connected again. What was sent meanwhile has come, in order and once: ${what}.`
        : `Connected again, with ${offsets.length} of ${last - first + 1} messages.`,
    );
  }
}

function itemOf(line: Line, place: string): HTMLLIElement {
  const item = made("li");
  item.style.setProperty("--hue", String(line.hue));
  item.append(made("b", line.name), made("span", place, "offset"), made("p", line.text));
  return item;
}

/** What the page publishes, or whatever else somebody has published here. */
function lineFrom(data: unknown): Line {
  const person = personFrom(data) ?? { name: "somebody", hue: 0 };
  const { text, nonce } = (data ?? {}) as { text?: unknown; nonce?: unknown };
  return {
    ...person,
    text: typeof text === "string" ? text : shown(data),
    nonce: typeof nonce === "string" ? nonce : "",
  };
}

function shown(data: unknown): string {
  return data instanceof Uint8Array ? `${data.length} bytes` : JSON.stringify(data);
}

function timeOf(ms: number): string {
  return new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}
