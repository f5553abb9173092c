// A login that renews itself, and a fetch that uses it: every client below takes a fetch.
const RETRIED = new Set([429, 503]);
const SAFE = new Set(["GET", "HEAD", "QUERY"]);
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

export function session(server, { username, password }, send = fetch) {
  let tokens = null;
  let renewal = null;

  async function ask(path, init) {
    const response = await send(`${server}/api/v1${path}`, { method: "POST", ...init });
    const answer = await response.json();
    if (!response.ok) throw Object.assign(new Error(answer.detail), { status: response.status, problem: answer });
    return { ...answer, until: Date.now() + 900 * answer.expires_in };
  }

  const logIn = () => ask("/token", { body: new URLSearchParams({ username, password }) });
  const refresh = ({ refresh_token }) =>
    ask("/token/refresh", { headers: { "Content-Type": "application/json" }, body: JSON.stringify({ refresh_token }) });

  async function renewed() {
    try {
      tokens = tokens ? await refresh(tokens) : await logIn();
    } catch (error) {
      if (error.status !== 401 || !tokens) throw error;
      tokens = await logIn(); // the session has ended
    }
    return tokens.access_token;
  }

  // One renewal at a time: a refresh token works once, and a second use ends the session.
  async function token({ refused } = {}) {
    if (tokens && tokens.access_token !== refused && Date.now() < tokens.until) return tokens.access_token;
    renewal ??= renewed().finally(() => (renewal = null));
    return renewal;
  }

  async function signedFetch(input, init) {
    const request = new Request(input, init);
    const repeatable = SAFE.has(request.method) || request.headers.has("Idempotency-Key");
    for (let attempt = 1, bearer = await token(); ; attempt++) {
      const headers = new Headers(request.headers);
      headers.set("Authorization", `Bearer ${bearer}`);
      const response = await send(new Request(request.clone(), { headers }));
      if (response.status === 401 && attempt === 1) {
        bearer = await token({ refused: bearer });
      } else if (attempt < 4 && RETRIED.has(response.status) && (response.status === 429 || repeatable)) {
        await pause(Number(response.headers.get("Retry-After") ?? attempt));
      } else {
        return response;
      }
    }
  }

  return { token, fetch: signedFetch };
}
