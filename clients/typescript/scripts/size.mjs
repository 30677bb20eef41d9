// Prints what each entry costs a page, minified and gzipped, and fails where one costs more than it
// may. Each is measured alone, with all that it needs.

import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const BYTES_MAX = { index: 12 << 10, presence: 2_500, history: 500, binary: 3_500, tabs: 15_000 };

let isTooLarge = false;
for (const [entry, bytesMax] of Object.entries(BYTES_MAX)) {
  const { outputFiles } = await build({
    entryPoints: [`src/${entry}.ts`],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
  });
  const bytes = gzipSync(outputFiles[0].contents, { level: 9 }).length;
  const verdict = bytes > bytesMax ? `more than ${bytesMax}` : `of ${bytesMax}`;
  console.log(`size: ${entry}: ${bytes} bytes gzipped, ${verdict}`);
  isTooLarge ||= bytes > bytesMax;
}
process.exitCode = isTooLarge ? 1 : 0;
