/**
 * The corewire client: publish and subscribe over a WebSocket that comes back by itself.
 *
 * @module
 */

export type { Backoff, Random } from "./backoff.js";
export {
  Client,
  type ClientEvents,
  type ClientOptions,
  type PublishOptions,
} from "./client.js";
export type { Clock } from "./clock.js";
export {
  CorewireError,
  type ErrorCode,
  type ErrorDetails,
  type ServerErrorCode,
} from "./errors.js";
export type {
  Conflated,
  Gap,
  Message,
  Reset,
  Session,
  Status,
  StreamEvent,
  Subscribed,
  Unsubscribed,
} from "./events.js";
export type { News, Start, SubscribeOptions, Watcher } from "./feed.js";
export { json } from "./json.js";
export type { Published } from "./outbox.js";
export type { Handlers, StateLink, Subscription, Watchable } from "./subscription.js";
export type { Connection, Listener, Transport, WebSocketClass } from "./transport.js";
export type {
  Cause,
  Dialect,
  Place,
  Policy,
  PublisherBody,
  Request,
  ServerWord,
} from "./words.js";
