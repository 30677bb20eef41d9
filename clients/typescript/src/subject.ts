/**
 * Names of topics, and patterns: levels between dots.
 *
 * @module
 */

import { CorewireError } from "./errors.js";

const CHARS_MAX = 255;
/** Up to 16 levels. */
const LEVELS = /^((([\w-]+|\*)\.){0,15}([\w-]+|\*|>))$/;

/**
 * Whether it is a pattern.
 *
 * @throws {@link CorewireError} if it is neither a topic's name nor a pattern.
 */
export function checkSubject(subject: string): boolean {
  // Without types anything may come.
  const isText = typeof subject === "string";
  if (!isText || !LEVELS.test(subject) || subject.length > CHARS_MAX) throw bad(subject);
  return /[*>]/.test(subject);
}

/**
 * Checks the name of one topic.
 *
 * @throws {@link CorewireError} if it is none.
 */
export function checkTopic(topic: string): void {
  if (checkSubject(topic)) throw bad(topic);
}

function bad(subject: string): CorewireError {
  return new CorewireError(
    "bad_request",
    `${JSON.stringify(subject)} is no topic such as chat.room-1, and no pattern such as chat.* or chat.>`,
  );
}
