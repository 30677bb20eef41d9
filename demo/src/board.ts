/**
 * The canvas: strokes are messages, so whoever comes later sees them, too; cursors are ephemeral
 * state, so nobody keeps them. Places are shares of the canvas's width and height.
 */

import type { Client } from "corewire";
import { type LiveState, state } from "corewire/presence";
import { byId, made } from "./element.js";
import { refill } from "./history.js";
import { type Person, personFrom } from "./person.js";
import type { Room } from "./room.js";

const STROKES_MAX = 800;
/** Between two messages of one stroke, and between two places of a cursor. */
const EVERY_MS = 60;
const CURSOR_MS = 6000;
const STEP = 0.02;

type Point = readonly [x: number, y: number];

interface Stroke {
  readonly hue: number;
  readonly points: readonly Point[];
}

/** The canvas of a room. */
export class Board {
  readonly #client: Client;
  readonly #room: Room;
  readonly #person: () => Person;
  readonly #me: () => string | undefined;
  readonly #canvas = byId<HTMLCanvasElement>("strokes");
  readonly #cursors: LiveState<unknown>;
  #strokes: Stroke[] = [];
  #drawing: Point[] | undefined;
  #place: Point = [0.5, 0.5];
  #pacing: ReturnType<typeof setTimeout> | undefined;

  constructor(client: Client, room: Room, person: () => Person, me: () => string | undefined) {
    this.#client = client;
    this.#room = room;
    this.#person = person;
    this.#me = me;
    const subscription = client.subscribe<unknown>(
      room.canvas,
      {
        message: ({ data }) => this.#take(data),
        reset: ({ position }) => {
          this.#wipe();
          return refill(client, room.canvas, position, ({ data }) => this.#take(data));
        },
      },
      { from: { last: STROKES_MAX }, watch: ["cursor"] },
    );
    this.#cursors = state<unknown>(subscription, "cursor");
    this.#cursors.onChange(() => this.#showCursors());
    this.#listen();
    new ResizeObserver(() => this.#resize()).observe(this.#canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#redraw());
  }

  #listen(): void {
    const canvas = this.#canvas;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.#drawing = [this.#at(event)];
    });
    canvas.addEventListener("pointermove", (event) => this.#move(this.#at(event)));
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"] as const) {
      canvas.addEventListener(end, () => this.#lift());
    }
    canvas.addEventListener("pointerleave", () => this.#leave());
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("keyup", ({ key }) => {
      if (key === " ") this.#lift();
    });
    byId("clear").addEventListener("click", () => {
      this.#client.send(this.#room.canvas, { clear: true });
    });
  }

  #key(event: KeyboardEvent): void {
    const [x, y] = this.#place;
    const places: Record<string, Point> = {
      ArrowLeft: [x - STEP, y],
      ArrowRight: [x + STEP, y],
      ArrowUp: [x, y - STEP],
      ArrowDown: [x, y + STEP],
    };
    const next = places[event.key];
    if (next !== undefined) this.#move([clamped(next[0]), clamped(next[1])]);
    else if (event.key === " ") this.#drawing ??= [this.#place];
    else return;
    event.preventDefault();
  }

  #at({ clientX, clientY }: PointerEvent): Point {
    const box = this.#canvas.getBoundingClientRect();
    const x = clamped((clientX - box.left) / box.width);
    return [x, clamped((clientY - box.top) / box.height)];
  }

  #move(place: Point): void {
    this.#place = place;
    this.#drawing?.push(place);
    this.#pacing ??= setTimeout(() => {
      this.#pacing = undefined;
      const [x, y] = this.#place;
      this.#cursors.set({ ...this.#person(), x, y }, { ttlMs: CURSOR_MS });
      this.#flush();
    }, EVERY_MS);
  }

  /** The cursor is elsewhere. What it was about to tell would show it again. */
  #leave(): void {
    clearTimeout(this.#pacing);
    this.#pacing = undefined;
    this.#cursors.clear();
  }

  /** Publishes what was drawn since the last time; the last point begins the next part. */
  #flush(): void {
    const points = this.#drawing;
    if (points === undefined || points.length < 2) return;
    this.#client.send(this.#room.canvas, { hue: this.#person().hue, points });
    this.#drawing = points.slice(-1);
  }

  #lift(): void {
    this.#flush();
    this.#drawing = undefined;
  }

  #take(data: unknown): void {
    if ((data as { clear?: unknown } | null)?.clear === true) return this.#wipe();
    const stroke = strokeFrom(data);
    if (stroke === undefined) return;
    this.#strokes.push(stroke);
    byId("surface").classList.remove("blank");
    if (this.#strokes.length > STROKES_MAX) this.#strokes.shift();
    this.#draw(stroke);
  }

  #wipe(): void {
    this.#strokes = [];
    byId("surface").classList.add("blank");
    this.#redraw();
  }

  #resize(): void {
    const { width, height } = this.#canvas.getBoundingClientRect();
    this.#canvas.width = Math.round(width * devicePixelRatio);
    this.#canvas.height = Math.round(height * devicePixelRatio);
    this.#redraw();
  }

  #redraw(): void {
    const context = this.#canvas.getContext("2d");
    context?.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    for (const stroke of this.#strokes) this.#draw(stroke);
    this.#showCursors();
  }

  #draw({ hue, points }: Stroke): void {
    const context = this.#canvas.getContext("2d");
    if (context === null) return;
    const { width, height } = this.#canvas;
    const tone = getComputedStyle(document.documentElement).getPropertyValue("--tone");
    context.strokeStyle = `hsl(${hue} 60% ${tone})`;
    context.lineWidth = 3 * devicePixelRatio;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    for (const [x, y] of points) context.lineTo(x * width, y * height);
    context.stroke();
  }

  #showCursors(): void {
    const me = this.#me();
    const { width, height } = this.#canvas.getBoundingClientRect();
    const layer = byId("cursors");
    const known = new Map<string, HTMLElement>();
    for (const tag of layer.querySelectorAll("span")) {
      known.set(tag.dataset.key ?? "", tag);
    }
    for (const { key, value } of this.#cursors.entries.values()) {
      const person = personFrom(value);
      const { x, y } = (value ?? {}) as { x?: unknown; y?: unknown };
      if (key === me || person === undefined || typeof x !== "number" || typeof y !== "number")
        continue;
      const tag = known.get(key) ?? layer.appendChild(made("span"));
      known.delete(key);
      tag.dataset.key = key;
      tag.textContent = person.name;
      tag.style.setProperty("--hue", String(person.hue));
      // A tag points at its place from the side where there is room.
      const aside = x > 0.7 ? " translateX(-100%)" : "";
      tag.classList.toggle("left", x > 0.7);
      tag.style.transform = `translate(${clamped(x) * width}px, ${clamped(y) * height}px)${aside}`;
    }
    for (const gone of known.values()) gone.remove();
  }
}

function strokeFrom(data: unknown): Stroke | undefined {
  const { hue, points } = (data ?? {}) as { hue?: unknown; points?: unknown };
  if (typeof hue !== "number" || !Array.isArray(points) || points.length > 4096) return undefined;
  return { hue, points: points.filter(isPoint) };
}

function isPoint(point: unknown): point is Point {
  return Array.isArray(point) && typeof point[0] === "number" && typeof point[1] === "number";
}

function clamped(share: number): number {
  return Math.min(1, Math.max(0, share));
}
