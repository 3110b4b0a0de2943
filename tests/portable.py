"""Runs the numeric tests as other processors would compute them: `make check-portable`.

Libraries choose their kernels by what the processor can do, and each set of kernels rounds in its own way. A test that
passes here only by the rounding of this machine fails for a stranger; so do verdicts that hang on the last digit.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

NUMERIC = ("audits", "evaluation", "explain", "networks", "training")
"""Folders of tests whose assertions are about numbers."""
_EVERY = tuple(__cpu_dispatch__)
_BEYOND_AVX2 = tuple(name for name in _EVERY if "512" in name or name.endswith("V4"))


def settings() -> Iterator[tuple[str, dict[str, str]]]:
    """A name, and the environment in which the libraries compute as on such a processor; those that this one can be."""
    has_avx2, has_avx512 = bool(__cpu_features__.get("AVX2")), bool(__cpu_features__.get("AVX512F"))
    yield "as it is, two threads", {"OMP_NUM_THREADS": "2"}
    yield (
        "the oldest instructions",
        {
            "OMP_NUM_THREADS": "1",
            "ATEN_CPU_CAPABILITY": "default",
            "ONEDNN_MAX_CPU_ISA": "SSE41",
            "MKL_CBWR": "COMPATIBLE",
            "OPENBLAS_CORETYPE": "Prescott",
            "NPY_DISABLE_CPU_FEATURES": " ".join(_EVERY),
        },
    )
    if has_avx2:
        avx2 = {
            "ATEN_CPU_CAPABILITY": "avx2",
            "ONEDNN_MAX_CPU_ISA": "AVX2",
            "MKL_CBWR": "AVX2",
            "NPY_DISABLE_CPU_FEATURES": " ".join(_BEYOND_AVX2),
        }
        yield "AVX2, Haswell, two threads", {**avx2, "OPENBLAS_CORETYPE": "Haswell", "OMP_NUM_THREADS": "2"}
        yield "AVX2, Zen", {**avx2, "OPENBLAS_CORETYPE": "Zen", "OMP_NUM_THREADS": "1"}
    if has_avx512:
        yield "AVX-512, Skylake-X", {"OPENBLAS_CORETYPE": "SkylakeX", "OMP_NUM_THREADS": "1"}


def main(arguments: list[str]) -> int:
    """Run pytest once for each setting; `arguments` go to it, instead of the folders of numeric tests."""
    what = arguments or [f"tests/{folder}" for folder in NUMERIC]
    failed = []
    for name, environment in settings():
        print(f"{name}: {' '.join(f'{key}={value!r}' for key, value in environment.items())}", flush=True)
        began = time.monotonic()
        # As many processes as leave each thread a core of two.
        processes = "1" if environment["OMP_NUM_THREADS"] == "2" else "2"
        command = [sys.executable, "-m", "pytest", "-n", processes, "--dist", "worksteal", "-p", "no:cacheprovider"]
        command += ["--deselect", "tests/training/test_resume.py", *what]
        done = subprocess.run(command, check=False, env={**os.environ, **environment})
        print(
            f"{name}: {'passed' if done.returncode == 0 else 'FAILED'} ({time.monotonic() - began:.0f} s)\n", flush=True
        )
        if done.returncode:
            failed.append(name)
    print(f"Failed: {', '.join(failed)}." if failed else "The same on every processor tried.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
