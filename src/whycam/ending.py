"""How a command ends, whatever happened: one line and an exit code, never a traceback for a user's mistake."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import NoReturn

from typer.exceptions import TyperException

from whycam.errors import GateError, StoppedError, WhyCAMError, printable

_INTERRUPTED = 130  # what typer makes of Ctrl-C
_OWN_FAULT = 70  # sysexits.h: an internal software error
_STOPPED = "stopped."
DEBUG = "WHYCAM_DEBUG"
"""Environment variable: where it is set, a fault of WhyCAM itself ends in Python's traceback."""


def end(command: Callable[[], object]) -> NoReturn:
    """Run the command and leave the process.

    Exit codes: 0 done, 1 a gate that did not pass, 2 a mistake that a user can mend, 70 a fault of WhyCAM itself, 130
    stopped by Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        # A file name may hold letters that the terminal's encoding lacks; the result must be printed all the same.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = command()
    except GateError as error:
        _fail(str(error), code=1)
    except StoppedError as error:
        _fail(str(error), code=_INTERRUPTED)
    except WhyCAMError as error:
        _fail(str(error))
    except TyperException as error:
        text = error.format_message()
        # Without any argument the help has been printed already, and the message is empty.
        _fail(f"{text} See `whycam --help`.") if text else sys.exit(2)
    except BrokenPipeError:
        # Whoever read our output has had enough; Python must not complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except OSError as error:
        if os.environ.get(DEBUG):
            raise
        where = printable(error.filename) if isinstance(error.filename, str) else "A file"
        _fail(f"{where}: {error.strerror or error}. Check space, permissions and the path.")
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        _fail(_own_fault(error), code=_OWN_FAULT)
    if code == _INTERRUPTED:
        _fail(_STOPPED, code=_INTERRUPTED)
    raise SystemExit(code if isinstance(code, int) else 0)


def print_json(value: dict[str, object]) -> None:
    """One JSON object on standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")


def _own_fault(error: Exception) -> str:
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    place = "" if last is None else f" at {last.tb_frame.f_globals.get('__name__', '?')}:{last.tb_lineno}"
    message = " ".join(str(error).split())
    return printable(
        f"This is a fault of WhyCAM, not of yours: {type(error).__name__}{place}: {message} "
        f"Please report it, with what {DEBUG}=1 before the same command prints."
    )


def _fail(text: str, *, code: int = 2) -> NoReturn:
    for line in text.splitlines():
        sys.stderr.write(f"whycam: {line}\n")
    if "--json" in sys.argv[1:]:
        print_json({"error": text})
    if code == _INTERRUPTED:
        # An interrupt inside code that was compiled from text, as dataclasses and imports do, is remembered by Python,
        # which then dies by the signal whatever the exit code is, unless other such code has run since.
        exec("")
    raise SystemExit(code)
