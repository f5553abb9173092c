"""Which version of Tandem this is."""

VERSION = "1.0.0"
