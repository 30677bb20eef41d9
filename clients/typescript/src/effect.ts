/**
 * What a machine is made with, and what it asks its driver to do.
 *
 * @module
 */

import type { Backoff } from "./backoff.js";
import type { CorewireError } from "./errors.js";
import type { Status, StreamEvent } from "./events.js";
import type { News, Watcher } from "./feed.js";
import type { Ticket } from "./link.js";
import type { Outcome } from "./outbox.js";
import type { PageBody, Request } from "./words.js";

/** Every bound of a client. */
export interface Bounds {
  /** Messages of one topic that may wait here to be taken; 256. More wait at the server. */
  readonly topicWindow: number;
  /** The same of all topics together; 4,096. */
  readonly window: number;
  /** Publications that wait to be sent or answered; 10,000. */
  readonly publicationsMax: number;
  /** The same in bytes; 16 MiB. */
  readonly publicationBytesMax: number;
  /** Publications that are sent before the reply to the first of them; 256. */
  readonly inFlightMax: number;
  /** From `publish` to the reply, time without a connection included; 60 s. */
  readonly publishTimeoutMs: number;
  /** Until a connection is open; 10 s. */
  readonly connectTimeoutMs: number;
  /** Until a command that is no publication is answered; 10 s. */
  readonly replyTimeoutMs: number;
  /** Until a client that is closed has its publications answered; 3 s. */
  readonly closeTimeoutMs: number;
}

/** What a machine is made with. */
export interface MachineOptions extends Bounds {
  readonly url: string;
  /** Who the client says it is, if it has no token. */
  readonly user?: string | undefined;
  readonly token: string | undefined;
  /** Whether tokens come by an effect: the first one, and others before it expires. */
  readonly renews: boolean;
  readonly backoff: Backoff;
}

/** What the driver is to do. */
export type Effect =
  /** Connect, then call `opened` or `lost`. */
  | { readonly do: "open"; readonly link: number; readonly url: string }
  /** Send these, in messages of at most so many bytes; call `tooLarge` with what does not fit one. */
  | {
      readonly do: "send";
      readonly link: number;
      readonly requests: readonly Request[];
      readonly bytesMax: number;
    }
  /** Give the connection up. Nothing more is expected of it. */
  | { readonly do: "abort"; readonly link: number }
  /** Fetch a token, then call `token`. */
  | { readonly do: "token" }
  /** Hand an event on. A message comes with a ticket, for `taken`. */
  | {
      readonly do: "event";
      readonly s: number;
      readonly event: StreamEvent;
      readonly ticket: Ticket | undefined;
    }
  /** What `publish` or `history` has come to. */
  | { readonly do: "settle"; readonly id: number; readonly outcome: Outcome | PageBody }
  /** Let a watcher of state hear it. */
  | { readonly do: "news"; readonly watcher: Watcher; readonly news: News }
  | { readonly do: "status"; readonly status: Status }
  | { readonly do: "warning"; readonly error: CorewireError };
