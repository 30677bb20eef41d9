// Waits for what must come to be.

const PATIENCE_MS = 15_000;
const EVERY_MS = 25;

/** Waits until `isSo`; `what` says it in the error. */
export async function expect(what, isSo) {
  const end = performance.now() + PATIENCE_MS;
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}
