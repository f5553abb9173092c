import { ApolloClient, HttpLink, InMemoryCache } from "@apollo/client";
import { relayStylePagination } from "@apollo/client/utilities";

const tasks = relayStylePagination(["filter", "orderBy", "thenBy", "search", "trashed", "savedViewId"]);

export const client = ({ server, fetch }) =>
  new ApolloClient({
    link: new HttpLink({ uri: `${server}/graphql`, fetch }),
    cache: new InMemoryCache({ typePolicies: { Query: { fields: { tasks } }, Project: { fields: { tasks } } } }),
  });
