/** One line about what has just happened, for eyes and for screen readers. */

import { byId } from "./element.js";

let isQuiet = true;

/** Says it. */
export function say(text: string): void {
  isQuiet = false;
  byId("news").textContent = text;
}

/** Says what there is to try, as long as nothing has happened. */
export function suggest(text: string): void {
  if (isQuiet) byId("news").textContent = text;
}
