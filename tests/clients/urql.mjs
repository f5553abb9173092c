import { Client, fetchExchange } from "@urql/core";
import { cacheExchange } from "@urql/exchange-graphcache";
import { relayPagination } from "@urql/exchange-graphcache/extras";

const tasks = relayPagination();

export const client = ({ server, fetch }) =>
  new Client({
    url: `${server}/graphql`,
    fetch,
    preferGetMethod: false,
    exchanges: [cacheExchange({ resolvers: { Query: { tasks }, Project: { tasks } } }), fetchExchange],
  });
