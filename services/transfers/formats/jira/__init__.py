"""Jira's issues as files, one JSON document each, the shape of its REST API."""
