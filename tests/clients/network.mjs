// Relay's network, as docs/clients.md has it: the errors of a mutation reach onError.
export function network({ Network, url, fetch }) {
  return Network.create(async (params, variables) => {
    const response = await fetch(url, {
      method: "POST",
      headers: {
        Accept: "application/graphql-response+json, application/json;q=0.9",
        "Content-Type": "application/json",
      },
      body: JSON.stringify({ query: params.text, variables }),
    });
    const answer = await response.json();
    if (answer.errors && params.operationKind === "mutation") {
      throw Object.assign(new Error(answer.errors[0].message), { errors: answer.errors });
    }
    return answer;
  });
}
