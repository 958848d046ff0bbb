"""Output of all verbs: tables, JSON, CSV, Markdown, curves in the terminal, live display."""
