// Servers on `ws` as its documentation shows it; bufferutil, which it recommends, is installed.
//
//     node server.cjs HOST:PORT            echo, without compression, the default of ws
//     node server.cjs HOST:PORT deflate    echo, every message compressed, default settings
//     node server.cjs HOST:PORT pubsub     the text `subscribe` joins, all else goes to those who have
"use strict";

const { WebSocketServer, WebSocket } = require("ws");

const [address = "127.0.0.1:0", kind = "echo"] = process.argv.slice(2);
const [host, port] = address.split(":");
const subscribers = new Set();

const perMessageDeflate = kind === "deflate" ? { threshold: 0 } : false;
const server = new WebSocketServer({ host, port: Number(port), perMessageDeflate });

server.on("connection", (socket) => {
  socket.on("error", () => {});
  socket.on("close", () => subscribers.delete(socket));
  socket.on("message", kind === "pubsub" ? relay : echo);
});

function echo(data, binary) {
  this.send(data, { binary });
}

function relay(data, binary) {
  if (!binary && data.toString() === "subscribe") {
    subscribers.add(this);
    return;
  }
  for (const subscriber of subscribers) {
    if (subscriber.readyState === WebSocket.OPEN) subscriber.send(data, { binary });
  }
}

server.on("listening", () => {
  const { address, port } = server.address();
  console.log(`listening on ${address}:${port}`);
});
