/**
 * When a page may have slept, and when there is a network again.
 *
 * @module
 */

/** What is told. */
export interface Wake {
  /** The process may have slept: connections may be dead and look alive. */
  woke(): void;
  /** There is a network again. */
  online(): void;
}

/** Tells until the function that it returns is called. Does nothing where there is no page. */
export function watchWake({ woke, online }: Wake): () => void {
  const { document, window } = globalThis as { document?: Document; window?: Window };
  const ending = new AbortController();
  const listen = (target: EventTarget | undefined, type: string, call: () => void): void => {
    target?.addEventListener(type, call, { signal: ending.signal });
  };
  listen(document, "visibilitychange", () => {
    if (!document?.hidden) woke();
  });
  listen(window, "pageshow", woke);
  listen(window, "offline", woke);
  listen(window, "online", online);
  return () => ending.abort();
}
