import { createClient } from "./generated/hey-api/client";
import { createTask, listTasks } from "./generated/hey-api";

type Options = { server: string; fetch: typeof fetch };

export const client = ({ server, fetch }: Options) => createClient({ baseUrl: server, fetch, throwOnError: true });

export async function openTasks(options: Options) {
  const { data, response } = await listTasks({
    client: client(options),
    query: { status: ["pending"], sort_by: "created_at", order: "asc", limit: 2 },
    throwOnError: true,
  });
  return { tasks: data.map(({ id, title }) => ({ id, title })), next: response.headers.get("X-Next-Cursor") };
}

export async function create(options: Options, title: string) {
  const headers = { "Idempotency-Key": crypto.randomUUID() };
  const { data } = await createTask({ client: client(options), body: { title }, headers, throwOnError: true });
  return data;
}
