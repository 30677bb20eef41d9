// Node's ws against an echo server, plain and compressed.
const assert = require("node:assert/strict");
const { on, once } = require("node:events");
const WebSocket = require("ws");

const url = process.argv[2];
const SIZES = [0, 1, 125, 126, 1000, 65_535, 65_536, 200_000, 1_048_576];

// Four random bits a byte: half of it compresses away. What compresses a hundredfold, the server
// takes for a bomb.
let state = 1;
const noise = () => {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return state >>> 28;
};

async function echoes(perMessageDeflate) {
  const socket = new WebSocket(url, { perMessageDeflate });
  // Messages are queued from here on: several may come in one tick.
  const messages = on(socket, "message");
  const next = async () => (await messages.next()).value;
  await once(socket, "open");
  assert.equal(socket.extensions.includes("permessage-deflate"), perMessageDeflate !== false);
  for (const size of SIZES) {
    const message = Buffer.from(Array.from({ length: size }, noise));
    socket.send(message, { binary: true });
    const [echo, binary] = await next();
    assert(binary && message.equals(echo), `an echo of ${size} bytes`);
  }
  for (let number = 0; number < 1000; number++) socket.send(`${number}`);
  for (let number = 0; number < 1000; number++) {
    const [echo] = await next();
    assert.equal(echo.toString(), `${number}`);
  }
  socket.ping("are you there");
  const [pong] = await once(socket, "pong");
  assert.equal(pong.toString(), "are you there");
  socket.close(1000, "done");
  const [code] = await once(socket, "close");
  assert.equal(code, 1000);
}

async function main() {
  await echoes(false);
  await echoes(true);
  await echoes({ threshold: 0, serverNoContextTakeover: true, clientMaxWindowBits: 10 });
  console.log("node ws: 3 conversations passed");
  process.exitCode = 0;
}

process.exitCode = 1; // Until all is done: an empty event loop would end with 0.
main().catch((error) => {
  console.error(error);
  process.exit(1);
});
