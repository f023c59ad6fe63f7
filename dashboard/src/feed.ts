/** What comes from the gateway: the steps before now once, then a summary twice a second and the log, by the hub. */

import { type Ack, Realtime, type RealtimeError, type Status } from "nexus-warp-realtime";
import { type Board, type LogEntry, leftOut } from "./board.js";
import { stepsOf, summaryOf } from "./figures.js";
import { ask, expiryOf, refusal } from "./session.js";

/** What the page does with what comes. */
export interface Listener {
  /** A summary has come; `whole` where a step is. */
  updated(whole: boolean): void;
  logged(): void;
  status(status: Status): void;
  /** The gateway no longer takes the token. */
  refused(why: string): void;
}

/** What the channel `log` brings twice a second at most. */
interface Lines {
  readonly lines?: unknown;
  readonly left_out?: unknown;
}

/** Messages of the log's history that are asked for: more lines than are drawn. */
const HISTORY = 40;

/** Feeds a board until it is stopped. */
export class Feed {
  /** When the token ends, as it says itself; seconds since 1970. */
  readonly expires: number;
  /** Whether there was a connection. */
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
    this.hub = new Realtime(address, { token, onStatus: (status) => this.turned(status) });
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

  /** Ends it. */
  stop(): void {
    this.hub.close();
  }

  private withoutMetrics(error: RealtimeError): void {
    // That the connection is closed is told by its status.
    if (error.code !== "closed") {
      this.stop();
      this.listener.refused(error.message);
    }
  }

  /** What happened before the page was opened, or while the connection was cut. */
  private async fill(): Promise<void> {
    try {
      const answer = await ask("/api/metrics/timeseries", this.token);
      if (answer.ok) {
        this.board.fill(stepsOf(await answer.json()));
        this.listener.updated(true);
      }
    } catch {
      // The charts begin with now instead.
    }
  }

  private log(entries: readonly LogEntry[]): void {
    this.board.append(entries);
    this.listener.logged();
  }

  /** The lines that others were told before this page was opened. */
  private async precedeLog({ epoch, offset }: Ack): Promise<void> {
    if (this.logged || offset === undefined) {
      return;
    }
    this.logged = true;
    try {
      const history = await this.hub.history<Lines>("log", { limit: HISTORY });
      const before = history.epoch === epoch ? history.items : [];
      const items = before.filter((item) => item.offset <= offset);
      this.board.prepend(items.flatMap(({ data }) => entriesOf(data)));
      this.listener.logged();
    } catch {
      // The tail begins with now instead.
    }
  }

  private turned(status: Status): void {
    this.listener.status(status);
    if (status.state === "connected") {
      this.failures = 0;
      this.wasConnected = true;
    } else if (status.state === "waiting") {
      this.failures += 1;
      void this.doubt();
    } else if (status.state === "closed" && status.code >= 4001 && status.code <= 4003) {
      this.listener.refused(status.reason || "the token is no longer accepted");
    }
  }

  /** A page is not told why a handshake was refused, so it asks another way whether the token is still good. */
  private async doubt(): Promise<void> {
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
      // The gateway is away: the connection comes back with it.
    }
  }
}

/** Reads a message of the log; what is not a line is left out. */
function entriesOf(data: unknown): LogEntry[] {
  const given = (typeof data === "object" && data !== null ? data : {}) as Lines;
  const lines = Array.isArray(given.lines) ? (given.lines as unknown[]) : [];
  const entries = lines.filter(
    (line): line is LogEntry => typeof line === "object" && line !== null,
  );
  const missing = typeof given.left_out === "number" && given.left_out > 0;
  return missing ? [leftOut(given.left_out as number), ...entries] : entries;
}
