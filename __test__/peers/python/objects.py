"""Problem: clients send objects with their code, call them by session, and read their generators in batches.

Answer: code packages, object sessions and generators as the stock server keeps them, with its traps: when a stream ends, all sessions
created on the same connection are gone; a generator is known to be exhausted only once it was asked beyond its end.
"""

import asyncio
import base64
import importlib
import inspect
import io
import pathlib
import pickle
import shutil
import sys
import tempfile
import uuid
import zipfile

import errors
import values
from protocol import pb


def load_package(package):
    """The object in a code package: a zip of `serialized_object.pkl` (base64 text of a pickle) and, on the path, `code/`."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="remotemedia-code-"))
    try:
        with zipfile.ZipFile(io.BytesIO(package)) as archive:
            archive.extractall(folder)
        code = folder / "code"
        if code.is_dir():
            sys.path.insert(0, str(code))
            importlib.invalidate_caches()
            for file in sorted(code.glob("**/*.py")):
                parts = file.relative_to(code).with_suffix("").parts
                name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
                if name:
                    sys.modules.pop(name, None)
                    importlib.import_module(name)
        serialized = folder / "serialized_object.pkl"
        if not serialized.is_file():
            raise ValueError("Code package holds no serialized_object.pkl")
        return pickle.loads(base64.b64decode(serialized.read_text()))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Sessions:
    """Objects by session id, and the connection that each was created on."""

    def __init__(self):
        self.objects = {}

    async def create(self, package, peer):
        made = load_package(package)
        if hasattr(made, "initialize"):
            await made.initialize()
        session = str(uuid.uuid4())
        self.objects[session] = (made, peer)
        return session

    def get(self, session):
        if session not in self.objects:
            raise ValueError(f"Session ID {session} not found")
        return self.objects[session][0]

    async def drop_connection(self, peer):
        """What the end of a stream does to everything else on its connection."""
        for session in [session for session, (_, at) in self.objects.items() if at == peer]:
            made, _ = self.objects.pop(session)
            if hasattr(made, "cleanup"):
                cleaned = made.cleanup()
                if inspect.isawaitable(cleaned):
                    await cleaned


class Generators:
    """Generators by id, read in batches."""

    def __init__(self):
        self.open = {}

    def add(self, generator):
        name = str(uuid.uuid4())
        self.open[name] = generator
        return name

    async def batch(self, name, size):
        """`(items, has_more)`; an end that falls on the edge of a batch is not noticed."""
        if name not in self.open:
            raise ValueError("Generator session not found")
        generator = self.open[name]
        items = []
        for _ in range(size):
            try:
                items.append(await anext(generator) if inspect.isasyncgen(generator) else next(generator))
            except (StopIteration, StopAsyncIteration):
                del self.open[name]
                return items, False
        return items, True

    async def close(self, name):
        generator = self.open.pop(name, None)
        if inspect.isasyncgen(generator):
            await generator.aclose()
        elif generator is not None:
            generator.close()


async def call(target, method, args, kwargs):
    """A method's result, or the value of what is not callable. `__init__` is how proxies create a session, and does nothing."""
    if method == "__init__":
        return None
    attribute = getattr(target, method)
    if not callable(attribute):
        return attribute
    result = attribute(*args, **kwargs)
    return await result if inspect.iscoroutine(result) else result


def is_generator(value):
    return inspect.isgenerator(value) or inspect.isasyncgen(value)


async def flushed(target):
    """What is left at the end of a stream."""
    if not hasattr(target, "flush"):
        return None
    result = target.flush()
    return await result if inspect.isawaitable(result) else result


class ObjectRpcs:
    """The rpcs about objects; `sessions` and `generators` are the service's."""

    async def ExecuteObjectMethod(self, request, context):
        wire = values.lenient(request.serialization_format)
        try:
            session = request.session_id
            if request.WhichOneof("object_specifier") == "code_package":
                session = await self.sessions.create(request.code_package, context.peer())
            target = self.sessions.get(session)
            args = values.decode(request.method_args_data, wire)
            kwargs = values.decode(request.method_kwargs_data, wire) if request.method_kwargs_data else {}
            result = await call(target, request.method_name, args, kwargs)
            if is_generator(result):
                is_async = inspect.isasyncgen(result)
                result = {"__generator__": True, "generator_id": self.generators.add(result), "is_async": is_async}
            data = values.encode(result, wire)
            return pb.ExecuteObjectMethodResponse(status=errors.SUCCESS, result_data=data, session_id=session)
        except Exception as error:
            return pb.ExecuteObjectMethodResponse(
                status=errors.status_of(error),
                error_message=errors.message_of(error, "execute_object_method", method_name=request.method_name),
                error_traceback=errors.traceback_of(error),
            )

    async def StreamObject(self, request_iterator, context):
        try:
            init = None
            while init is None:
                request = await anext(request_iterator)
                if request.WhichOneof("payload") == "init":
                    init = request.init
            wire = init.serialization_format
            if init.WhichOneof("object_specifier") == "code_package":
                target = load_package(init.code_package)
            else:
                target = self.sessions.get(init.session_id)

            async def items():
                async for request in request_iterator:
                    if request.WhichOneof("payload") == "data":
                        yield values.decode(request.data, wire)

            if not inspect.isasyncgenfunction(target.process):
                raise TypeError("Object's process must be an async generator")
            async for result in target.process(items()):
                yield pb.StreamObjectResponse(data=values.encode(result, wire))
            if (rest := await flushed(target)) is not None:
                yield pb.StreamObjectResponse(data=values.encode(rest, wire))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            yield pb.StreamObjectResponse(error=errors.stream_message_of(error, "stream_object"))
        finally:
            await self.sessions.drop_connection(context.peer())

    async def InitGenerator(self, request, context):
        wire = values.lenient(request.serialization_format)
        try:
            target = self.sessions.get(request.session_id)
            args = values.decode(request.method_args_data, wire)
            kwargs = values.decode(request.method_kwargs_data, wire) if request.method_kwargs_data else {}
            made = await call(target, request.method_name, args, kwargs)
            if not is_generator(made):
                raise TypeError(f"{request.method_name} gives no generator")
            return pb.InitGeneratorResponse(status=errors.SUCCESS, generator_id=self.generators.add(made))
        except Exception as error:
            message = errors.message_of(error, "init_generator")
            return pb.InitGeneratorResponse(status=errors.ERROR, error_message=message)

    async def GetNextBatch(self, request, context):
        wire = values.lenient(request.serialization_format)
        try:
            items, more = await self.generators.batch(request.generator_id, request.batch_size)
            encoded = [values.encode(item, wire) for item in items]
            return pb.GetNextBatchResponse(status=errors.SUCCESS, items=encoded, has_more=more)
        except Exception as error:
            message = errors.message_of(error, "get_next_batch")
            return pb.GetNextBatchResponse(status=errors.ERROR, error_message=message)

    async def CloseGenerator(self, request, context):
        await self.generators.close(request.generator_id)
        return pb.CloseGeneratorResponse(status=errors.SUCCESS)
