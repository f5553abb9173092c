"""The record of every change, and whoever follows it."""
