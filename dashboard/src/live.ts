/** Receives the gateway's data: past steps once, then a summary twice a second and the log, through the hub. */

import { type Ack, Realtime, type RealtimeError, type Status } from "nexus-warp-realtime";
import { type Board, type LogEntry, leftOut } from "./board.js";
import { stepsOf, summaryOf } from "./metrics.js";
import { ask, expiryOf, refusal } from "./session.js";

/** Reacts to received data. */
export interface Listener {
  /** A summary was received; `whole` if it completes a step. */
  updated(whole: boolean): void;
  logged(): void;
  status(status: Status): void;
  /** The gateway no longer accepts the token. */
  refused(why: string): void;
}

/** A message of the channel `log`, at most two per second. */
interface Lines {
  readonly lines?: unknown;
  readonly left_out?: unknown;
}

/** Messages of the log's history to request: more lines than are drawn. */
const LOG_HISTORY_MESSAGES = 40;

/** Updates a board until it is stopped. */
export class LiveData {
  /** The expiry time in the token; seconds since 1970. */
  readonly expires: number;
  /** Whether the page was connected before. */
  wasConnected = false;
  private readonly hub: Realtime;
  private failures = 0;
  private logged = false;

  constructor(
    private readonly token: string,
    private readonly board: Board,
    private readonly listener: Listener,
  ) {
    this.expires = expiryOf(token);
    const address = new URL("/ws/realtime", location.href).href;
    this.hub = new Realtime(address, { token, onStatus: (status) => this.onStatus(status) });
    this.hub.subscribe("metrics", {
      message: ({ data }) => {
        const summary = summaryOf(data);
        if (summary !== undefined) {
          this.listener.updated(board.update(summary));
        }
      },
      subscribed: () => void this.fill(),
      error: (error) => this.withoutMetrics(error),
    });
    this.hub.subscribe<Lines>("log", {
      message: ({ data }) => this.log(entriesOf(data)),
      gap: ({ count }) => this.log([leftOut(count ?? "unknown")]),
      subscribed: (ack) => void this.precedeLog(ack),
      error: (error) => {
        if (error.code !== "closed") {
          board.withoutLog = error.message;
          this.listener.logged();
        }
      },
    });
  }

  /** Closes the connection. */
  stop(): void {
    this.hub.close();
  }

  private withoutMetrics(error: RealtimeError): void {
    // `onStatus` reports that the connection is closed.
    if (error.code !== "closed") {
      this.stop();
      this.listener.refused(error.message);
    }
  }

  /** Requests the steps from before the page was opened, or from while the connection was lost. */
  private async fill(): Promise<void> {
    try {
      const answer = await ask("/api/metrics/timeseries", this.token);
      if (answer.ok) {
        this.board.fill(stepsOf(await answer.json()));
        this.listener.updated(true);
      }
    } catch {
      // The charts start with the present.
    }
  }

  private log(entries: readonly LogEntry[]): void {
    this.board.append(entries);
    this.listener.logged();
  }

  /** Requests the lines that were logged before the page was opened. */
  private async precedeLog({ epoch, offset }: Ack): Promise<void> {
    if (this.logged || offset === undefined) {
      return;
    }
    this.logged = true;
    try {
      const history = await this.hub.history<Lines>("log", { limit: LOG_HISTORY_MESSAGES });
      const before = history.epoch === epoch ? history.items : [];
      const items = before.filter((item) => item.offset <= offset);
      this.board.prepend(items.flatMap(({ data }) => entriesOf(data)));
      this.listener.logged();
    } catch {
      // The log starts with the present.
    }
  }

  private onStatus(status: Status): void {
    this.listener.status(status);
    if (status.state === "connected") {
      this.failures = 0;
      this.wasConnected = true;
    } else if (status.state === "waiting") {
      this.failures += 1;
      void this.checkToken();
    } else if (status.state === "closed" && status.code >= 4001 && status.code <= 4003) {
      this.listener.refused(status.reason || "the token is no longer accepted");
    }
  }

  /** Checks the token with a request, since browsers hide why a handshake was refused. */
  private async checkToken(): Promise<void> {
    if (this.failures < 2) {
      return;
    }
    try {
      const why = await refusal(this.token);
      if (why !== undefined) {
        this.stop();
        this.listener.refused(why);
      }
    } catch {
      // The gateway is not reachable; the client reconnects when it is.
    }
  }
}

/** Reads a message of the log, and skips what is not a line. */
function entriesOf(data: unknown): LogEntry[] {
  const found = (typeof data === "object" && data !== null ? data : {}) as Lines;
  const lines = Array.isArray(found.lines) ? (found.lines as unknown[]) : [];
  const entries = lines.filter(
    (line): line is LogEntry => typeof line === "object" && line !== null,
  );
  const missing = typeof found.left_out === "number" && found.left_out > 0;
  return missing ? [leftOut(found.left_out as number), ...entries] : entries;
}
