// Runs each client that is asked for against a server: {server, username, password, pause, clients} on stdin. Answers,
// for each, what it created and read, and what the login behind it did meanwhile.
import { readFileSync } from "node:fs";
import { gql } from "@apollo/client";
import relay from "relay-runtime";
import * as apollo from "./apollo.mjs";
import * as hey from "./hey-api";
import * as openapi from "./openapi-fetch";
import * as relayClient from "./relay.js";
import { session } from "./session.mjs";
import * as urql from "./urql.mjs";

const { fetchQuery, commitMutation } = relay;
const given = JSON.parse(readFileSync(0, "utf8"));
const sleep = (seconds: number) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

const CREATE = gql`mutation Create($input: CreateTaskInput!) { createTask(input: $input) { task { id title } } }`;
const RENAME = gql`mutation Rename($input: UpdateTaskInput!) { updateTask(input: $input) { task { id title } } }`;
const BOARD = gql`
  query Board($after: String) {
    tasks(first: 2, after: $after, orderBy: { field: CREATED_AT, direction: ASC }) {
      edges { cursor node { id title } }
      pageInfo { endCursor hasNextPage hasPreviousPage startCursor }
    }
  }
`;

/** A fetch that counts what goes out; the second request is answered by 429, and the fifth by 401, by nobody. */
function watched() {
  const seen = { logins: 0, renewals: 0, requests: 0 };
  const send = async (input: RequestInfo | URL, init?: RequestInit) => {
    const url = input instanceof Request ? input.url : String(input);
    if (url.endsWith("/token")) seen.logins++;
    else if (url.endsWith("/token/refresh")) seen.renewals++;
    else if (++seen.requests === 2) return new Response("{}", { status: 429, headers: { "Retry-After": "0" } });
    else if (seen.requests === 5) return new Response("{}", { status: 401 });
    return fetch(input, init);
  };
  return { seen, send };
}

type Steps = {
  create(title: string): Promise<{ id: unknown; title: string }>;
  titles(): Promise<string[]>;
  rename?(id: unknown, title: string): Promise<unknown>;
  cached?(): string[] | Promise<string[]>;
  more?(): Promise<string[]>;
};

const nodes = (connection: any): string[] => connection.edges.map((edge: any) => edge.node.title);

const CLIENTS: Record<string, (options: any) => Steps> = {
  apollo(options) {
    const client = apollo.client(options);
    const board = () => client.readQuery<any>({ query: BOARD });
    return {
      create: async (title) => (await client.mutate<any>({ mutation: CREATE, variables: { input: { title } } })).data.createTask.task,
      titles: async () => nodes((await client.query<any>({ query: BOARD })).data.tasks),
      rename: (id, title) => client.mutate({ mutation: RENAME, variables: { input: { id, title } } }),
      cached: () => nodes(board().tasks),
      more: async () => {
        const after = board().tasks.pageInfo.endCursor;
        await client.watchQuery({ query: BOARD }).fetchMore({ variables: { after } });
        return nodes(board().tasks);
      },
    };
  },
  urql(options) {
    const client = urql.client(options);
    const done = ({ data, error }: any) => {
      if (error) throw error;
      return data;
    };
    const read = async (variables: any, requestPolicy: any) =>
      nodes(done(await client.query(BOARD, variables, { requestPolicy }).toPromise()).tasks);
    let after: string;
    return {
      create: async (title) => done(await client.mutation(CREATE, { input: { title } }).toPromise()).createTask.task,
      titles: async () => {
        const data = done(await client.query(BOARD, {}).toPromise());
        after = data.tasks.pageInfo.endCursor;
        return nodes(data.tasks);
      },
      rename: async (id, title) => done(await client.mutation(RENAME, { input: { id, title } }).toPromise()),
      cached: () => read({}, "cache-only"),
      more: async () => {
        await read({ after }, "cache-first");
        return read({}, "cache-only");
      },
    };
  },
  relay(options) {
    const environment = relayClient.client(options);
    const mutate = (mutation: any, input: any) =>
      new Promise<any>((onCompleted, onError) => commitMutation(environment, { mutation, variables: { input }, onCompleted, onError }));
    const { createOperationDescriptor, getRequest } = relay;
    return {
      create: async (title) => (await mutate(relayClient.CREATE, { title })).createTask.task,
      titles: async () => nodes((await fetchQuery<any>(environment, relayClient.BOARD, {}).toPromise()).tasks),
      rename: (id, title) => mutate(relayClient.RENAME, { id, title }),
      cached: () => {
        const operation = createOperationDescriptor(getRequest(relayClient.BOARD), {});
        return nodes((environment.lookup(operation.fragment).data as any).tasks);
      },
    };
  },
  "openapi-fetch": (options) => ({
    create: (title) => openapi.createTask(options, title),
    titles: async () => (await openapi.openTasks(options)).tasks.map((task) => task.title),
  }),
  "hey-api": (options) => ({
    create: (title) => hey.create(options, title),
    titles: async () => (await hey.openTasks(options)).tasks.map((task) => task.title),
  }),
};

async function run(name: string) {
  const { seen, send } = watched();
  const login = session(given.server, given.accounts[name], send as typeof fetch);
  const client = CLIENTS[name]({ server: given.server, fetch: login.fetch });
  const first = await client.create(`${name} 1`);
  const titles = await client.titles(); // its first answer is 429
  await sleep(given.pause); // the access token runs out
  await Promise.all([client.create(`${name} 2`), client.create(`${name} 3`)]); // one of them is answered by 401
  const told: Record<string, unknown> = { first: first.title, titles, seen: { ...seen } };
  if (client.rename) {
    await client.rename(first.id, `${name} renamed`);
    const sent = seen.requests;
    told.cached = await client.cached!();
    told.asked = seen.requests - sent;
    told.more = client.more && (await client.more());
  }
  return told;
}

const found = await Promise.all(given.clients.map(async (name: string) => [name, await run(name)]));
console.log(JSON.stringify(Object.fromEntries(found)));
process.exit(0);
