"""The differential suite: the same random calls through REST on one database and through GraphQL on a twin of it."""
