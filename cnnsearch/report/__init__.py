"""A page that shows studies in a browser: one file, without any network.

Python writes what can be read without figures, escaped in one place (`markup`); the scripts
beside it draw the figures from plain data and make the table of trials sortable.
"""
