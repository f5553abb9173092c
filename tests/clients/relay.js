import relay from "relay-runtime";
import { network } from "./network.mjs";

const { Environment, Network, RecordSource, Store, graphql } = relay;

export const client = ({ server, fetch }) =>
  new Environment({
    network: network({ Network, url: `${server}/graphql`, fetch }),
    store: new Store(new RecordSource()),
  });

export const BOARD = graphql`
  query relayBoardQuery {
    tasks(first: 2, orderBy: { field: CREATED_AT, direction: ASC }) {
      edges { node { id title } }
      pageInfo { endCursor hasNextPage }
    }
  }
`;

export const CREATE = graphql`
  mutation relayCreateMutation($input: CreateTaskInput!) { createTask(input: $input) { task { id title } } }
`;

export const RENAME = graphql`
  mutation relayRenameMutation($input: UpdateTaskInput!) { updateTask(input: $input) { task { id title } } }
`;
