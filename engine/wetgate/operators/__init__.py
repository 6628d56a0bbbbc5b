"""Operators: each a folder with its spec, implementation and tests."""
