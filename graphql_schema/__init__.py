"""The GraphQL door: one module per feature, over the same services as REST."""
