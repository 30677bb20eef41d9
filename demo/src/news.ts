/** One line about what has just happened, for eyes and for screen readers. */

import { byId } from "./element.js";

/** Says it. */
export function say(text: string): void {
  byId("news").textContent = text;
}
