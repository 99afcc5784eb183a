"""Python's own view of pickles, json and literals, for tests/remote_codec.rs.

Reads one json request a line and writes one json answer a line. A value is described without any codec that is under test:
["int", "12"], ["float", "<8 bytes in hex>"], ["list", [...]], ["array", "<f4", [2, 3], "<row-major bytes in hex>"] and so on.
"""

import ast
import base64
import collections
import json
import pickle
import struct
import sys
import warnings

import numpy as np


def float_bits(number):
    # Every NaN is the same one.
    return struct.pack(">d", float("nan") if number != number else number).hex()


def describe(value):
    if value is None:
        return ["none"]
    if isinstance(value, (bool, np.bool_)):
        return ["bool", bool(value)]
    if isinstance(value, (int, np.integer)):
        return ["int", str(int(value))]
    if isinstance(value, (float, np.floating)):
        return ["float", float_bits(float(value))]
    if isinstance(value, (complex, np.complexfloating)):
        return ["complex", float_bits(complex(value).real), float_bits(complex(value).imag)]
    if isinstance(value, str):
        # As the codec states: a lone surrogate becomes U+FFFD.
        text = "".join("\ufffd" if 0xD800 <= ord(letter) < 0xE000 else letter for letter in value)
        return ["str", text.encode().hex()]
    if isinstance(value, (bytes, bytearray)):
        return ["bytes", bytes(value).hex()]
    if isinstance(value, list):
        return ["list", [describe(item) for item in value]]
    if isinstance(value, tuple):
        return ["tuple", [describe(item) for item in value]]
    if isinstance(value, dict):
        return ["dict", [[describe(key), describe(item)] for key, item in value.items()]]
    if isinstance(value, (set, frozenset)):
        return ["set", sorted((describe(item) for item in value), key=lambda item: json.dumps(item, separators=(",", ":")))]
    if isinstance(value, np.ndarray):
        # Row by row and little-endian, as packets have it.
        flat = np.ascontiguousarray(value).reshape(value.shape)
        flat = flat.astype(flat.dtype.newbyteorder("<"))
        return ["array", flat.dtype.str, list(value.shape), flat.tobytes().hex()]
    raise TypeError(type(value))


class Refused:
    def __reduce__(self):
        return (print, ("a pickle was run",))


def values():
    """Name and value of everything that must be read."""
    shared = [1, "shared"]
    yield "none", None
    yield "bools", [True, False]
    ints = [0, 1, -1, 255, 256, 65535, 65536, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**2100, -(7**4000)]
    yield "ints", ints
    yield "floats", [0.0, -0.0, 1.5, -1e308, 5e-324, float("inf"), float("-inf"), float("nan"), 0.1]
    yield "complex", [1 + 2j, complex("nan"), -0j]
    yield "texts", ["", "plain", "café", "\U0001f600", "a\nb\r\x00\x1a\\u0041\\", "x" * 300, "y" * 70000, "lone \ud800 surrogate"]
    yield "bytes", [b"", b"abc", bytes(range(256)), b"z" * 70000]
    yield "bytearray", [bytearray(), bytearray(b"abc"), bytearray(range(256)) * 300]
    yield "lists", [[], [1], [[], [[]]], list(range(2500))]
    yield "tuples", [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), ((),) * 5]
    yield "dicts", [{}, {"a": 1}, {1: "one", None: 2, (1, 2): 3, b"x": 4, 1.5: 5}, {str(n): n for n in range(2500)}]
    yield "sets", [set(), {1, "a", None}, frozenset(), frozenset({1, 2}), {frozenset({1})}]
    yield "ordered", collections.OrderedDict([("b", 1), ("a", [1, 2])])
    yield "shared", [shared, shared, (shared, shared), {"s": shared}]
    deep = []
    for _ in range(50):
        deep = [deep]
    yield "deep", deep
    floats = np.arange(24, dtype="<f4").reshape(2, 3, 4) / 7
    yield "array f4", floats
    yield "array 1d", floats.ravel()
    yield "array 0d", np.array(3.5)
    yield "array empty", np.zeros((0, 3), "f4")
    yield "array fortran 2d", np.asfortranarray(floats[0])
    yield "array fortran 3d", np.asfortranarray(floats)
    yield "array exchanged", np.ascontiguousarray(floats).transpose(1, 0, 2)
    yield "array strided", floats[:, ::2, ::-1]
    yield "array reversed", floats[::-1]
    yield "array big-endian", floats.astype(">f4")
    yield "array big-endian fortran", np.asfortranarray(floats.astype(">f4"))
    for kind in ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16", "S5", "U5"]:
        yield "array " + kind, np.array([[0, 1], [2, 100]]).astype(kind)
        yield "array > " + kind, np.array([0, 1, 2]).astype(np.dtype(kind).newbyteorder(">"))
    yield "read-only", np.frombuffer(b"12345678", "<f4")
    yield "scalars", [np.float32(1.5), np.float64(0.1), np.float16(0.5), np.int8(-3), np.int64(-(2**62)), np.uint8(200), np.uint64(2**64 - 1)]
    yield "other scalars", [np.bool_(True), np.bool_(False), np.complex64(1 + 2j), np.complex128(3j), np.str_("ünï"), np.bytes_(b"ab\0c"), np.float32("nan")]
    yield "big-endian scalars", [np.array([1.5], ">f4")[0], np.array([258], ">i4")[0]]
    yield "audio", (np.linspace(-1, 1, 960, dtype="f4").reshape(2, 480), 48000, {"session_id": "s", "n": 1})
    yield "shared array", [floats, floats, {"again": floats}]


def refusals(protocol):
    """Name, value and a part of the message that refuses it."""
    import datetime
    import decimal
    import os

    class_of_ours = Refused()
    yield "call", class_of_ours, "print'"
    yield "function", os.getcwd, "getcwd'"
    yield "class", collections.deque([1]), "deque'"
    yield "datetime", datetime.datetime(2024, 1, 1), "datetime.datetime'"
    yield "decimal", decimal.Decimal("1.5"), "Decimal'"
    yield "range", range(5), "range'"
    yield "defaultdict", collections.defaultdict(list), "defaultdict'"
    yield "objects", np.array([None, "a"], dtype=object), "dtype"
    yield "records", np.zeros(2, dtype=[("a", "i4"), ("b", "f4")]), "dtype"
    yield "dates", np.array(["2024-01-01"], dtype="M8[D]"), "dtype"
    yield "date", np.datetime64("2024-01-01"), "dtype"
    cycle = []
    cycle.append(cycle)
    yield "cycle", cycle, "contains itself"
    deep = []
    for _ in range(300):
        deep = [deep]
    yield "deep", deep, "nested"
    if protocol > 1:
        yield "long int", 2**20000, "int of"


def server_config(text, streaming):
    """How the stock service reads a configuration string: ExecuteNode's way, and StreamNode's."""
    if not streaming:
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            pass
    try:
        with warnings.catch_warnings():
            # An unknown escape is one, and the service goes on.
            warnings.simplefilter("ignore")
            return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def flags(value):
    """Whether all arrays in the value can be written to."""
    if isinstance(value, np.ndarray):
        return bool(value.flags.writeable and value.flags.aligned and value.flags.c_contiguous)
    if isinstance(value, dict):
        return all(flags(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return all(flags(item) for item in value)
    return True


def answer(request):
    what = request["what"]
    if what == "version":
        return [sys.version.split()[0], np.__version__]
    if what == "values":
        protocol = request["protocol"]
        return [[name, base64.b64encode(pickle.dumps(value, protocol)).decode(), describe(value)] for name, value in values()]
    if what == "refusals":
        protocol = request["protocol"]
        return [[name, base64.b64encode(pickle.dumps(value, protocol)).decode(), part] for name, value, part in refusals(protocol)]
    if what == "loads":
        value = pickle.loads(base64.b64decode(request["pickle"]))
        return [describe(value), flags(value)]
    if what == "json":
        return describe(json.loads(request["text"]))
    if what == "json.dumps":
        return [json.dumps(value) for value in [[1.5, float("nan"), float("inf"), -float("inf")], {"é": "\U0001f600 \ud800 \n"}, 2**70, (1, 2), {1: 2, None: 3, True: 4, 1.5: 5}]]
    if what == "meaning":
        try:
            return describe(server_config(request["text"], False))
        except (TypeError, MemoryError):
            return describe(request["text"])
    if what == "config":
        return [[describe(server_config(text, streaming)) for streaming in (False, True)] for text in request["texts"]]
    if what == "str":
        return [[str(value), describe(value)] for value in [True, False, None, 1, -2.5, [1, 2], (1, "a"), {"a": None, "b": [True, (1,)]}, {1, 2}, "it's", 'say "x"']]
    raise ValueError(what)


for line in sys.stdin:
    sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
    sys.stdout.flush()
