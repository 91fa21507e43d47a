// SPDX-License-Identifier: MIT
// Copyright (c) 2026 the axon_events authors
// Copies every file that git does not ignore into the file system of the WebAssembly runtime, and
// runs suite.py there. `python -m tests.gates.pyodide` starts it.

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { isMainThread, Worker } from "node:worker_threads";

import { loadPyodide } from "pyodide";

const root = fileURLToPath(new URL("../../..", import.meta.url));

async function run() {
  const listed = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
  const files = execFileSync("git", listed, { cwd: root, encoding: "utf8" }).split("\0");

  const python = await loadPyodide();
  python.setStdout({ write: (bytes) => writeSync(1, bytes) });
  python.setStderr({ write: (bytes) => writeSync(2, bytes) });
  for (const file of files.filter((name) => name && existsSync(join(root, name)))) {
    const copy = `/project/${file}`;
    python.FS.mkdirTree(dirname(copy));
    python.FS.writeFile(copy, readFileSync(join(root, file)));
  }
  python.FS.chdir("/project");
  return python.runPython('import runpy; runpy.run_path("tests/gates/pyodide/suite.py")["run"]()');
}

if (isMainThread) {
  // In a thread of its own, since only there can a program choose the size of its stack. With the
  // usual one the runtime dies of JSON that is nested deeply, which the standard library's parser
  // there does not refuse in time.
  const worker = new Worker(new URL(import.meta.url), { resourceLimits: { stackSizeMb: 64 } });
  worker.on("exit", (status) => {
    process.exitCode = status;
  });
} else {
  process.exitCode = await run();
}
