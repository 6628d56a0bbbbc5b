"""Try the add-on in every Blender of this machine, and print a table of what was seen.

    python install/try_blender.py [--out DIRECTORY] [--only NAME] [--steps STEP ...]

Blenders: the one on the PATH (or WETGATE_BLENDER), with a window where Xvfb is, and every Python
with bpy that WETGATE_BPY_PYTHONS names. One takes minutes. Exit code 1 when anything is not so.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.blender_hosts import STEPS, Check, Material, checks, drive, hosts


def main() -> None:
    """Run the matrix."""
    parser = argparse.ArgumentParser(description="Try the add-on in every Blender here.")
    parser.add_argument("--out", type=Path, help="where everything is left; a temporary folder")
    parser.add_argument("--only", default="", help="Blenders with this in their name")
    parser.add_argument("--steps", nargs="+", default=list(STEPS), choices=STEPS)
    asked = parser.parse_args()
    chosen = [host for host in hosts() if asked.only in host.name]
    if not chosen:
        raise SystemExit("no Blender is found; see WETGATE_BLENDER and WETGATE_BPY_PYTHONS")
    with tempfile.TemporaryDirectory() as temporary:
        out = (asked.out or Path(temporary)).absolute()
        material = Material.make(out / "material")
        bad = 0
        for index, host in enumerate(chosen):
            steps = ["window", *asked.steps] if host.windowed else asked.steps
            seen = drive(host, material, out / f"{index}", steps)
            found = list(checks(seen, material))
            bad += sum(not check.good for check in found)
            print(table(f"Blender {seen['version']}, {host.name}", found, seen), flush=True)
    raise SystemExit(1 if bad else 0)


def table(title: str, found: list[Check], seen: dict[str, dict[str, dict[str, float]]]) -> str:
    """Write what was seen in one Blender, a line a step, and in full what is not so."""
    lines = [title]
    for step in dict.fromkeys(check.step for check in found):
        mine = [check for check in found if check.step == step]
        good = sum(check.good for check in mine)
        took = seen["steps"][step].get("took", 0.0)
        lines.append(f"  {step:<10} {good:>2} of {len(mine):>2} as they should be  {took:>7.1f} s")
        lines += [f"    NOT SO: {c.what}: {c.found[:600]}" for c in mine if not c.good]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
