/** The page: a room in which two windows can see what corewire does. */

import { Board } from "./board.js";
import { Chat } from "./chat.js";
import { byId } from "./element.js";
import { measureLatency } from "./latency.js";
import { letCut, makeClient, showLink } from "./link.js";
import { People } from "./people.js";
import { renamed, thisPerson } from "./person.js";
import { roomOf } from "./room.js";
import { Wave } from "./wave.js";

let person = thisPerson();
const room = roomOf(location.hash);
const client = makeClient();
const me = (): string | undefined =>
  client.status.type === "connected" ? client.status.session.conn : undefined;

showLink(client);
const chat = new Chat(client, room);
const people = new People(chat.subscription, person, me);
new Board(client, room, () => person, me);
new Wave(client, room);
measureLatency(client);
letCut(() => chat.cut());

byId("room").textContent = room.name;
byId<HTMLAnchorElement>("second").href = `/#${room.name}`;
byId("shell-sub").textContent = `corewire sub '${room.chat}'`;
byId("shell-pub").textContent = `corewire pub ${room.chat} '{"text":"hi"}'`;

const text = byId<HTMLInputElement>("text");
text.addEventListener("input", () => people.type(person, text.value !== ""));
byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const line = text.value.trim();
  if (line === "") return;
  chat.send(person, line);
  text.value = "";
  people.type(person, false);
});

const name = byId<HTMLInputElement>("name");
name.value = person.name;
const rename = (): void => {
  person = renamed(person, name.value);
  name.value = person.name;
  people.announce(person);
};
name.addEventListener("change", rename);
byId("naming").addEventListener("submit", (event) => {
  event.preventDefault();
  name.blur();
});

addEventListener("hashchange", () => location.reload());
addEventListener("pagehide", ({ persisted }) => {
  if (!persisted) void client.close();
});
