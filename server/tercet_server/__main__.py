"""`python -m tercet_server` is the command `tercet`."""

from tercet_server.cli import main

if __name__ == "__main__":
    main()
