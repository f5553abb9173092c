"""Pairs of calls at the same time: every write, and every change of what it rests on."""
