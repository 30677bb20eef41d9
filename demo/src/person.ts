/** Who sits in front of this window: a name of their own choice and a colour. */

const KEY = "corewire-demo-person";
const HUE_KEY = "corewire-demo-hue";
const GOLDEN_ANGLE = 137.5;
const NAME_MAX = 24;
const FIRST = [
  "Quiet",
  "Copper",
  "Early",
  "Bright",
  "Swift",
  "Calm",
  "Brave",
  "Silver",
  "Merry",
  "Keen",
];
const SECOND = [
  "Heron",
  "Fox",
  "Otter",
  "Lynx",
  "Wren",
  "Badger",
  "Hare",
  "Finch",
  "Marten",
  "Owl",
];

/** A person as the others see them. */
export interface Person {
  readonly name: string;
  /** Degrees of the colour circle. */
  readonly hue: number;
}

/** The person of this window, who stays the same when it is loaded again. */
export function thisPerson(): Person {
  const known = personFrom(parsed(sessionStorage.getItem(KEY)));
  return known ?? named(`${one(FIRST)} ${one(SECOND)}`);
}

/** The same window under another name. */
export function renamed(person: Person, name: string): Person {
  const trimmed = name.trim().slice(0, NAME_MAX);
  return trimmed === "" ? person : kept({ ...person, name: trimmed });
}

/** What another window has said about its person, if it is that: anybody may publish anything. */
export function personFrom(value: unknown): Person | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { name, hue } = value as { name?: unknown; hue?: unknown };
  if (typeof name !== "string" || typeof hue !== "number" || !Number.isFinite(hue))
    return undefined;
  return { name: name.slice(0, NAME_MAX), hue };
}

/** Windows of one browser lie a golden angle apart, so that two of them are never alike. */
function named(name: string): Person {
  const before = Number(localStorage.getItem(HUE_KEY)) || Math.floor(Math.random() * 360);
  const hue = Math.round((before + GOLDEN_ANGLE) % 360);
  localStorage.setItem(HUE_KEY, String(hue));
  return kept({ name, hue });
}

function kept(person: Person): Person {
  sessionStorage.setItem(KEY, JSON.stringify(person));
  return person;
}

function one(names: readonly string[]): string {
  return names[Math.floor(Math.random() * names.length)] ?? "Somebody";
}

function parsed(text: string | null): unknown {
  try {
    return JSON.parse(text ?? "null");
  } catch {
    return undefined;
  }
}
