"""Problem: the stock server's errors are text in a layout of its own, and clients have to take it apart.

Answer: that layout. `[CATEGORY] ExcType: text`, for some categories a hint, a blank line and `Context: {...}`, with the category chosen by
words in the message; and the two of its status codes that it uses for failures.
"""

import time
import traceback

# In this order: the first with a word in the message or in the exception's name wins.
CATEGORIES = [
    ("MODEL_LOADING", ["model load", "loading model", "from_pretrained", "checkpoint"], "Check that the model exists."),
    ("MEMORY_ERROR", ["memory", "oom"], "Reduce the size of the input."),
    ("CUDA_ERROR", ["cuda", "cudnn", "gpu"], "Check the driver and free memory of the GPU."),
    ("SERIALIZATION", ["serializ", "pickle", "json", "decode"], None),
    ("DEPENDENCY", ["no module named", "import", "dependency"], "Install what is missing."),
    ("NETWORK", ["connection", "network", "unreachable", "socket"], None),
    ("VALIDATION", ["invalid", "valueerror", "validation", "must be"], None),
]

SUCCESS, ERROR, RESOURCE_LIMIT = 1, 2, 5


class NodeExecutionError(Exception):
    """What ExecuteNode makes of a failure, with the stage that failed in its text."""


def category_of(error):
    text = f"{error} {type(error).__name__}".lower()
    for name, words, hint in CATEGORIES:
        if any(word in text for word in words):
            return name, hint
    return "UNKNOWN", None


def status_of(error):
    return RESOURCE_LIMIT if category_of(error)[0] in ("MEMORY_ERROR", "CUDA_ERROR") else ERROR


def message_of(error, operation, **request):
    category, hint = category_of(error)
    context = {
        "operation": operation,
        "error_type": type(error).__name__,
        "timestamp": time.time(),
        "memory_usage_mb": 0.0,
        "cpu_percent": 0.0,
        **request,
    }
    hint = f"\nHint: {hint}" if hint else ""
    return f"[{category}] {type(error).__name__}: {error}{hint}\n\nContext: {context}"


def stream_message_of(error, operation, **request):
    """In streams the category stands there twice."""
    return f"[{category_of(error)[0]}] {message_of(error, operation, **request)}"


def traceback_of(error):
    return "".join(traceback.format_exception(error))
