// GraphiQL, sending requests as the person signed in unless the Headers pane says otherwise.
"use strict";

(() => {
  const { createElement: h } = React;
  const { session } = Tandem;
  const endpoint = new URL("graphql", document.baseURI);
  const socket = new URL(endpoint);
  socket.protocol = endpoint.protocol.replace("http", "ws");
  const examples = JSON.parse(document.getElementById("examples").textContent);

  // ------------------------------------------------------------------ requests

  const CREDENTIALS = ["authorization", "x-api-key"];
  const bringsCredentials = (headers) => Object.keys(headers).some((name) => CREDENTIALS.includes(name.toLowerCase()));

  function fetcher(params, options) {
    const headers = options?.headers ?? {};
    const operations = operationsOf(params.query);
    // Right after a change of tabs, GraphiQL still names the operation of the tab before.
    if (operations.length === 1) params = { ...params, operationName: operations[0].name?.value };
    const operation = operations.find(({ name }) => name?.value === params.operationName);
    return operation?.operation === "subscription" ? subscribe(params, headers) : request(params, headers);
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

  async function request(params, headers) {
    const send = bringsCredentials(headers) ? fetch : session.fetch;
    let response;
    try {
      response = await post(send, params, headers);
    } catch (error) {
      return { errors: [unreachable(error)] };
    }
    const text = await response.text();
    try {
      return JSON.parse(text);
    } catch {
      const answered = `The server answered ${response.status} ${response.statusText}`.trim();
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

  // graphql-transport-ws: one socket per subscription, so that each carries its own credentials.
  function subscribe(params, headers) {
    return {
      subscribe(observer) {
        let client = null;
        let stopped = false;
        (async () => {
          const connectionParams = await credentials(headers);
          if (stopped) return;
          client = graphqlWs.createClient({ url: socket.href, connectionParams, retryAttempts: 0 });
          client.subscribe(params, {
            next: (result) => observer.next(result),
            error: (error) => observer.error(explained(error)),
            complete: () => observer.complete(),
          });
        })().catch((error) => observer.error(unreachable(error)));
        return {
          unsubscribe() {
            stopped = true;
            client?.dispose();
          },
        };
      },
    };
  }

  async function credentials(headers) {
    if (!bringsCredentials(headers)) {
      const token = await session.bearer();
      return token ? { ...headers, Authorization: `Bearer ${token}` } : headers;
    }
    const canonical = (name) => (name.toLowerCase() === "authorization" ? "Authorization" : name);
    return Object.fromEntries(Object.entries(headers).map(([name, value]) => [canonical(name), value]));
  }

  function explained(error) {
    if (Array.isArray(error)) return error;
    if (typeof error?.code !== "number") return failure("The server cannot be reached.");
    return failure(`The server closed the connection: ${error.code} ${error.reason || "no reason given"}`);
  }

  // ------------------------------------------------------------------ examples

  function Examples() {
    const editors = GraphiQL.React.useEditorContext({ nonNull: true, caller: Examples });

    function open(example) {
      const tab = editors.tabs.findIndex(({ query }) => query === example.query);
      if (tab >= 0) {
        editors.changeTab(tab);
        return;
      }
      ReactDOM.flushSync(editors.addTab);
      editors.queryEditor.setValue(example.query);
      editors.variableEditor.setValue(example.variables);
    }

    const item = (example) =>
      h("li", { key: example.title }, h("button", { type: "button", onClick: () => open(example) }, example.title));
    return h(
      "section",
      { className: "examples", "aria-label": "Examples" },
      h("div", { className: "graphiql-doc-explorer-title" }, "Examples"),
      h("ul", null, examples.map(item)),
    );
  }

  function ExamplesIcon() {
    const path = "M4 4h16M4 9h10M4 14h16M4 19h10";
    return h("svg", { viewBox: "0 0 24 24", fill: "none", stroke: "currentColor", strokeWidth: 1.6 }, h("path", { d: path }));
  }

  // ------------------------------------------------------------------ the page

  const plugins = [
    { title: "Examples", icon: ExamplesIcon, content: Examples },
    GraphiQLPluginExplorer.explorerPlugin(),
  ];
  const defaultTabs = examples.map(({ query, variables }) => ({ query, variables: variables || null }));
  const root = ReactDOM.createRoot(document.getElementById("graphiql"));
  const defaultEditorToolsVisibility = "variables";
  root.render(h(GraphiQL, { fetcher, defaultTabs, plugins, defaultEditorToolsVisibility, inputValueDeprecation: true }));
})();
