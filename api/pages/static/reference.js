// ReDoc over this server's own OpenAPI document, in the colours of the system.
"use strict";

(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const style = getComputedStyle(document.documentElement);
  const sans = style.getPropertyValue("--sans");
  const mono = style.getPropertyValue("--mono");
  const text = dark ? "#e4ecec" : "#14201f";
  const accent = dark ? "#2dd4bf" : "#0f766e";
  const raised = dark ? "#172026" : "#f5f8f8";
  const line = dark ? "#2a363d" : "#dbe3e4";

  const theme = {
    colors: {
      primary: { main: accent },
      success: { main: dark ? "#4ade80" : "#15803d" },
      error: { main: dark ? "#f87171" : "#b91c1c" },
      text: { primary: text, secondary: dark ? "#9db0b5" : "#53636a" },
      border: { dark: line, light: line },
    },
    schema: { nestedBackground: raised, linesColor: accent, typeNameColor: text, typeTitleColor: text },
    typography: {
      fontFamily: sans,
      fontSize: "14px",
      headings: { fontFamily: sans, fontWeight: "650" },
      code: { fontFamily: mono, fontSize: "13px", color: dark ? "#fbbf24" : "#9a3412", backgroundColor: raised },
      links: { color: accent },
    },
    sidebar: { backgroundColor: raised, textColor: text },
    rightPanel: { backgroundColor: dark ? "#0a0f12" : "#172026" },
    codeBlock: { backgroundColor: dark ? "#172026" : "#0f1519" },
  };

  Redoc.init(
    new URL("openapi.json", document.baseURI).href,
    { theme, nativeScrollbars: true, scrollYOffset: "header.site", hideDownloadButton: false, jsonSampleExpandLevel: 3 },
    document.getElementById("redoc"),
  );
})();
