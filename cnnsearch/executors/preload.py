"""What is imported once for all forked processes, see `processes`."""

from contextlib import suppress

# Whatever is wrong, each process meets it again, where it is told.
with suppress(BaseException):
    import cnnsearch.runner  # noqa: F401
