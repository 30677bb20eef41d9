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
  const ends: (() => void)[] = [];
  const listen = (target: EventTarget | undefined, type: string, call: () => void): void => {
    target?.addEventListener?.(type, call);
    ends.push(() => target?.removeEventListener?.(type, call));
  };
  listen(document, "visibilitychange", () => {
    if (document?.visibilityState === "visible") woke();
  });
  listen(document, "resume", woke);
  listen(window, "pageshow", woke);
  listen(window, "offline", woke);
  listen(window, "online", online);
  return () => {
    for (const end of ends) end();
  };
}
