// Sends a command, reads a lane and watches another one, by gRPC: node client.js [HOST:PORT] [SEQUENCE]
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

// With a sequence it is the key of a command. It stays the same from run to run; another program has another one.
const CLIENT = "example-javascript";
const FLIGHT = {
  carrier: "UA", flight: 1545, tailnum: "N24211", origin: "JFK", dest: "IAH", distance: 1416,
  month: 1, day: 1, sched_dep_time: 529, dep_time: 546, dep_delay: 17,
};
// A node that is gone without a word is noticed within 40 s, also while nothing happens on a lane.
const OPTIONS = { "grpc.keepalive_time_ms": 30_000, "grpc.keepalive_timeout_ms": 10_000 };

// Versions, sequences and tokens have 64 bits, more than a number: they stay texts.
const includeDirs = [fileURLToPath(new URL("../../../proto/proto", import.meta.url))];
const proto = loadSync("shoal/v1/lanes.proto", { includeDirs, longs: String, enums: String });
const { Lanes } = grpc.loadPackageDefinition(proto).shoal.v1;

const told = (error, name) => error.metadata?.get(name)[0];

/** Waits until the call may be made again. A refusal that is final is thrown. */
async function pause(error) {
  const { UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED } = grpc.status;
  const lost = [UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED].includes(error.code);
  if (!lost && told(error, "shoal-code") !== "429") throw error;
  console.log("again soon:", error.details);
  // Clients that have lost the same node do not all come at once.
  await sleep(1000 * Number(told(error, "shoal-retry-after") ?? 0) + 100 + 900 * Math.random());
}

/** Makes the call until it is answered. */
async function call(lanes, method, request) {
  for (;;) {
    try {
      return await new Promise((resolve, reject) => {
        const answered = (error, response) => (error ? reject(error) : resolve(response));
        lanes[method](request, { deadline: Date.now() + 10_000 }, answered);
      });
    } catch (error) {
      await pause(error);
    }
  }
}

/** Sends a command. By its key it has one effect, however often it is sent. */
async function send(lanes, agent, lane, body, sequence) {
  const request = { agent, lane, body: Buffer.from(JSON.stringify(body)), client: CLIENT, sequence };
  return (await call(lanes, "send", request)).version;
}

/** Reads a Value or Map lane, with everything that was acknowledged before. */
async function read(lanes, agent, lane) {
  return JSON.parse((await call(lanes, "get", { agent, lane })).body);
}

/** Yields the state of a Map lane, and again whenever it has changed. */
async function* watch(lanes, agent, lane) {
  const state = new Map();
  let token = "0"; // from the beginning, which is told by a reset
  for (;;) {
    try {
      for await (const { events } of lanes.watch({ agent, lane, from: token })) {
        for (const event of events) {
          fold(state, event);
          if (event.kind === "EVENT_KIND_RESET") token = "0"; // what it stood for was dropped
          if (event.id === undefined) continue;
          token = event.id; // everything of the lane up to here has come
          yield state;
        }
      }
    } catch (error) {
      console.log("the watch ended after", token);
      await pause(error);
    }
  }
}

/** Changes the state of a Map lane as an event says. */
function fold(state, { kind, key, value }) {
  if (kind === "EVENT_KIND_UPDATE") state.set(JSON.parse(key), JSON.parse(value));
  if (kind === "EVENT_KIND_REMOVE") state.delete(JSON.parse(key));
  if (kind === "EVENT_KIND_CLEAR" || kind === "EVENT_KIND_RESET") state.clear();
  if (kind === "EVENT_KIND_RESET") console.log("reset"); // all of it follows
}

const [at = "localhost:7777", sequence = "1"] = process.argv.slice(2);
const lanes = new Lanes(at, grpc.credentials.createInsecure(), OPTIONS);
try {
  console.log("sent:", await send(lanes, "/airport/JFK", "departed", FLIGHT, sequence));
  console.log("late:", await read(lanes, "/airport/JFK", "late"));
  for await (const state of watch(lanes, "/carrier/UA", "from")) {
    console.log("from:", JSON.stringify(Object.fromEntries(state)));
  }
} catch (error) {
  if (error.code === undefined) throw error;
  console.error(`${grpc.status[error.code]}: ${error.details} (at ${told(error, "shoal-at")})`);
  process.exit(1);
}
