// Scalar over this server's own OpenAPI document: nothing of it asks another host.
"use strict";

(() => {
  const { session } = Tandem;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const CLIENTS = ["shell/curl", "python/requests", "js/fetch"];
  const HIDDEN = {
    shell: ["httpie", "wget"],
    python: ["python3", "aiohttp", "httpx_sync", "httpx_async"],
    js: ["axios", "jquery", "ofetch", "xhr"],
  };
  const OTHERS = "c clojure csharp dart fsharp go http java julia kotlin node objc ocaml php powershell r ruby rust swift";

  // Who is signed in on the playground is so here, unless a request brings credentials of its own.
  async function signedIn(input, init) {
    const request = new Request(input, init);
    const credentials = [request.headers.get("Authorization"), request.headers.get("X-API-Key")];
    // Scalar sends its scheme alone where nobody has typed a token
    const brought = credentials.some((value) => value && value.trim().toLowerCase() !== "bearer");
    const token = brought ? null : await session.bearer();
    if (token) request.headers.set("Authorization", `Bearer ${token}`);
    return fetch(request);
  }

  const configuration = () => ({
    url: new URL("openapi.json", document.baseURI).href,
    baseServerURL: new URL(".", document.baseURI).href,
    customFetch: signedIn,
    authentication: { preferredSecurityScheme: "BearerAuth" },
    defaultHttpClient: { targetKey: "shell", clientKey: "curl" },
    featuredClients: CLIENTS,
    hiddenClients: { ...HIDDEN, ...Object.fromEntries(OTHERS.split(" ").map((target) => [target, true])) },
    forceDarkModeState: dark.matches ? "dark" : "light",
    hideDarkModeToggle: true,
    hideClientButton: true,
    showDeveloperTools: "never",
    withDefaultFonts: false,
    telemetry: false,
    proxyUrl: "",
    agent: { disabled: true },
    mcp: { disabled: true },
  });

  const reference = Scalar.createApiReference("#reference", configuration());
  dark.addEventListener("change", () => reference.updateConfiguration(configuration()));
})();
