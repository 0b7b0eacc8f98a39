"""Builds what the Dockerfile says without a container engine, starts it, and looks at it.

`make image-check`. The steps are read from the Dockerfile and run as they stand, as root in an
overlay that is thrown away; nothing of the machine is changed. Linux only.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import dockerfile
from build import Build
from inspection import Inspection
from layer import Layer
from trial import Trial

ROOT = Path(__file__).resolve().parent.parent.parent


def main() -> int:
    if reason := _why_not():
        print(f"image-check: {reason}; the image was not checked", file=sys.stderr)
        return 3
    stages = dockerfile.parse((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="cv-image-") as folder:
        layers: dict[str, Layer] = {}
        for number, stage in enumerate(stages):
            print(f"image-check: stage {stage.name or number} on {stage.base}")
            layer = Layer(Path(folder) / str(number), _python())
            Build(ROOT, layer, layers).run(stage)
            layers[stage.name or str(number)] = layer
        findings = Inspection(layer.upper, layer.made_by_us).findings()
        findings += Trial(layer, stages[-1], Path(folder)).findings()
    for finding in findings:
        print(f"image-check: WRONG: {finding}", file=sys.stderr)
    print("image-check: " + ("the image is not right" if findings else "the image is right"))
    return 1 if findings else 0


def _why_not() -> str:
    if sys.platform != "linux" or os.geteuid() != 0:
        return "it needs root on Linux, for an overlay mount"
    missing = [name for name in ("unshare", "setpriv", "chroot", "ip") if not shutil.which(name)]
    return f"{', '.join(missing)} is missing here" if missing else ""


def _python() -> Path:
    """The machine's own interpreter: one of a home folder is not visible inside."""
    for folder in ("/usr/local/bin", "/usr/bin"):
        found = sorted(Path(folder).glob("python3.1[0-9]"))
        if found:
            return found[0]
    raise SystemExit("image-check: no python3.11 or newer in /usr/bin or /usr/local/bin")


if __name__ == "__main__":
    sys.exit(main())
