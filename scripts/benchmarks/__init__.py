"""What the README claims in numbers, measured side by side: `scripts/bench`."""
