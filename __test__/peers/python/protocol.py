"""Problem: the peers must speak the project's protocol, not a copy of it that ages.

Answer: makes the stubs from the project's own .proto files, into a temporary folder, when a peer starts.
"""

import atexit
import importlib
import os
import pathlib
import shutil
import sys
import tempfile

DEFAULT_ROOT = pathlib.Path(__file__).resolve().parents[3] / "proto"
FILES = ["remotemedia/execution/types.proto", "remotemedia/execution/execution.proto"]


# The stubs, once they are loaded: `from protocol import pb` in a file that is imported later.
types_pb = pb = pb_grpc = None


def load(root=None):
    """Makes the stubs from the .proto files in this folder, else in RM_PROTO_DIR, else in the repository's proto/."""
    global types_pb, pb, pb_grpc
    root = pathlib.Path(root or os.environ.get("RM_PROTO_DIR") or DEFAULT_ROOT)
    if not (root / FILES[1]).is_file():
        raise SystemExit(f"there is no {FILES[1]} in {root}: name the folder with --proto or RM_PROTO_DIR")
    # Not at the top: it takes a third of a second that a wrong argument need not wait for.
    from grpc_tools import protoc

    out = tempfile.mkdtemp(prefix="remotemedia-stubs-")
    atexit.register(shutil.rmtree, out, ignore_errors=True)
    status = protoc.main(["protoc", f"-I{root}", f"--python_out={out}", f"--grpc_python_out={out}", *FILES])
    if status != 0:
        raise SystemExit(f"protoc failed with status {status}")
    sys.path.insert(0, out)
    types_pb, pb, pb_grpc = (
        importlib.import_module(f"remotemedia.execution.{name}") for name in ("types_pb2", "execution_pb2", "execution_pb2_grpc")
    )
