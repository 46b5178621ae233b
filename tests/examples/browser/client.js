// Sends a command, reads a lane and watches another one, as a page does: node client.js [HOST:PORT] [SEQUENCE]
import { EventSource } from "eventsource";
import { ask, watch } from "./watch.js";

globalThis.EventSource ??= EventSource; // browsers have it

const FLIGHT = {
  carrier: "UA", flight: 1545, tailnum: "N24211", origin: "JFK", dest: "IAH", distance: 1416,
  month: 1, day: 1, sched_dep_time: 529, dep_time: 546, dep_delay: 17,
};
const [at = "localhost:7777", sequence = "1"] = process.argv.slice(2);

const fail = (error) => {
  console.error(error.message);
  process.exit(1);
};
try {
  // By its key the command has one effect, however often it is sent. The name stays the same from run to run.
  const headers = {
    "content-type": "application/json", "shoal-client": "example-browser", "shoal-sequence": sequence,
  };
  const command = { method: "POST", headers, body: JSON.stringify(FLIGHT) };
  console.log("sent:", JSON.stringify(await ask(`http://${at}/airport/JFK?lane=departed`, command)));
  console.log("late:", await ask(`http://${at}/airport/JFK?lane=late`));
  const show = (state) => console.log("from:", JSON.stringify(Object.fromEntries(state)));
  watch(`http://${at}/carrier/UA?lane=from`, show, fail);
} catch (error) {
  fail(error);
}
