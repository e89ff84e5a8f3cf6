// Runs the worker that `piw config worker` prints: node worker_server.mjs MINIFLARE WORKER PORT
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [miniflare, worker, port] = process.argv.slice(2);
const { Miniflare } = await import(pathToFileURL(`${miniflare}/node_modules/miniflare/dist/src/index.js`));
const server = new Miniflare({
  modules: [{ type: "ESModule", path: "worker.mjs", contents: readFileSync(worker, "utf8") }],
  compatibilityDate: "2025-01-01",
  host: "127.0.0.1",
  port: Number(port),
});
await server.ready;
