"""Problem: a test needs nodes that behave as RemoteMedia's do, and nodes that misbehave in known ways.

Answer: the base class and the stock nodes of the contract, written from its description, then the nodes that are only for tests.
`EXECUTE` is what ExecuteNode knows, `STREAM` what StreamNode knows; as on RemoteMedia's server these are different lists.
"""

import asyncio
import contextvars
import inspect
import time

import numpy

# What the current call came with, for EchoMetadata.
call_metadata = contextvars.ContextVar("call_metadata", default=())


class Node:
    """The base class: what it does not know lands in `config`."""

    category = "base"
    description = ""
    is_streaming = False

    def __init__(self, name=None, enable_state=True, state_ttl=None, max_sessions=None, **kwargs):
        self.name = name or type(self).__name__
        self.config = kwargs

    async def initialize(self):
        pass

    async def cleanup(self):
        pass

    def option(self, name, default):
        return self.config.get(name, default)


# --- Stock nodes ---------------------------------------------------------------------------------------------------------


class PassThroughNode(Node):
    description = "Hands on what it gets"

    def process(self, data):
        return data


class CalculatorNode(Node):
    category = "math"
    description = "Arithmetic on two numbers"
    operations = {
        "add": lambda a, b: a + b,
        "multiply": lambda a, b: a * b,
        "subtract": lambda a, b: a - b,
        "divide": lambda a, b: a / b,
        "power": lambda a, b: a**b,
        "modulo": lambda a, b: a % b,
    }

    def process(self, data):
        by = f"CalculatorNode[{self.name}]"
        try:
            operation, args = data["operation"], data["args"]
            result = self.operations[operation](*args)
        except Exception as error:
            # Bad input is no failure of the call: the caller has to look inside.
            return {"error": f"{type(error).__name__}: {error}", "processed_by": by}
        return {"operation": operation, "args": args, "result": result, "processed_by": by, "node_config": self.config}


class TextProcessorNode(Node):
    category = "text"
    description = "Changes and counts text"
    operations = {
        "uppercase": str.upper,
        "lowercase": str.lower,
        "reverse": lambda text: text[::-1],
        "word_count": lambda text: len(text.split()),
        "char_count": len,
        "title_case": str.title,
        "remove_spaces": lambda text: text.replace(" ", ""),
        "first_word": lambda text: (text.split() or [""])[0],
        "last_word": lambda text: (text.split() or [""])[-1],
    }

    def process(self, data):
        by = f"TextProcessorNode[{self.name}]"
        if not isinstance(data, dict) or not isinstance(data.get("text"), str):
            return {"error": "Input must be a dictionary with a 'text' key", "processed_by": by}
        names = data.get("operations", ["uppercase"])
        results = {name: self.operations[name](data["text"]) for name in names if name in self.operations}
        return {
            "original_text": data["text"],
            "operations": names,
            "results": results,
            "processed_by": by,
            "node_config": self.config,
        }


class StatefulCounter(Node):
    description = "Counts what it gets"

    def __init__(self, initial_value=0, **kwargs):
        super().__init__(**kwargs)
        self.value = int(initial_value)
        self.is_streaming = True

    async def process(self, stream):
        async for _ in stream:
            self.value += 1
            yield (self.value,)


def is_audio(data):
    return isinstance(data, tuple) and len(data) >= 2 and isinstance(data[0], numpy.ndarray) and isinstance(data[1], int)


def channels_first(array):
    return array.reshape(1, -1) if array.ndim == 1 else array


class VoiceActivityDetector(Node):
    """By energy: a frame is speech if it is louder than a mix of a fixed threshold and the noise so far."""

    category = "audio"
    description = "Finds speech by its energy"

    def __init__(
        self, frame_duration_ms=30, energy_threshold=0.02, speech_threshold=0.3, filter_mode=False, include_metadata=True, **kwargs
    ):
        super().__init__(**kwargs)
        self.frame_duration_ms = frame_duration_ms
        self.energy_threshold = energy_threshold
        self.speech_threshold = speech_threshold
        self.filter_mode = filter_mode
        self.include_metadata = include_metadata
        self.is_streaming = True
        self.history = []

    def threshold(self):
        if not self.history:
            return self.energy_threshold
        floor = sorted(self.history)[int(len(self.history) * 0.3)]
        return 0.7 * (2.5 * floor) + 0.3 * self.energy_threshold

    def analyse(self, array, rate):
        mono = array.mean(axis=0)
        size = int(rate * self.frame_duration_ms / 1000)
        frames = [mono[at : at + size] for at in range(0, len(mono) - size + 1, size)]
        energies = [float(numpy.sqrt(numpy.mean(frame**2))) for frame in frames]
        threshold = self.threshold()
        self.history = (self.history + energies)[-100:]
        speech = sum(energy > threshold for energy in energies)
        ratio = speech / len(energies) if energies else 0.0
        return {
            "is_speech": bool(ratio >= self.speech_threshold),
            "speech_ratio": float(ratio),
            "avg_energy": float(numpy.mean(energies)) if energies else 0.0,
            "frame_duration_ms": self.frame_duration_ms,
        }

    async def process(self, stream):
        async for data in stream:
            if not is_audio(data):
                continue
            array, rate = channels_first(data[0]), data[1]
            metadata = data[2] if len(data) > 2 and isinstance(data[2], dict) else {}
            plain = (array, rate, metadata) if metadata else (array, rate)
            found = self.analyse(array, rate)
            if self.filter_mode:
                if found["is_speech"]:
                    yield plain
            elif self.include_metadata:
                yield ((array, rate), {**metadata, **found})
            else:
                yield plain


class AudioTransform(Node):
    """Mono and n channels as the stock node; it does not resample, and says the new rate only if it is the old one."""

    category = "audio"
    description = "Changes the channels of audio"

    def __init__(self, output_sample_rate=44100, output_channels=2, **kwargs):
        super().__init__(**kwargs)
        self.channels = int(output_channels)

    def process(self, data):
        # With json the tuple arrives as a list, and the list goes back as it came.
        if not is_audio(data):
            return data
        array = channels_first(data[0]).astype("float32")
        if self.channels == 1:
            array = array.mean(axis=0)
        elif array.shape[0] == 1:
            array = numpy.tile(array, (self.channels, 1))
        return (array, *data[1:])


# --- For tests only ------------------------------------------------------------------------------------------------------


class EchoType(Node):
    """Says how the payload arrived, in JSON that every format can carry."""

    description = "Describes what it gets"

    def process(self, data):
        return describe(data)


def describe(data):
    said = {"type": type(data).__name__}
    if isinstance(data, numpy.ndarray):
        said |= {
            "dtype": data.dtype.str,
            "shape": list(data.shape),
            "fortran": bool(data.flags.f_contiguous and not data.flags.c_contiguous),
            "writeable": bool(data.flags.writeable),
            "sum": float(numpy.nan_to_num(data).sum()) if data.dtype.kind in "biuf" else None,
        }
    elif isinstance(data, (list, tuple)):
        said["items"] = [describe(item) for item in data]
    elif isinstance(data, dict):
        said["entries"] = [[describe(key), describe(value)] for key, value in data.items()]
    elif isinstance(data, (bytes, bytearray)):
        said |= {"length": len(data), "hex": bytes(data[:64]).hex()}
    else:
        said["repr"] = repr(data)
    return said


class EchoConfig(Node):
    """Says what its configuration has become."""

    description = "Describes its configuration"

    def process(self, data):
        return {key: describe(value) for key, value in self.config.items()}


class EchoMetadata(Node):
    """Says the gRPC metadata that the call came with."""

    description = "Describes the call's metadata"

    def process(self, data):
        return {key: value for key, value in call_metadata.get() if isinstance(value, str)}


class Slow(Node):
    """Takes `delay_ms`; `blocking` holds up the whole server, as a synchronous node of the stock server does."""

    description = "Takes its time"

    async def process(self, data):
        seconds = float(self.option("delay_ms", 200)) / 1000
        if self.option("blocking", False):
            time.sleep(seconds)
        else:
            await asyncio.sleep(seconds)
        return data


class Silent(Node):
    description = "Answers nothing"

    def process(self, data):
        return None


class Failing(Node):
    """Fails with `message`; in a stream after `after` items. `initialize` fails if `when` says so."""

    description = "Fails"

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.left = int(self.option("after", 0))

    def error(self):
        kind = {"ValueError": ValueError, "MemoryError": MemoryError, "KeyError": KeyError, "TimeoutError": TimeoutError}
        return kind.get(self.option("error", "ValueError"), RuntimeError)(self.option("message", "it was told to fail"))

    async def initialize(self):
        if self.option("when", "process") == "initialize":
            raise self.error()

    def process(self, data):
        if self.left <= 0:
            raise self.error()
        self.left -= 1
        return data


class BigAnswer(Node):
    description = "Answers with n bytes"

    def process(self, data):
        size = int(self.option("n", data if isinstance(data, int) else 1024))
        return "x" * size if self.option("text", False) else bytes(size)


class NaN(Node):
    description = "Answers with what JSON lacks"

    def process(self, data):
        return {"nan": float("nan"), "infinity": float("inf"), "minus": float("-inf"), "big": 2**70}


class Arrays(Node):
    """One array of each sort that a reader has to know."""

    description = "Answers with arrays of many sorts"

    def process(self, data):
        ramp = numpy.arange(6).reshape(2, 3)
        return {
            "f_order": numpy.asfortranarray(ramp.astype("<f4")),
            "big_endian": ramp.astype(">i4"),
            "empty": numpy.zeros((0, 3), dtype="<f8"),
            "scalar": numpy.float32(1.5),
            "zero_d": numpy.array(7, dtype="<i8"),
            **{kind: ramp.astype(kind) for kind in ("u1", "i1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8", "?")},
        }


_TEST_NODES = [EchoType, EchoConfig, EchoMetadata, Slow, Silent, Failing, BigAnswer, NaN, Arrays]
EXECUTE = {node.__name__: node for node in [PassThroughNode, CalculatorNode, TextProcessorNode, AudioTransform, *_TEST_NODES]}
STREAM = {node.__name__: node for node in [VoiceActivityDetector, StatefulCounter, TextProcessorNode, AudioTransform, *_TEST_NODES]}
# Pipelines take whatever the package exports.
ALL = EXECUTE | STREAM
ALIASES = {"PassThrough": "PassThroughNode", "Calculator": "CalculatorNode", "TextProcessor": "TextProcessorNode"}


def is_generator(node):
    return inspect.isasyncgenfunction(node.process)
