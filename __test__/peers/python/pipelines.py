"""Problem: pipelines registered on the stock server run by rules of their own.

Answer: those rules. Nodes run in the order of the list whatever the connections say, their configuration stays strings, a node that
fails ends the stream without a word, and StreamPipeline gives up on whatever takes longer than 100 ms.
"""

import asyncio
import inspect
import json
import sys
import time

import numpy

import errors
import nodes
import values
from protocol import pb

PATIENCE_S = 0.1
_END = object()


async def _stage(node, source):
    if node.is_streaming:
        async for item in node.process(source):
            yield item
        return
    async for item in source:
        result = node.process(item)
        if inspect.isasyncgen(result):
            async for one in result:
                yield one
            continue
        if inspect.isawaitable(result):
            result = await result
        if result is not None:
            yield result


async def _quiet(node, source):
    try:
        async for item in _stage(node, source):
            yield item
    except Exception as error:
        print(f"node {node.name} failed: {error!r}", flush=True, file=sys.stderr)


def source_item(value, session):
    """JSON as StreamPipeline's source understands it: audio from `[samples, rate]` or `{audio_data, sample_rate}`."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return value
    if isinstance(value, dict) and "audio_data" in value:
        samples, rate = value["audio_data"], value.get("sample_rate", 44100)
    elif isinstance(value, list) and len(value) == 2 and isinstance(value[0], list):
        samples, rate = value
    else:
        return value
    return (nodes.channels_first(numpy.array(samples, dtype="float32")), rate, {"session_id": session, "source": "grpc"})


class Registered:
    """A pipeline and what is counted about it."""

    def __init__(self, name, definition, metadata):
        self.name, self.definition, self.metadata = name, definition, dict(metadata)
        self.registered = int(time.time())
        self.uses = self.errors = 0
        self.total_ms = 0.0
        self.last = 0
        self.nodes = None

    async def start(self):
        """The instance, made once and kept."""
        if self.nodes is None:
            self.nodes = []
            for entry in self.definition.nodes:
                self.nodes.append(nodes.ALL[nodes.ALIASES.get(entry.node_type, entry.node_type)](**dict(entry.config)))
            for node in self.nodes:
                await node.initialize()
        return self.nodes

    async def process(self, source):
        stream = source
        for node in await self.start():
            stream = _quiet(node, stream)
        async for item in stream:
            yield item

    async def execute(self, item):
        async def one():
            yield item

        started = time.monotonic()
        results = [result async for result in self.process(one())]
        self.uses += 1
        self.total_ms += (time.monotonic() - started) * 1000
        self.last = int(time.time())
        if any(node.is_streaming for node in self.nodes):
            return results
        return results[-1] if results else None


class Stream:
    """One StreamPipeline at work."""

    def __init__(self, pipeline):
        self.queue = asyncio.Queue()
        self.output = pipeline.process(self._source())

    async def _source(self):
        while (item := await self.queue.get()) is not _END:
            yield item

    async def push(self, item):
        """What comes out within the patience, in a list of at most one. Being too late ends the generator, for good."""
        await self.queue.put(item)
        try:
            return [await asyncio.wait_for(anext(self.output), PATIENCE_S)]
        except (asyncio.TimeoutError, StopAsyncIteration):
            return []

    async def drain(self):
        await self.queue.put(_END)
        async for item in self.output:
            yield item


class Registry:
    """All pipelines of a server."""

    def __init__(self):
        self.known = {}

    def add(self, request):
        for entry in request.definition.nodes:
            if nodes.ALIASES.get(entry.node_type, entry.node_type) not in nodes.ALL:
                raise ValueError(f"Invalid node type: {entry.node_type}")
        name = f"pipeline_{request.pipeline_name}_{int(time.time() * 1000)}"
        self.known[name] = Registered(request.pipeline_name, request.definition, request.metadata)
        return name

    def get(self, name):
        if name not in self.known:
            raise ValueError(f"Pipeline not found: {name}")
        return self.known[name]


class PipelineRpcs:
    """The rpcs about pipelines; `pipelines` is the service's registry."""

    async def RegisterPipeline(self, request, context):
        try:
            name = self.pipelines.add(request)
            registered = self.pipelines.get(name).registered
            return pb.RegisterPipelineResponse(status=errors.SUCCESS, pipeline_id=name, registered_timestamp=registered)
        except Exception as error:
            return pb.RegisterPipelineResponse(status=errors.ERROR, error_message=errors.message_of(error, "register_pipeline"))

    async def UnregisterPipeline(self, request, context):
        if self.pipelines.known.pop(request.pipeline_id, None):
            return pb.UnregisterPipelineResponse(status=errors.SUCCESS)
        return pb.UnregisterPipelineResponse(status=errors.ERROR, error_message=f"Pipeline not found: {request.pipeline_id}")

    @staticmethod
    def info(name, pipeline, with_definition=False):
        metadata = dict(pipeline.metadata)
        return pb.PipelineInfo(
            pipeline_id=name,
            name=pipeline.name,
            category=metadata.pop("category", "general"),
            description=metadata.pop("description", ""),
            registered_timestamp=pipeline.registered,
            usage_count=pipeline.uses,
            definition=pipeline.definition if with_definition else None,
            metadata=metadata,
        )

    async def ListPipelines(self, request, context):
        infos = [self.info(name, known, request.include_definitions) for name, known in self.pipelines.known.items()]
        return pb.ListPipelinesResponse(pipelines=[info for info in infos if not request.category or info.category == request.category])

    async def GetPipelineInfo(self, request, context):
        try:
            known = self.pipelines.get(request.pipeline_id)
        except ValueError as error:
            return pb.GetPipelineInfoResponse(status=errors.ERROR, error_message=errors.message_of(error, "get_pipeline_info"))
        metrics = None
        if request.include_metrics:
            average = known.total_ms / known.uses if known.uses else 0
            metrics = pb.PipelineMetrics(
                total_executions=known.uses,
                total_errors=known.errors,
                average_execution_time_ms=average,
                last_execution_timestamp=known.last,
            )
        # The definition is never filled in, whatever was asked.
        info = self.info(request.pipeline_id, known)
        return pb.GetPipelineInfoResponse(status=errors.SUCCESS, pipeline_info=info, metrics=metrics)

    async def ExecutePipeline(self, request, context):
        execution = f"exec_{request.pipeline_id}_{int(time.time() * 1000)}"
        try:
            data = values.decode(request.input_data, request.serialization_format)
            result = await self.pipelines.get(request.pipeline_id).execute(data)
            output = values.encode(result, request.serialization_format)
            return pb.ExecutePipelineResponse(status=errors.SUCCESS, output_data=output, execution_id=execution)
        except Exception as error:
            return pb.ExecutePipelineResponse(
                status=errors.status_of(error),
                error_message=errors.message_of(error, "execute_pipeline"),
                error_traceback=errors.traceback_of(error),
                execution_id=execution,
            )

    async def StreamPipeline(self, request_iterator, context):
        stream, wire, session, count, size = None, "json", "", 0, 0

        def status(active):
            return pb.StreamPipelineResponse(
                status=pb.StreamPipelineStatus(session_id=session, items_processed=count, bytes_processed=size, is_active=active)
            )

        try:
            async for request in request_iterator:
                kind = request.WhichOneof("payload")
                if kind == "init":
                    session = f"stream_{request.init.pipeline_id}_{int(time.time() * 1000)}"
                    wire = request.init.serialization_format
                    stream = Stream(self.pipelines.get(request.init.pipeline_id))
                    yield pb.StreamPipelineResponse(ack=pb.StreamPipelineAck(session_id=session, ready=True))
                elif stream is None:
                    yield pb.StreamPipelineResponse(error="Stream not initialized")
                elif kind == "data":
                    count, size = count + 1, size + len(request.data)
                    try:
                        item = source_item(values.decode(request.data, wire), session)
                        for result in await stream.push(item):
                            yield pb.StreamPipelineResponse(data=values.encode(result, wire))
                    except Exception as error:
                        yield pb.StreamPipelineResponse(error=str(error))
                elif request.control.type == pb.StreamControl.CLOSE:
                    break
                else:
                    yield status(True)
            if stream is not None:
                async for result in stream.drain():
                    yield pb.StreamPipelineResponse(data=values.encode(result, wire))
                yield status(False)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            yield pb.StreamPipelineResponse(error=errors.stream_message_of(error, "stream_pipeline"))
