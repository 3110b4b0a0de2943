"""Makes `python -m whycam` the same as `whycam`."""

from whycam.cli import main

if __name__ == "__main__":
    main()
