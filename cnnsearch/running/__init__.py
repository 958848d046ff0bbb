"""Searches from their beginning to their last word: what verbs and Python programs share."""
