"""The server measured against a floor and a naive application; see README.md in this folder."""
