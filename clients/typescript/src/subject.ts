/**
 * Names of topics, and patterns: levels between dots.
 *
 * @module
 */

import { CorewireError } from "./errors.js";

const BYTES_MAX = 255;
const LEVELS_MAX = 16;

/**
 * Whether it is a pattern.
 *
 * @throws {@link CorewireError} if it is neither a topic's name nor a pattern, and where.
 */
export function checkSubject(subject: string): boolean {
  const levels = subject.split(".");
  if (subject.length > BYTES_MAX)
    throw bad(subject, `${subject.length} bytes; at most ${BYTES_MAX} are possible`);
  if (levels.length > LEVELS_MAX)
    throw bad(subject, `${levels.length} levels; at most ${LEVELS_MAX} are possible`);
  let pattern = false;
  for (const [place, level] of levels.entries()) {
    if (level === "*" || (level === ">" && place === levels.length - 1)) pattern = true;
    else if (level === ">")
      throw bad(subject, "> stands for all levels that follow; write it last");
    else if (level === "")
      throw bad(subject, "an empty level; write one dot between levels, and none at the ends");
    else if (!/^[\w-]+$/.test(level))
      throw bad(subject, `${JSON.stringify(level)}; a level is letters, digits, - and _`);
  }
  return pattern;
}

/**
 * Checks the name of one topic.
 *
 * @throws {@link CorewireError} if it is none.
 */
export function checkTopic(topic: string): void {
  if (checkSubject(topic)) throw bad(topic, "a pattern; name one topic");
}

function bad(subject: string, what: string): CorewireError {
  return new CorewireError("bad_request", `topic ${JSON.stringify(subject)}: ${what}`);
}
