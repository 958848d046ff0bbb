"""A study seen while it runs: full-screen on a terminal, line by line in a pipe.

It reads the storage and nothing else, so it may run on another machine, or after the search.
"""
