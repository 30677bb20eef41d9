// Builds the page into src/server/page, from where the binary embeds it. `node build.mjs --check`
// fails if what lies there is not what the sources make.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const client = join(here, "../clients/typescript/src");
const out = join(here, "../src/server/page");
const BYTES_MAX = 100_000;

const result = await build({
  entryPoints: { app: join(here, "src/main.ts"), style: join(here, "style.css") },
  alias: {
    corewire: join(client, "index.ts"),
    "corewire/history": join(client, "history.ts"),
    "corewire/presence": join(client, "presence.ts"),
  },
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022", "chrome110", "firefox115", "safari16.4"],
  legalComments: "none",
  outdir: out,
  write: false,
});
const files = new Map(result.outputFiles.map(({ path, text }) => [path, text]));
files.set(join(out, "index.html"), await readFile(join(here, "index.html"), "utf8"));

let bytes = 0;
const stale = [];
await mkdir(out, { recursive: true });
for (const [path, text] of files) {
  bytes += Buffer.byteLength(text);
  if (process.argv.includes("--check")) {
    const built = await readFile(path, "utf8").catch(() => "");
    if (built !== text) stale.push(path);
  } else {
    await writeFile(path, text);
  }
}
if (stale.length > 0) {
  console.error(`not what demo/ builds: ${stale.join(", ")}; run \`make demo\``);
  process.exit(1);
}
console.log(`demo: ${files.size} files, ${bytes} bytes of at most ${BYTES_MAX}`);
if (bytes > BYTES_MAX) process.exit(1);
