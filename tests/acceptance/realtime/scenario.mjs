// Runs one scenario of `scenarios.mjs` in Node: the bundle, its name, and what it is given, on the command line.

import { WebSocket } from "ws";

const [bundle, name, given] = process.argv.slice(2);
const scenarios = await import(bundle);
const found = await scenarios[name]({ ...JSON.parse(given), WebSocket });
process.stdout.write(JSON.stringify(found));
process.exit(0);
