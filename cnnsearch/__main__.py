"""`python -m cnnsearch`."""

from cnnsearch.cli import main

if __name__ == "__main__":
    main()
