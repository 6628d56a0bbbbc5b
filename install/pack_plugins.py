"""Write the zips of the host adapters; run it with the Python that has wetgate.

    python install/pack_plugins.py DIRECTORY

Each adapter gets the one client (`plugins/_client/wetgate_client.py`), and is refused when a file
of it imports anything but the standard library and its host, or is not Python 3.7. Equal sources
give equal bytes.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
from pathlib import Path

from wetgate.install.pack import BLENDER, Adapter, adapter_files, zip_bytes

ADAPTERS = (BLENDER,)


def main() -> None:
    """Pack all adapters."""
    parser = argparse.ArgumentParser(description="Write the zips of the host adapters.")
    parser.add_argument("directory", type=Path, help="where the zips go")
    directory: Path = parser.parse_args().directory
    directory.mkdir(parents=True, exist_ok=True)
    for adapter in ADAPTERS:
        files = adapter_files(adapter)
        data = zip_bytes(adapter, files)
        path = directory / f"wetgate-{adapter.name}-{version_of(adapter, files)}.zip"
        path.write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        print(f"{path}  {len(files)} files, {len(data)} bytes, sha256 {digest}")


def version_of(adapter: Adapter, files: dict[str, bytes]) -> str:
    """Return the version that an adapter states of itself in its `bl_info`."""
    for node in ast.parse(files["__init__.py"]).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "bl_info":
            return ".".join(map(str, ast.literal_eval(node.value)["version"]))
    raise SystemExit(f"{adapter.module} states no version")


if __name__ == "__main__":
    main()
