/** Who is here, and who is typing. A user with several windows is here once. */

import type { Subscription } from "corewire";
import { type LiveState, presence, state } from "corewire/presence";
import { byId, made } from "./element.js";
import { suggest } from "./news.js";
import { type Person, personFrom } from "./person.js";

const TYPING_MS = 4000;
const SHOWN_MAX = 60;

/** The people of a room. */
export class People {
  readonly #here: LiveState<unknown>;
  readonly #typing: LiveState<unknown>;
  readonly #me: () => string | undefined;

  /** `me` is this connection's name, which its own entries have as key. */
  constructor(subscription: Subscription<unknown>, person: Person, me: () => string | undefined) {
    this.#me = me;
    this.#here = presence<unknown>(subscription);
    this.#typing = state<unknown>(subscription, "typing");
    this.#here.onChange(() => this.#showHere());
    this.#typing.onChange(() => this.#showTyping());
    this.announce(person);
  }

  /** Tells the others who this is. */
  announce(person: Person): void {
    this.#here.set(person);
  }

  /** This person is typing, or not any more. */
  type(person: Person, isTyping: boolean): void {
    if (isTyping) this.#typing.set({ name: person.name, hue: person.hue }, { ttlMs: TYPING_MS });
    else this.#typing.clear();
  }

  #showHere(): void {
    const me = this.#me();
    const byUser = new Map<string, { person: Person; windows: number; isMe: boolean }>();
    for (const { key, user, value } of this.#here.entries.values()) {
      const { windows = 0, isMe = false } = byUser.get(user) ?? {};
      const person = personFrom(value) ?? { name: user, hue: 0 };
      byUser.set(user, { person, windows: windows + 1, isMe: isMe || key === me });
    }
    const mineFirst = [...byUser.values()].sort((a, b) => Number(b.isMe) - Number(a.isMe));
    const items = mineFirst.slice(0, SHOWN_MAX).map(({ person, windows, isMe }) => {
      const item = made("li", person.name);
      item.dataset.letter = person.name.slice(0, 1).toUpperCase();
      item.style.setProperty("--hue", String(person.hue));
      item.classList.toggle("me", isMe);
      if (windows > 1) item.append(made("small", `${windows} windows`));
      return item;
    });
    byId("members").replaceChildren(...items);
    const count = byUser.size;
    byId("people-count").textContent = count === 1 ? "only you" : `${count} people`;
    if (count > 1) suggest("Now cut the connection of one window, and write in the other.");
  }

  #showTyping(): void {
    const me = this.#me();
    const names = [...this.#typing.entries.values()]
      .filter(({ key }) => key !== me)
      .map(({ value, user }) => personFrom(value)?.name ?? user);
    const [first, second] = names;
    let text = "";
    if (names.length > 2) text = `${names.length} people are typing …`;
    else if (second !== undefined) text = `${first} and ${second} are typing …`;
    else if (first !== undefined) text = `${first} is typing …`;
    byId("typing").textContent = text;
  }
}
