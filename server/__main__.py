"""`python -m server` is the command `voicecore`."""

from server.cli import main

if __name__ == "__main__":
    main()
