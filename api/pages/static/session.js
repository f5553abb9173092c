// Who is signed in on this tab: tokens in sessionStorage, renewed before they run out.
"use strict";

window.Tandem = window.Tandem ?? {};

Tandem.session = (() => {
  const KEY = "tandem:session";
  const EARLY_MS = 15_000;
  const listeners = new Set();
  let state = stored();
  let renewal = null;

  const url = (path) => new URL(path, document.baseURI);

  function stored() {
    try {
      return JSON.parse(sessionStorage.getItem(KEY));
    } catch {
      return null;
    }
  }

  function set(next, note = "") {
    state = next;
    if (next) sessionStorage.setItem(KEY, JSON.stringify(next));
    else sessionStorage.removeItem(KEY);
    for (const listener of listeners) listener(next?.username ?? null, note);
  }

  function tokens(answer) {
    return {
      accessToken: answer.access_token,
      refreshToken: answer.refresh_token ?? null,
      expiresAt: Date.now() + (answer.expires_in ?? 900) * 1000,
    };
  }

  function post(path, body) {
    const json = !(body instanceof URLSearchParams);
    return fetch(url(path), {
      method: "POST",
      headers: { Accept: "application/json", ...(json && { "Content-Type": "application/json" }) },
      body: json ? JSON.stringify(body) : body,
    });
  }

  // RFC 9457 problem details, or an OAuth 2.0 error, as one message.
  async function refusal(response) {
    const body = (await response.json().catch(() => null)) ?? {};
    const fields = (Array.isArray(body.errors) ? body.errors : []).map((error) => {
      const field = (error.pointer ?? "").split("/").pop();
      const message = error.detail ?? error.message ?? "";
      return field ? `${field}: ${message}` : message;
    });
    const told = [body.detail, body.error_description, body.title].find((text) => typeof text === "string" && text);
    return new Error(fields.filter(Boolean).join("\n") || told || `The server answered ${response.status}.`);
  }

  async function signIn(username, password) {
    const response = await post("token", new URLSearchParams({ grant_type: "password", username, password }));
    if (!response.ok) throw await refusal(response);
    const next = tokens(await response.json());
    set({ ...next, username: (await nameOf(next.accessToken)) ?? username });
  }

  async function nameOf(token) {
    try {
      const response = await fetch(url("graphql"), {
        method: "POST",
        headers: { Accept: "application/json", "Content-Type": "application/json", Authorization: `Bearer ${token}` },
        body: JSON.stringify({ query: "query WhoAmI { me { username } }" }),
      });
      return (await response.json()).data.me.username;
    } catch {
      return null;
    }
  }

  async function register(account) {
    const response = await post("api/v1/users", account);
    if (!response.ok) throw await refusal(response);
    await response.text(); // one that nobody may keep is given up by the browser where nobody reads it
    await signIn(account.username, account.password);
  }

  function signOut() {
    const token = state?.refreshToken;
    set(null);
    if (token) post("token/revoke", { refresh_token: token }).catch(() => {});
  }

  // One renewal at a time: a refresh token works once, and a second use would end the session.
  function renew() {
    renewal ??= (async () => {
      const before = state;
      const response = before.refreshToken && (await post("token/refresh", { refresh_token: before.refreshToken }));
      if (response && !response.ok && (response.status >= 500 || response.status === 429)) throw await refusal(response);
      const next = response?.ok ? { ...before, ...tokens(await response.json()) } : null;
      if (state !== before) return; // signed out, or in anew, meanwhile
      if (next) set({ ...next, refreshToken: next.refreshToken ?? before.refreshToken });
      else set(null, "Your session has ended: sign in again.");
    })().finally(() => {
      renewal = null;
    });
    return renewal;
  }

  /** The access token to send, renewed when it is about to run out; null when nobody is signed in. */
  async function bearer() {
    if (state && Date.now() > state.expiresAt - EARLY_MS) await renew();
    return state?.accessToken ?? null;
  }

  /** fetch() as the person signed in; a token the server refuses is renewed once. */
  async function fetchSignedIn(target, init) {
    const send = (token) =>
      fetch(target, token ? { ...init, headers: { ...init.headers, Authorization: `Bearer ${token}` } } : init);
    const token = await bearer();
    const response = await send(token);
    if (!token || response.status !== 401) return response;
    if (state?.accessToken === token) await renew();
    return send(state?.accessToken ?? null);
  }

  return {
    get username() {
      return state?.username ?? null;
    },
    onChange: (listener) => listeners.add(listener),
    signIn,
    signOut,
    register,
    bearer,
    fetch: fetchSignedIn,
  };
})();
