"""Problem: a test in JavaScript has to say what a Python peer shall send, and to see how things arrived there.

Answer: the wire formats as RemoteMedia's server has them, and a plain JSON form of Python values in which everything that JSON
lacks is an object with one key: `$tuple`, `$bytes` (base64), `$ndarray`, `$scalar`, `$float`, `$set`, `$dict`.
"""

import ast
import base64
import io
import json
import math
import pickle

import numpy

# --- On the wire ---------------------------------------------------------------------------------------------------------


class _Numpy1Pickler(pickle._Pickler):
    """Names numpy's functions as numpy 1 did: `numpy.core` instead of `numpy._core`. The pickler in C lets nobody change names."""

    def save_global(self, obj, name=None):
        module = getattr(obj, "__module__", None) or ""
        if not module.startswith("numpy._core"):
            super().save_global(obj, name)
            return
        self.save(module.replace("numpy._core", "numpy.core", 1))
        self.save(name or obj.__qualname__)
        self.write(pickle.STACK_GLOBAL)
        self.memoize(obj)


class Pickles:
    """How pickles are written."""

    numpy1 = False

    @classmethod
    def dumps(cls, value):
        if not cls.numpy1:
            return pickle.dumps(value)
        out = io.BytesIO()
        _Numpy1Pickler(out, 4).dump(value)
        return out.getvalue()


def encode(value, wire):
    """`serialization_format` to bytes, with Python's own defaults: NaN bare, non-ASCII escaped."""
    if wire == "json":
        return json.dumps(value).encode("utf-8")
    if wire == "pickle":
        return Pickles.dumps(value)
    raise ValueError(f"Unsupported serialization format: {wire}")


def decode(data, wire):
    if wire == "json":
        return json.loads(data.decode("utf-8"))
    if wire == "pickle":
        return pickle.loads(data)
    raise ValueError(f"Unsupported serialization format: {wire}")


def lenient(wire):
    """The format as the object rpcs read it: everything but pickle is json."""
    return "pickle" if wire == "pickle" else "json"


# --- Config strings ------------------------------------------------------------------------------------------------------


def _literal(text):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def parse_execute(config):
    """As ExecuteNode reads it: JSON, else a Python literal, else the string."""
    parsed = {}
    for key, text in config.items():
        try:
            parsed[key] = json.loads(text)
        except ValueError:
            parsed[key] = _literal(text)
    return parsed


def parse_stream(config):
    """As StreamNode reads it: a Python literal, else the string. `true`, `false` and `null` stay strings."""
    return {key: _literal(text) for key, text in config.items()}


def config_strings(config):
    """As RemoteMedia's own client writes it."""
    return {key: str(value) for key, value in config.items()}


# --- The plain form ------------------------------------------------------------------------------------------------------


def to_plain(value):
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value
    if isinstance(value, (numpy.ndarray, numpy.generic)):
        return _array_to_plain(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": repr(value)}
    if isinstance(value, (bytes, bytearray)):
        return {"$bytes": base64.b64encode(bytes(value)).decode()}
    if isinstance(value, tuple):
        return {"$tuple": [to_plain(item) for item in value]}
    if isinstance(value, list):
        return [to_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return {"$set": sorted((to_plain(item) for item in value), key=repr)}
    if isinstance(value, dict):
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {key: to_plain(item) for key, item in value.items()}
        return {"$dict": [[to_plain(key), to_plain(item)] for key, item in value.items()]}
    return {"$repr": repr(value)}


def _array_to_plain(value):
    if isinstance(value, numpy.generic):
        return {"$scalar": {"dtype": value.dtype.str, "value": to_plain(value.item())}}
    order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
    data = [to_plain(item) for item in value.flatten().tolist()]
    return {"$ndarray": {"dtype": value.dtype.str, "shape": list(value.shape), "order": order, "data": data}}


def from_plain(plain):
    if isinstance(plain, list):
        return [from_plain(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    if len(plain) != 1 or not next(iter(plain)).startswith("$"):
        return {key: from_plain(item) for key, item in plain.items()}
    [(tag, inner)] = plain.items()
    return _FROM[tag](inner)


def _array(plain):
    array = numpy.array(from_plain(plain["data"]), dtype=plain["dtype"]).reshape(plain["shape"])
    return numpy.asfortranarray(array) if plain.get("order") == "F" else array


def _audio(plain):
    """An item as audio nodes take it: (float32 array of (channels, samples), rate[, metadata])."""
    samples = numpy.array(plain["samples"], dtype=plain.get("dtype", "<f4"))
    samples = samples.reshape(1, -1) if samples.ndim == 1 else samples
    head = (samples, plain["rate"])
    return (*head, from_plain(plain["metadata"])) if "metadata" in plain else head


_FROM = {
    "$tuple": lambda items: tuple(from_plain(item) for item in items),
    "$bytes": base64.b64decode,
    "$zeros": bytes,
    "$float": float,
    "$set": lambda items: {from_plain(item) for item in items},
    "$dict": lambda pairs: {from_plain(key): from_plain(item) for key, item in pairs},
    "$ndarray": _array,
    "$scalar": lambda plain: numpy.dtype(plain["dtype"]).type(from_plain(plain["value"])),
    "$audio": _audio,
}
