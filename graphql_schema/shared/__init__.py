"""The vocabulary that every feature's GraphQL types and fields are written in."""
