// Asks nodes by what browsers have: `fetch` and `EventSource`.

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Makes a request until it is answered. A refusal that is final is thrown. */
export async function ask(url, request = {}) {
  for (;;) {
    let wait = 0;
    try {
      const answer = await fetch(url, { ...request, signal: AbortSignal.timeout(10_000) });
      const body = await answer.text();
      if (answer.ok) return JSON.parse(body);
      const refusal = new Error(`${answer.status}: ${body}`);
      if (![408, 429, 502, 503, 504].includes(answer.status)) throw Object.assign(refusal, { isFinal: true });
      wait = Number(answer.headers.get("retry-after") ?? 0);
      throw refusal;
    } catch (error) {
      if (error.isFinal) throw error;
      console.log("again soon:", error.message);
    }
    // Clients that have lost the same node do not all come at once.
    await sleep(1000 * wait + 100 + 900 * Math.random());
  }
}

/** Shows the state of a Map lane, and again whenever it has changed, with five flushes a second at most. */
export function watch(url, show, fail) {
  const state = new Map();
  let token = "0"; // from the beginning, which is told by a reset
  const open = () => {
    const events = new EventSource(`${url}&rate=5&from=${token}`);
    const on = (name, change) =>
      events.addEventListener(name, ({ data, lastEventId }) => {
        change(JSON.parse(data));
        if (!lastEventId || lastEventId === token) return;
        token = lastEventId;
        if (token !== "0") show(state); // everything of the lane up to here has come
      });
    on("update", ({ key, value }) => state.set(key, value));
    on("remove", ({ key }) => state.delete(key));
    on("clear", () => state.clear());
    on("reset", () => {
      console.log("reset"); // all of it follows
      state.clear();
    });
    on("synced", () => {});
    on("closed", ({ code, error }) => console.log(`closed by its node: ${code}: ${error}`));
    events.addEventListener("error", () => {
      console.log("the watch ended after", token);
      console.log("again soon");
      // A stream that has broken is opened again by itself, from the last id on. One that was refused is not, and does
      // not say why: a read of the lane does.
      if (events.readyState === EventSource.CLOSED) ask(url).then(open, fail);
    });
  };
  open();
}
