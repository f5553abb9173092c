// Runs mutations that are refused through each client. Reads {url, headers, mutations} from stdin; writes, for each
// mutation and client, the codes of the errors that its error callback was given.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { Client, cacheExchange, fetchExchange } from "@urql/core";
import relay from "relay-runtime";
import { network } from "./network.mjs";

const { url, headers, mutations, query } = JSON.parse(readFileSync(0, "utf8"));
const codes = (errors) => errors.map((error) => error.extensions?.code ?? "none");

const apollo = new ApolloClient({ cache: new InMemoryCache(), link: new HttpLink({ uri: url, headers }) });
const urql = new Client({ url, fetchOptions: { headers }, exchanges: [cacheExchange, fetchExchange], preferGetMethod: false });
const { Environment, Network, RecordSource, Store, commitMutation } = relay;
const environment = (network) => new Environment({ network, store: new Store(new RecordSource()) });
const signed = (input, init) => fetch(input, { ...init, headers: { ...init.headers, ...headers } });
const throwing = environment(network({ Network, url, fetch: signed }));

async function byApollo({ text, variables }) {
  try {
    await apollo.mutate({ mutation: gql(text), variables });
  } catch (error) {
    return CombinedGraphQLErrors.is(error) ? codes(error.errors) : [`${error.name}: ${error.message}`];
  }
  return [];
}

async function byUrql({ text, variables }) {
  const { error } = await urql.mutation(text, variables).toPromise();
  return error ? (error.networkError ? [String(error.networkError)] : codes(error.graphQLErrors)) : [];
}

// what relay-compiler makes of such a document
function artifact({ field, payload, type, text }) {
  const argumentDefinitions = [{ defaultValue: null, kind: "LocalArgument", name: "input" }];
  const selections = [
    {
      alias: null,
      args: [{ kind: "Variable", name: "input", variableName: "input" }],
      concreteType: payload,
      kind: "LinkedField",
      name: field,
      plural: false,
      selections: [{ alias: null, args: null, kind: "ScalarField", name: "__typename", storageKey: null }],
      storageKey: null,
    },
  ];
  const common = { argumentDefinitions, name: "M", selections };
  return {
    fragment: { ...common, kind: "Fragment", metadata: null, type: "Mutation", abstractKey: null },
    kind: "Request",
    operation: { ...common, kind: "Operation" },
    params: { cacheID: field, id: null, metadata: {}, name: "M", operationKind: "mutation", text },
  };
}

const byRelay = (mutation) =>
  new Promise((resolve) =>
    commitMutation(throwing, {
      mutation: artifact(mutation),
      variables: mutation.variables,
      onCompleted: () => resolve([]),
      onError: (error) => resolve(error.errors ? codes(error.errors) : [String(error)]),
    }),
  );

const found = {};
for (const mutation of mutations) {
  found[mutation.name] = {
    apollo: await byApollo(mutation),
    urql: await byUrql(mutation),
    relay: await byRelay(mutation),
  };
}

// automatic persisted queries: the second client has never sent the text
let sent = 0;
const counting = new ApolloLink((operation, forward) => ((sent += 1), forward(operation)));
const persisted = () =>
  new ApolloClient({
    cache: new InMemoryCache(),
    link: ApolloLink.from([
      new PersistedQueryLink({ sha256: async (text) => createHash("sha256").update(text).digest("hex") }),
      counting,
      new HttpLink({ uri: url, headers }),
    ]),
  });
const requests = [];
for (const client of [persisted(), persisted()]) {
  sent = 0;
  const { data, error } = await client.query({ query: gql(query), fetchPolicy: "no-cache" });
  requests.push(error ? String(error) : data && sent);
}
console.log(JSON.stringify({ found, requests }));
process.exit(0);
