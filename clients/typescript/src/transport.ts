/**
 * The WebSocket that a client is given: a browser's, Node's own, or the package `ws`.
 *
 * @module
 */

/** What a client uses of a WebSocket. Those of browsers, of Node 22 and of the package `ws` have it. */
export interface WebSocketLike {
  binaryType: string;
  readonly protocol: string;
  send(message: string | Uint8Array): void;
  close(code?: number, reason?: string): void;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
}

/** A class of such: `WebSocket` itself. */
export type WebSocketClass = new (url: string, protocols: string[]) => unknown;

/** What becomes of a connection. */
export interface Listener {
  /** It is open, and this subprotocol agreed upon. */
  opened(protocol: string): void;
  message(message: string | ArrayBuffer): void;
  /** It has ended, or did not come about: the code of the Close frame, if there was one. */
  lost(code: number | undefined, reason: string): void;
}

/** One connection. */
export interface Connection {
  send(message: string | Uint8Array): void;
  /** Gives it up. The listener hears nothing more. */
  abort(): void;
}

/** Opens connections. */
export type Transport = (
  url: string,
  protocols: readonly string[],
  listener: Listener,
) => Connection;

/** The code that stands for "no Close frame came". */
const NO_CLOSE_FRAME = 1006;

/**
 * Connections of this class.
 *
 * @throws if there is none: Node before 22 has no WebSocket of its own.
 */
export function webSocketTransport(given?: WebSocketClass): Transport {
  const Class = given ?? (globalThis as { WebSocket?: WebSocketClass }).WebSocket;
  if (Class === undefined) {
    throw new TypeError("no WebSocket here: pass that of the package ws, { WebSocket }");
  }
  return (url, protocols, listener) => {
    const socket = new Class(url, [...protocols]) as WebSocketLike;
    socket.binaryType = "arraybuffer";
    let why = "";
    socket.onopen = () => listener.opened(socket.protocol);
    socket.onmessage = (event: { data: string | ArrayBuffer }) => listener.message(event.data);
    socket.onerror = (event: { message?: string }) => {
      why = event.message ?? "";
    };
    socket.onclose = ({ code, reason }: { code: number; reason: string }) =>
      listener.lost(code === NO_CLOSE_FRAME ? undefined : code, reason || why);
    return {
      send: (message) => socket.send(message),
      abort() {
        // Some platforms take minutes to close a socket that is dead: nobody waits for it.
        socket.onopen = socket.onmessage = socket.onclose = null;
        socket.onerror = () => {};
        socket.close();
      },
    };
  };
}
