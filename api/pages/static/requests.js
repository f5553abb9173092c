// The playground's requests, sent as the person signed in unless the Headers pane says otherwise, and what came of them.
"use strict";

Tandem.requests = (() => {
  const { session } = Tandem;
  const MOST_EVENTS = 200;
  const endpoint = new URL("graphql", document.baseURI);
  const socket = new URL(endpoint);
  socket.protocol = endpoint.protocol.replace("http", "ws");

  // ------------------------------------------------------------------ what came of the last run of each tab

  // {status, ok, ms, bytes, cost} of an answer; {events, open, cost} of a subscription, its newest event first.
  const runs = new Map();
  const listeners = new Set();
  let tab = null;
  let changes = 0;

  function note(run, what) {
    Object.assign(run, what);
    changes += 1;
    for (const listener of listeners) listener();
  }

  function begin() {
    const run = {};
    runs.set(tab, run);
    note(run, {});
    return run;
  }

  function log(run, kind, text = "", result = null) {
    const event = { kind, text, result, at: new Date(), number: (run.events[0]?.number ?? 0) + 1 };
    note(run, { events: [event, ...run.events].slice(0, MOST_EVENTS) });
  }

  // The price stands beside the answer, which is shown as one that did not ask for it.
  function priced(run, result) {
    const { cost, ...extensions } = result.extensions ?? {};
    if (!cost) return result;
    note(run, { cost });
    const { extensions: _, ...shown } = result;
    return Object.keys(extensions).length ? { ...shown, extensions } : shown;
  }

  const asking = (params) => ({ ...params, extensions: { ...params.extensions, cost: true } });

  // ------------------------------------------------------------------ operations

  const CREDENTIALS = ["authorization", "x-api-key"];
  const bringsCredentials = (headers) => Object.keys(headers).some((name) => CREDENTIALS.includes(name.toLowerCase()));

  /** What GraphiQL calls for its own introspection, and (with `documentAST`) for what somebody runs. */
  function fetcher(params, options = {}) {
    const headers = options.headers ?? {};
    if (!("documentAST" in options)) return request(null, params, headers);
    const operations = operationsOf(params.query);
    // Right after a change of tabs, GraphiQL still names the operation of the tab before.
    if (operations.length === 1) params = { ...params, operationName: operations[0].name?.value };
    const operation = operations.find(({ name }) => name?.value === params.operationName);
    return operation?.operation === "subscription" ? subscribe(begin(), params, headers) : request(begin(), params, headers);
  }

  function operationsOf(query) {
    try {
      return GraphiQL.GraphQL.parse(query).definitions.filter(({ kind }) => kind === "OperationDefinition");
    } catch {
      return []; // the server says what is wrong with it
    }
  }

  // Plain objects, for GraphiQL would show the stack of an Error.
  const failure = (message) => ({ message });
  const unreachable = (error) => failure(error instanceof TypeError ? "The server cannot be reached." : error.message);

  /** The answer to an operation; what it took is noted in `run`, unless that is null. */
  async function request(run, params, headers) {
    const send = bringsCredentials(headers) ? fetch : session.fetch;
    const began = performance.now();
    let response, text;
    try {
      response = await post(send, run ? asking(params) : params, headers);
      text = await response.text();
    } catch (error) {
      return { errors: [unreachable(error)] };
    }
    const { status, ok } = response;
    const bytes = new TextEncoder().encode(text).length;
    if (run) note(run, { status, ok, ms: performance.now() - began, bytes });
    try {
      const result = JSON.parse(text);
      return run ? priced(run, result) : result;
    } catch {
      const answered = `The server answered ${status} ${response.statusText}`.trim();
      return { errors: [failure(`${answered}: ${text.slice(0, 300)}`)] };
    }
  }

  function post(send, params, headers) {
    return send(endpoint, {
      method: "POST",
      headers: {
        Accept: "application/graphql-response+json, application/json;q=0.9",
        "Content-Type": "application/json",
        ...headers,
      },
      body: JSON.stringify(params),
    });
  }

  // ------------------------------------------------------------------ subscriptions

  // graphql-transport-ws: one socket per subscription, so that each carries its own credentials. A socket that is lost
  // is opened again, with a new token where the server has refused the one before.
  function subscribe(run, params, headers) {
    return {
      subscribe(observer) {
        const own = bringsCredentials(headers);
        let token = null;
        let refused = null;
        note(run, { events: [], open: true });

        async function connectionParams() {
          if (own) return canonical(headers);
          token = await session.bearer(refused);
          return token ? { ...headers, Authorization: `Bearer ${token}` } : headers;
        }

        const client = graphqlWs.createClient({
          url: socket.href,
          connectionParams,
          retryAttempts: 8,
          // A server that cannot be reached is an error's event, without a code.
          shouldRetry: (error) => error instanceof Event && !(error.code === 4403 && (own || !session.username)),
          on: {
            connected: () => log(run, "connected"),
            closed: (event) => {
              if (event.code === 4403) refused = token;
              if (event.code !== 1000) log(run, "lost", `${event.code} ${event.reason}`.trim());
            },
          },
        });
        const ended = (kind) => {
          if (run.open) log(run, kind);
          note(run, { open: false });
        };
        const stop = client.subscribe(asking(params), {
          next(result) {
            const shown = priced(run, result);
            log(run, "event", "", shown);
            observer.next(shown);
          },
          error(error) {
            ended("refused");
            observer.error(explained(error));
          },
          complete() {
            ended("complete");
            observer.complete();
          },
        });
        return {
          unsubscribe() {
            ended("stopped");
            stop();
            client.dispose();
          },
        };
      },
    };
  }

  const canonical = (headers) =>
    Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name.toLowerCase() === "authorization" ? "Authorization" : name, value]),
    );

  function explained(error) {
    if (Array.isArray(error)) return error;
    if (typeof error?.code !== "number") return failure("The server cannot be reached.");
    if (error.code === 4401) return failure("Sign in first: subscriptions need an account.");
    if (error.code === 1006) return failure("The connection to the server was lost.");
    return failure(`The server closed the connection: ${error.code} ${error.reason || "no reason given"}`);
  }

  return {
    fetcher,
    /** The operation `query` for a tab of none, as the person signed in. */
    run: (query, variables) => request(null, { query, variables }, {}),
    /** Which tab the next run is of. */
    choose: (id) => (tab = id),
    of: (id) => runs.get(id),
    /** A number that differs after each change. */
    changes: () => changes,
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
})();
