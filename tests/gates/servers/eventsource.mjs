// SPDX-License-Identifier: MIT
// Copyright (c) 2026 the axon_events authors
// Reads a run by an EventSource: node eventsource.mjs eventsource|undici URL KIND… prints the data
// of each event on a line, up to a terminator.

const [name, url, ...kinds] = process.argv.slice(2);
const {EventSource} = await import(name);
const source = new EventSource(url);
setInterval(() => {}, 1000);  // undici's does not keep the process while it waits to connect again
for (const kind of kinds)
  source.addEventListener(kind, (message) => {
    console.log(message.data);
    if (kind === "flow_complete" || kind === "flow_error") {
      source.close();
      setImmediate(() => process.exit(0));  // undici keeps the connection
    }
  });
source.onerror = (error) => {
  if (source.readyState === 2) {
    console.error(error);
    process.exit(1);
  }
};
