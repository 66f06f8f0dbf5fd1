"""Seeded worlds that try to make the bridge wrong. ``python -m tests.torture --help``."""
