import createClient from "openapi-fetch";
import type { paths } from "./generated/openapi";

type Options = { server: string; fetch: typeof fetch };

export const client = ({ server, fetch }: Options) => createClient<paths>({ baseUrl: server, fetch });

export async function openTasks(options: Options) {
  const { data, error, response } = await client(options).GET("/api/v1/tasks", {
    params: { query: { status: ["pending"], sort_by: "created_at", order: "asc", limit: 2 } },
  });
  if (error) throw new Error(`${error.code}: ${error.detail}`);
  return { tasks: data.map(({ id, title }) => ({ id, title })), next: response.headers.get("X-Next-Cursor") };
}

export async function createTask(options: Options, title: string) {
  const { data, error } = await client(options).POST("/api/v1/tasks", {
    body: { title },
    params: { header: { "Idempotency-Key": crypto.randomUUID() } },
  });
  if (error) throw new Error(`${error.code}: ${error.detail}`);
  return data;
}
