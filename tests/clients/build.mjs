// Generates what the clients take of our documents, and bundles run.ts for Node.js.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { build } from "esbuild";

const OPENAPI = "../../openapi.json";
const INPUTS = [OPENAPI, "../../schema.graphql", "package-lock.json", "relay.config.json", "relay.js", "build.mjs"];
const KEY = "generated/key.txt";
const bin = (name, ...args) => execFileSync(`node_modules/.bin/${name}`, args, { stdio: ["ignore", "ignore", "inherit"] });

const key = INPUTS.reduce((hash, path) => hash.update(readFileSync(path)), createHash("sha256")).digest("hex");
if (!existsSync(KEY) || readFileSync(KEY, "utf8") !== key) {
  rmSync("generated", { recursive: true, force: true });
  mkdirSync("generated/relay", { recursive: true });
  bin("openapi-typescript", OPENAPI, "-o", "generated/openapi.d.ts");
  bin("openapi-ts", "-i", OPENAPI, "-o", "generated/hey-api", "-c", "@hey-api/client-fetch", "--silent");
  bin("relay-compiler", "relay.config.json");
  writeFileSync(KEY, key);
}

// What Relay's plugin for Babel or SWC does to a tagged document, a line does here.
const TAGGED = /graphql`\s*(?:query|mutation)\s+(\w+)[^`]*`/g;
const documents = {
  name: "relay",
  setup: ({ onLoad }) =>
    onLoad({ filter: /\/relay\.js$/ }, async ({ path }) => {
      const text = await readFile(path, "utf8");
      const names = [...text.matchAll(TAGGED)].map((match) => match[1]);
      const imports = names.map((name) => `import ${name} from "./generated/relay/${name}.graphql.js";`);
      return { contents: [...imports, text.replace(TAGGED, "$1")].join("\n") };
    }),
};

await build({
  entryPoints: ["run.ts"],
  outfile: "generated/run.mjs",
  bundle: true,
  format: "esm",
  platform: "node",
  packages: "external",
  plugins: [documents],
});
