"""One verb a file: options, help with an example, a short body; heavy imports inside it."""
