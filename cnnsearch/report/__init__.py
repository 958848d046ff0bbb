"""A page that shows studies in a browser: one file, without any network.

Python writes what can be read without figures, escaped in one place (`markup`); `report.js` draws
the figures from plain data and makes the table of trials sortable.
"""
