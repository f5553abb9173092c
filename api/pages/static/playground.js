// GraphiQL over this server, with examples, what an answer took, and the events of a subscription.
"use strict";

(() => {
  const { createElement: h, useEffect, useState, useSyncExternalStore } = React;
  const { useEditorContext, useExecutionContext, usePluginContext } = GraphiQL.React;
  const { requests, session } = Tandem;
  const examples = JSON.parse(document.getElementById("examples").textContent);
  const narrow = matchMedia("(max-width: 900px)");

  // ------------------------------------------------------------------ examples

  function Examples() {
    const editors = useEditorContext({ nonNull: true, caller: Examples });
    const panels = usePluginContext({ nonNull: true, caller: Examples });

    function open(example) {
      const tab = editors.tabs.findIndex(({ query }) => query === example.query);
      if (tab >= 0) {
        editors.changeTab(tab);
      } else {
        ReactDOM.flushSync(editors.addTab);
        editors.queryEditor.setValue(example.query);
        editors.variableEditor.setValue(example.variables);
      }
      if (narrow.matches) panels.setVisiblePlugin(null);
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

  // ------------------------------------------------------------------ below the answer

  const useUsername = () => useSyncExternalStore(session.onChange, () => session.username);
  const opens = (id, text, className = "button quiet") => h("button", { type: "button", className, "data-opens": id }, text);

  const number = new Intl.NumberFormat("en");
  const inTime = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);
  const inSize = (bytes) => {
    if (bytes < 1000) return `${bytes} B`;
    return bytes < 1e6 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
  };
  const inClock = (date) => date.toLocaleTimeString("en-GB") + "." + String(date.getMilliseconds()).padStart(3, "0");

  /** What stands below the answer of the open tab: what it took, or the events; before there is one, what to do. */
  function Outcome() {
    const editors = useEditorContext({ nonNull: true, caller: Outcome });
    const { isFetching } = useExecutionContext({ nonNull: true, caller: Outcome });
    const username = useUsername();
    useSyncExternalStore(requests.onChange, requests.changes);
    const tab = editors.tabs[editors.activeTabIndex];
    requests.choose(tab.id);
    const run = requests.of(tab.id);

    if (run?.events) return h(Events, { run, username });
    if (run?.status) return h(Took, { run, username });
    return isFetching || tab.response ? null : h(Empty, { username });
  }

  function Empty({ username }) {
    const hint = [
      h("p", { key: "hint" }, "Most operations need an account:"),
      h("p", { key: "ways", className: "ways" }, opens("sign-in", "Sign in", "button"), opens("register", "Register")),
    ];
    return h(
      "div",
      { className: "empty" },
      h("p", null, "The answer appears here: press the button with the triangle, or Ctrl-Enter."),
      username ? h("p", null, "Other tabs and the list of examples have more to try.") : hint,
    );
  }

  function Took({ run, username }) {
    const { status, ok, ms, bytes, cost } = run;
    const facts = [
      ["Status", status, ok && status !== 294 ? "good" : "bad"],
      ["Time", inTime(ms)],
      ["Size", inSize(bytes)],
      cost && ["Price", `${number.format(cost.points)} points`],
    ];
    return h(
      "div",
      { className: "took" },
      h("dl", null, facts.filter(Boolean).map(([name, value, className]) =>
        h("div", { key: name }, h("dt", null, name), h("dd", { className }, value)))),
      status === 401 && !username && opens("sign-in", "Sign in"),
    );
  }

  const SAID = {
    connected: "Connected",
    lost: "Connection lost",
    refused: "Refused",
    complete: "Complete",
    stopped: "Stopped",
  };

  function Events({ run, username }) {
    const count = run.events.filter(({ kind }) => kind === "event").length;
    const told = ({ kind, text, result }) =>
      result ? JSON.stringify(result.data ?? result.errors) : `${SAID[kind]} ${text}`;
    const line = (event) => [
      h("time", { key: "at", dateTime: event.at.toISOString() }, inClock(event.at)),
      h("span", { key: "what" }, told(event)),
    ];
    const whole = (event) => [
      h("summary", { key: "line" }, line(event)),
      h("pre", { key: "whole", tabIndex: 0 }, JSON.stringify(event.result, null, 2)),
    ];
    const item = (event) =>
      h("li", { key: event.number, className: event.kind },
        event.result ? h("details", null, whole(event)) : line(event));
    return h(
      "section",
      { className: "events", "aria-label": "Events" },
      h("div", { className: "state" },
        h("p", null,
          h("strong", null, run.open ? "Listening" : "Not listening"), `, ${count} ${count === 1 ? "event" : "events"}`,
          run.cost && `, ${number.format(run.cost.points)} points`),
        run.open && username && h(Trigger)),
      h("ol", { tabIndex: 0, "aria-label": "Events, newest first" }, run.events.map(item)),
    );
  }

  // So that there is something to see: the example that creates a task, while the subscription goes on.
  function Trigger() {
    const [failed, setFailed] = useState("");
    const example = examples.find(({ query }) => query.includes("createTask("));
    async function create() {
      const answer = await requests.run(example.query, JSON.parse(example.variables));
      setFailed(answer.errors?.[0].message ?? "");
    }
    const button = h("button", { type: "button", className: "button quiet", onClick: create }, "Create a task");
    return h(React.Fragment, null, button, failed);
  }

  // ------------------------------------------------------------------ the page

  // What GraphiQL leaves out: names of the editors' text areas, long lines on a phone, the open tab in sight and named.
  function Mended() {
    const { queryEditor, variableEditor, headerEditor, responseEditor, tabs, activeTabIndex } = useEditorContext({
      nonNull: true,
      caller: Mended,
    });
    useEffect(() => {
      const editors = { Operation: queryEditor, Variables: variableEditor, Headers: headerEditor, Answer: responseEditor };
      for (const [name, editor] of Object.entries(editors)) editor?.getInputField().setAttribute("aria-label", name);
    }, [queryEditor, variableEditor, headerEditor, responseEditor]);
    useEffect(() => {
      const wrap = () => queryEditor?.setOption("lineWrapping", narrow.matches);
      wrap();
      narrow.addEventListener("change", wrap);
      return () => narrow.removeEventListener("change", wrap);
    }, [queryEditor]);
    useEffect(() => {
      document.querySelector(".graphiql-tab-active")?.scrollIntoView({ block: "nearest", inline: "center" });
      // GraphiQL calls the items tabs, and a tab may not hold buttons: a group of buttons is what they are.
      document.querySelector(".graphiql-tabs").setAttribute("role", "group");
      for (const item of document.querySelectorAll(".graphiql-tab")) {
        item.setAttribute("role", "none");
        item.removeAttribute("aria-selected");
        item.querySelector(".graphiql-tab-button").setAttribute("aria-current", item.matches(".graphiql-tab-active"));
      }
    }, [tabs, activeTabIndex]);
    return null;
  }

  const root = ReactDOM.createRoot(document.getElementById("graphiql"));
  const properties = {
    fetcher: requests.fetcher,
    defaultTabs: examples.map(({ query, variables }) => ({ query, variables: variables || null })),
    plugins: [{ title: "Examples", icon: ExamplesIcon, content: Examples }, GraphiQLPluginExplorer.explorerPlugin()],
    defaultEditorToolsVisibility: narrow.matches ? false : "variables",
    inputValueDeprecation: true,
  };
  root.render(h(GraphiQL, properties, h(GraphiQL.Footer, null, h(Outcome), h(Mended))));
})();
