"""What a command was given, by files, environment variables and flags, and the one configuration that comes of it.

Needs no torch: ``fit`` and ``compare`` read their configurations here, by the same rules.
"""
