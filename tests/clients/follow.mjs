// Follows new tasks for longer than a token lasts, and on after its session was ended: {server, account, pause} on stdin.
import { readFileSync } from "node:fs";
import { WebSocket } from "ws";
import { session } from "./session.mjs";
import { socket } from "./sockets.mjs";

const { server, account, pause } = JSON.parse(readFileSync(0, "utf8"));
const follower = session(server, account);
const author = session(server, account);
const told = { connected: 0, codes: [], refs: [] };
const until = async (met) => {
  while (!met()) await new Promise((resolve) => setTimeout(resolve, 20));
};

class Watched extends WebSocket {
  constructor(...given) {
    super(...given);
    this.on("close", (code) => told.codes.push(code));
  }
}

const client = socket({ server, token: follower.token, connected: () => told.connected++, webSocketImpl: Watched });
client.subscribe(
  { query: "subscription { taskCreated { ref } }" },
  { next: ({ data }) => told.refs.push(data.taskCreated.ref), error: (error) => console.error(error), complete() {} },
);
const send = (method, path, body) =>
  author.fetch(`${server}/api/v1${path}`, {
    method,
    headers: { "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
  });
const create = async (title) => (await send("POST", "/tasks", { title })).json();

await until(() => told.connected === 1);
await new Promise((resolve) => setTimeout(resolve, pause * 1000));
await create("after the token");
await until(() => told.refs.length === 1);
// every session but the one that asks
for (const { id, current } of await (await send("GET", "/users/me/sessions")).json()) {
  if (!current) await send("DELETE", `/users/me/sessions/${id}`);
}
await until(() => told.connected === 2);
await new Promise((resolve) => setTimeout(resolve, 300));
await create("after the session");
await until(() => told.refs.length === 2);
console.log(JSON.stringify(told));
process.exit(0);
