/** The page: connects the live data, the board and the panels. */

import { render } from "lit-html";
import type { Status } from "nexus-warp-realtime";
import { Board } from "./board.js";
import { Chart, type Line } from "./chart.js";
import * as format from "./format.js";
import { Heat } from "./heat.js";
import { LiveData } from "./live.js";
import { limits, refusals, subjects } from "./panels/limits.js";
import { LogTail } from "./panels/log.js";
import { realtime } from "./panels/realtime.js";
import { RoutesTable } from "./panels/routes.js";
import { tiles } from "./panels/tiles.js";
import * as session from "./session.js";
import "./style.css";
import { startTheme } from "./theme.js";

/** Returns an element of the page, which must exist. */
function element<E extends HTMLElement = HTMLElement>(id: string): E {
  const found = document.getElementById(id);
  if (found === null) {
    throw new Error(`the page has no element ${id}`);
  }
  return found as E;
}

const per = (value: number) => `${format.rate(value)}/s`;
const RATE: readonly Line[] = [
  { label: "answered", colour: "ok", value: ({ rate }) => rate, format: per, filled: true },
  { label: "refused 4xx", colour: "refused", value: (step) => step.clientErrors, format: per },
  { label: "failed 5xx", colour: "failed", value: (step) => step.serverErrors, format: per },
];
const LATENCY: readonly Line[] = [
  { label: "p50", colour: "p50", value: ({ p50 }) => p50, format: format.seconds },
  { label: "p95", colour: "p95", value: ({ p95 }) => p95, format: format.seconds },
  { label: "p99", colour: "p99", value: ({ p99 }) => p99, format: format.seconds },
  {
    label: "refused p50",
    colour: "refused",
    value: ({ refusedP50 }) => refusedP50,
    format: format.seconds,
  },
];
const PROCESS: readonly Line[] = [
  {
    label: "CPU",
    colour: "p50",
    value: ({ cpu }) => cpu,
    format: format.percent,
    scale: "cpu",
    filled: true,
  },
  {
    label: "memory",
    colour: "p95",
    value: ({ memory }) => memory,
    format: format.bytes,
    scale: "bytes",
  },
];
const CONNECTIONS: readonly Line[] = [
  {
    label: "connections",
    colour: "p50",
    value: (step) => step.connections,
    format: format.count,
    filled: true,
  },
  { label: "in flight", colour: "p99", value: (step) => step.inFlight, format: format.count },
];

/** The page announces the expiry of its token this long before. */
const EXPIRY_NOTICE_S = 120;

let board = new Board();
let live: LiveData | undefined;
let range = 300;
let status: Status = { state: "connecting" };
let retryAt = 0;

element("board").hidden = false; // the charts measure it when they are created
const charts = {
  rate: new Chart(element("chart-rate"), RATE),
  latency: new Chart(element("chart-latency"), LATENCY, { logarithmic: true }),
  process: new Chart(element("chart-process"), PROCESS, { top: 0.1 }),
  connections: new Chart(element("chart-connections"), CONNECTIONS),
};
const heat = new Heat(element<HTMLCanvasElement>("heat"), element("heat-says"));
const table = new RoutesTable(() => render(table.show(board), element("routes")));
const tail = new LogTail(() => render(tail.show(board), element("log")));
element("board").hidden = true;

function drawTiles(): void {
  render(tiles(board), element("tiles"));
  setText("as-of", board.summary === undefined ? "" : `as of ${format.clock(board.updated)}`);
}

/** Draws what changes with each step, not with each summary. */
function drawSteps(): void {
  const span = board.last(range);
  for (const chart of Object.values(charts)) {
    chart.show(span);
  }
  heat.show(span, board.summary?.bounds_seconds ?? []);
  render(table.show(board), element("routes"));
  render(limits(board), element("limits"));
  render(subjects(board), element("subjects"));
  render(refusals(board), element("codes"));
  render(realtime(board), element("realtime-panel"));
}

/** Sets a text if it differs, so that a screen reader reads it once. */
function setText(id: string, text: string): void {
  const host = element(id);
  if (host.textContent !== text) {
    host.textContent = text;
  }
}

function drawStatus(): void {
  const words = {
    connecting: live?.wasConnected ? "connection lost, connecting …" : "connecting …",
    connected: "live",
    waiting: `connection lost, trying again in ${Math.max(0, Math.ceil((retryAt - Date.now()) / 1000))} s`,
    closed: `disconnected${status.state === "closed" && status.reason ? `: ${status.reason}` : ""}; reload to connect again`,
  };
  element("status").dataset.state = live === undefined ? "closed" : status.state;
  setText("status", live === undefined ? "signed out" : words[status.state]);
  element("board").classList.toggle("stale", live !== undefined && status.state !== "connected");
  const left = live === undefined ? Number.POSITIVE_INFINITY : live.expires - Date.now() / 1000;
  const soon = left < EXPIRY_NOTICE_S && left > 0;
  setText("expiry", soon ? `the token ends in ${format.duration(Math.ceil(left))}` : "");
}

function draw(whole: boolean): void {
  if (document.hidden) {
    return; // everything is drawn when the page becomes visible
  }
  drawTiles();
  if (whole) {
    drawSteps();
  }
}

function start(token: string): void {
  board = new Board();
  element("sign-in").hidden = true;
  element("board").hidden = false;
  element("sign-out").hidden = false;
  live = new LiveData(token, board, {
    updated: draw,
    logged: scheduleLog,
    status: (newStatus) => {
      status = newStatus;
      retryAt = newStatus.state === "waiting" ? Date.now() + newStatus.retryIn : 0;
      drawStatus();
    },
    refused: (why) => signOut(why),
  });
  drawStatus();
  drawSteps();
  render(tail.show(board), element("log"));
}

let logDue = false;
/** Draws the log at most once per frame. */
function scheduleLog(): void {
  if (!logDue) {
    logDue = true;
    requestAnimationFrame(() => {
      logDue = false;
      render(tail.show(board), element("log"));
    });
  }
}

function signOut(why = ""): void {
  live?.stop();
  live = undefined;
  session.forget();
  element("board").hidden = true;
  element("sign-out").hidden = true;
  element("sign-in").hidden = false;
  element("sign-in-says").textContent = why === "" ? "" : `Signed out: ${why}.`;
  element<HTMLInputElement>("token").focus();
  drawStatus();
}

async function signIn(token: string): Promise<void> {
  const says = element("sign-in-says");
  const button = element<HTMLButtonElement>("sign-in-button");
  says.textContent = "";
  button.disabled = true;
  try {
    const why = await session.refusal(token);
    if (why === undefined) {
      session.store(token);
      element<HTMLInputElement>("token").value = "";
      start(token);
    } else {
      says.textContent = `Refused: ${why}.`;
    }
  } catch {
    says.textContent = "The gateway does not answer. Try again.";
  } finally {
    button.disabled = false;
  }
}

element<HTMLFormElement>("sign-in-form").addEventListener("submit", (event) => {
  event.preventDefault();
  void signIn(element<HTMLInputElement>("token").value.trim());
});
element("sign-out").addEventListener("click", () => signOut());
element<HTMLFieldSetElement>("range").addEventListener("change", (event) => {
  range = Number((event.target as HTMLInputElement).value);
  drawSteps();
});
element<HTMLInputElement>("routes-seek").addEventListener("input", (event) => {
  table.seek((event.target as HTMLInputElement).value);
});
element<HTMLInputElement>("log-seek").addEventListener("input", (event) => {
  tail.seek((event.target as HTMLInputElement).value);
});
element<HTMLSelectElement>("log-level").addEventListener("change", (event) => {
  tail.from((event.target as HTMLSelectElement).value);
});
element("log-hold").addEventListener("click", () => {
  setText("log-hold", tail.hold(board) ? "Resume" : "Pause");
});
startTheme(element<HTMLButtonElement>("theme"), () => {
  for (const chart of Object.values(charts)) {
    chart.redraw();
  }
  heat.draw();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && live !== undefined) {
    draw(true);
    scheduleLog();
  }
});
setInterval(drawStatus, 1000);

const storedToken = session.token();
if (storedToken === null) {
  signOut();
} else {
  start(storedToken);
}
