// Who is signed in, for all pages of this server and all tabs: tokens in localStorage, renewed before they run out.
"use strict";

window.Tandem = window.Tandem ?? {};

Tandem.session = (() => {
  const EARLY_MS = 15_000;
  const url = (path) => new URL(path, document.baseURI);
  const KEY = `tandem:session:${url(".").pathname}`; // two servers may stand below one host
  const ENDED = "Your session has ended: sign in again.";
  const listeners = new Set();
  let unstored = null; // where the browser keeps nothing
  let told = read()?.username ?? null;

  function read() {
    try {
      return JSON.parse(localStorage.getItem(KEY));
    } catch {
      return unstored;
    }
  }

  function write(next, note = "") {
    try {
      if (next) localStorage.setItem(KEY, JSON.stringify(next));
      else localStorage.removeItem(KEY);
    } catch {
      unstored = next;
    }
    tell(note);
  }

  function tell(note) {
    const username = read()?.username ?? null;
    if (username === told && !note) return;
    told = username;
    for (const listener of listeners) listener(username, note);
  }

  // Another tab signed in, out, or renewed.
  addEventListener("storage", ({ key }) => {
    if (key === KEY || key === null) tell("");
  });

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

  // RFC 9457 problem details, or an OAuth 2.0 error, as one Error: `fields` has what was said of each field.
  async function refusal(response) {
    const body = (await response.json().catch(() => null)) ?? {};
    const fields = {};
    for (const error of Array.isArray(body.errors) ? body.errors : []) {
      fields[(error.pointer ?? "").split("/").pop()] ??= error.detail ?? "";
    }
    const said = [body.detail, body.error_description, body.title].find((text) => typeof text === "string" && text);
    return Object.assign(new Error(said || `The server answered ${response.status}.`), { fields });
  }

  async function signIn({ username, password }) {
    const response = await post("token", new URLSearchParams({ grant_type: "password", username, password }));
    if (!response.ok) throw await refusal(response);
    const next = tokens(await response.json());
    write({ ...next, username: (await nameOf(next.accessToken)) ?? username });
  }

  // Who signs in by an e-mail address is shown under the username.
  async function nameOf(token) {
    try {
      const response = await fetch(url("api/v1/users/me"), { headers: { Authorization: `Bearer ${token}` } });
      return (await response.json()).username;
    } catch {
      return null;
    }
  }

  async function register(account) {
    const response = await post("api/v1/users", account);
    if (!response.ok) throw await refusal(response);
    await response.text(); // one that nobody may keep is given up by the browser where nobody reads it
    await signIn(account);
  }

  function signOut() {
    const token = read()?.refreshToken;
    write(null);
    if (token) post("token/revoke", { refresh_token: token }).catch(() => {});
  }

  // A refresh token works once, and a second use ends the session: one renewal at a time, in all tabs. Browsers have
  // locks for pages on HTTPS and localhost; elsewhere they hold within a tab alone.
  let queue = Promise.resolve();
  function alone(action) {
    if (navigator.locks) return navigator.locks.request(KEY, action);
    const turn = queue.then(action);
    queue = turn.catch(() => {});
    return turn;
  }

  const isDue = (state, refused) => state.accessToken === refused || Date.now() > state.expiresAt - EARLY_MS;

  /** New tokens, unless another caller has got some meanwhile; ends the session where the server refuses them. */
  const renew = (refused) =>
    alone(async () => {
      const before = read();
      if (!before || !isDue(before, refused)) return;
      const response = before.refreshToken && (await post("token/refresh", { refresh_token: before.refreshToken }));
      if (response && !response.ok && (response.status >= 500 || response.status === 429)) throw await refusal(response);
      const next = response?.ok ? { ...before, ...tokens(await response.json()) } : null;
      if (read()?.refreshToken !== before.refreshToken) return; // signed out, or in anew, meanwhile
      if (next) write({ ...next, refreshToken: next.refreshToken ?? before.refreshToken });
      else write(null, ENDED);
    });

  /** The access token to send; null when nobody is signed in. It is renewed when it is about to run out, or when it is
   *  the one that the server has `refused`. */
  async function bearer(refused = null) {
    const state = read();
    if (state && isDue(state, refused)) await renew(refused);
    return read()?.accessToken ?? null;
  }

  /** fetch() as the person signed in; a token that the server refuses is renewed once. */
  async function fetchSignedIn(target, init = {}) {
    const as = (token) => ({ ...init, headers: { ...init.headers, Authorization: `Bearer ${token}` } });
    const send = (token) => fetch(target, token ? as(token) : init);
    const token = await bearer();
    const response = await send(token);
    if (!token || response.status !== 401) return response;
    return send(await bearer(token));
  }

  return {
    get username() {
      return read()?.username ?? null;
    },
    /** Calls `listener(username or null, note)` at each change. Answers a function that ends that. */
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    signIn,
    signOut,
    register,
    bearer,
    fetch: fetchSignedIn,
  };
})();
