"""Makes `python -m whycam` the same as `whycam`, with one line for Ctrl-C while Python is still importing."""

import sys


def main() -> None:
    """Import the command line and run it."""
    try:
        from whycam.cli import main as command
    except KeyboardInterrupt:
        sys.stderr.write("whycam: stopped.\n")
        if "--json" in sys.argv[1:]:
            sys.stdout.write('{"error": "stopped."}\n')
        exec("")  # as `whycam.ending` does
        raise SystemExit(130) from None
    command()


if __name__ == "__main__":
    main()
