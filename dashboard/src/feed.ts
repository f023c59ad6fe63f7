/** What comes from the gateway: the steps before now once, then a summary twice a second and the log, by the hub. */

import { Realtime, type Status } from "@nexus/realtime";
import type { Board, LogEntry } from "./board.js";
import { stepsOf, summaryOf } from "./figures.js";
import { ask, refusal } from "./session.js";

/** What the page does with what comes. */
export interface Listener {
  /** A summary has come; `whole` where a step is. */
  updated(whole: boolean): void;
  logged(): void;
  status(status: Status): void;
  /** The gateway no longer takes the token. */
  refused(why: string): void;
}

/** Feeds a board until it is stopped. */
export class Feed {
  private readonly hub: Realtime;
  private failures = 0;

  constructor(
    private readonly token: string,
    private readonly board: Board,
    private readonly listener: Listener,
  ) {
    const address = new URL("/ws/realtime", location.href).href;
    this.hub = new Realtime(address, { token, onStatus: (status) => this.turned(status) });
    this.hub.subscribe("metrics", ({ data }) => {
      const summary = summaryOf(data);
      if (summary !== undefined) {
        this.listener.updated(board.update(summary, Date.now()));
      }
    });
    this.hub.subscribe<LogEntry | LogEntry[]>("log", ({ data }) => {
      const entries = Array.isArray(data) ? data : [data];
      board.append(entries.filter((entry) => typeof entry === "object" && entry !== null));
      this.listener.logged();
    });
    void this.precede();
  }

  /** Ends it. */
  stop(): void {
    this.hub.close();
  }

  private async precede(): Promise<void> {
    try {
      const answer = await ask("/api/metrics/timeseries", this.token);
      if (answer.ok) {
        this.board.precede(stepsOf(await answer.json()));
        this.listener.updated(true);
      }
    } catch {
      // The charts begin with now instead.
    }
  }

  private turned(status: Status): void {
    this.listener.status(status);
    if (status.state === "connected") {
      this.failures = 0;
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
