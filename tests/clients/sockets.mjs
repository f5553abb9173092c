import { createClient } from "graphql-ws";

export function socket({ server, token, connected, webSocketImpl }) {
  let sent, refused;
  return createClient({
    url: `${server.replace(/^http/, "ws")}/graphql`,
    connectionParams: async () => {
      sent = await token({ refused });
      return { Authorization: `Bearer ${sent}` };
    },
    on: {
      connected, // read what you show once more: what happened meanwhile is not told
      closed: ({ code }) => {
        if (code === 4403) refused = sent;
      },
    },
    retryAttempts: Infinity,
    webSocketImpl,
  });
}
