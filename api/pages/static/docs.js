// Swagger UI over this server's own OpenAPI document.
"use strict";

(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
  dark.addEventListener("change", follow);
  follow();

  // Who is signed in is so here, too, unless a request brings credentials of its own (Authorize).
  async function signedIn(request) {
    const given = Object.keys(request.headers).map((name) => name.toLowerCase());
    const brings = given.includes("authorization") || given.includes("x-api-key");
    const token = brings || new URL(request.url, location).origin !== location.origin ? null : await Tandem.session.bearer();
    if (token) request.headers.Authorization = `Bearer ${token}`;
    return request;
  }

  window.ui = SwaggerUIBundle({
    url: new URL("openapi.json", document.baseURI).href,
    dom_id: "#swagger-ui",
    layout: "BaseLayout",
    presets: [SwaggerUIBundle.presets.apis],
    deepLinking: true,
    displayRequestDuration: true,
    filter: true,
    persistAuthorization: true,
    requestInterceptor: signedIn,
    validatorUrl: null,
  });
})();
