"""Problem: the rpcs of the stock server that concern nodes and the service itself.

Answer: those, with the rpcs about objects and pipelines from their own files. Failures of unary rpcs are inside answers that gRPC calls OK,
failures of streams are one last message; INVALID_ARGUMENT for a stream without `init` is the only gRPC status there is.
"""

import asyncio
import inspect
import json
import time

import grpc

import errors
import nodes
import objects
import pipelines
import values
from protocol import pb, pb_grpc, types_pb

VERSION = "0.1.0"


class Service(objects.ObjectRpcs, pipelines.PipelineRpcs, pb_grpc.RemoteExecutionServiceServicer):
    """What has no method here (everything about stored pipelines and nodes) answers UNIMPLEMENTED."""

    def __init__(self):
        self.started = time.monotonic()
        self.requests = self.successes = 0
        self.sessions = objects.Sessions()
        self.generators = objects.Generators()
        self.pipelines = pipelines.Registry()

    # --- Nodes -----------------------------------------------------------------------------------------------------------

    async def ExecuteNode(self, request, context):
        nodes.call_metadata.set(context.invocation_metadata() or ())
        self.requests += 1
        started = time.time()
        metrics = types_pb.ExecutionMetrics(start_timestamp=int(started * 1000), input_size_bytes=len(request.input_data))
        try:
            output = await self.run(request)
            status, fields = errors.SUCCESS, {"output_data": output}
            metrics.output_size_bytes = len(output)
            self.successes += 1
        except Exception as error:
            message = errors.message_of(error, "execute_node", node_type=request.node_type)
            status, fields = errors.status_of(error), {"error_message": message, "error_traceback": errors.traceback_of(error)}
            metrics.exit_code = -1
        metrics.end_timestamp = int(time.time() * 1000)
        metrics.duration_ms = metrics.cpu_time_ms = int((time.time() - started) * 1000)
        return pb.ExecuteNodeResponse(status=status, metrics=metrics, **fields)

    async def run(self, request):
        """A new node for each call; a synchronous one holds up the server."""
        kind = nodes.EXECUTE.get(nodes.ALIASES.get(request.node_type, request.node_type))
        if kind is None:
            known = ", ".join(sorted(nodes.EXECUTE))
            raise errors.NodeExecutionError(f"Node execution failed: Unknown node type: {request.node_type}. Available: {known}")
        data = values.decode(request.input_data, request.serialization_format)
        stage = "Node initialization failed"
        node = None
        try:
            node = kind(name=f"remote_{request.node_type}", **values.parse_execute(request.config))
            await node.initialize()
            stage = "Node processing failed"
            result = node.process(data)
            if inspect.iscoroutine(result):
                result = await result
            stage = "Output serialization failed"
            return values.encode(result, request.serialization_format)
        except Exception as error:
            raise errors.NodeExecutionError(f"{stage}: {error}") from error
        finally:
            if node is not None:
                await node.cleanup()

    async def ExecuteCustomTask(self, request, context):
        self.requests += 1
        return pb.ExecuteCustomTaskResponse(status=errors.ERROR, error_message="Custom task execution is not yet implemented (Phase 3)")

    async def StreamNode(self, request_iterator, context):
        nodes.call_metadata.set(context.invocation_metadata() or ())
        try:
            first = await anext(request_iterator)
            if first.WhichOneof("payload") != "init":
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "First message must be init")
            async for output in self.stream(first.init, request_iterator):
                yield pb.StreamData(data=output)
        except (grpc.aio.AbortError, asyncio.CancelledError):
            raise
        except Exception as error:
            yield pb.StreamData(error_message=errors.stream_message_of(error, "stream_node"))
        finally:
            await self.sessions.drop_connection(context.peer())

    async def stream(self, init, requests):
        name = nodes.ALIASES.get(init.node_type, init.node_type)
        if name not in nodes.STREAM:
            raise ValueError(f"Node type '{init.node_type}' is not supported for remote execution")
        wire = init.serialization_format
        node = nodes.STREAM[name](**values.parse_stream(init.config))

        async def items():
            async for request in requests:
                if request.WhichOneof("payload") == "data":
                    yield values.decode(request.data, wire)

        await node.initialize()
        try:
            if nodes.is_generator(node):
                async for result in node.process(items()):
                    yield values.encode(result, wire)
            else:
                async for item in items():
                    result = await self.one(node, item)
                    if result is not None:
                        yield values.encode(result, wire)
            if (rest := await objects.flushed(node)) is not None:
                yield values.encode(rest, wire)
        finally:
            await node.cleanup()

    @staticmethod
    async def one(node, item):
        if inspect.iscoroutinefunction(node.process):
            return await node.process(item)
        # Threads do not see the caller's context by themselves; to_thread hands it on.
        return await asyncio.to_thread(node.process, item)

    # --- About the service -----------------------------------------------------------------------------------------------

    async def GetStatus(self, request, context):
        metrics = None
        if request.include_metrics:
            failed = self.requests - self.successes
            metrics = types_pb.ServiceMetrics(total_requests=self.requests, successful_requests=self.successes, failed_requests=failed)
        uptime = int(time.monotonic() - self.started)
        return pb.StatusResponse(status=types_pb.SERVICE_STATUS_HEALTHY, metrics=metrics, version=VERSION, uptime_seconds=uptime)

    async def ListNodes(self, request, context):
        wanted = [kind for kind in nodes.EXECUTE.values() if not request.category or kind.category == request.category]
        return pb.ListNodesResponse(
            available_nodes=[pb.NodeInfo(node_type=kind.__name__, category=kind.category, description=kind.description) for kind in wanted]
        )

    async def ExportTypeScriptDefinitions(self, request, context):
        """What the field holds is JSON, not TypeScript."""
        about = [
            {
                "node_type": kind.__name__,
                "category": kind.category,
                "description": kind.description,
                "parameters": [],
                "methods": [],
                "types": [],
            }
            for kind in nodes.EXECUTE.values()
        ]
        text = json.dumps({"generated_at": time.strftime("%Y-%m-%dT%H:%M:%S"), "service_version": VERSION, "nodes": about})
        return pb.ExportTypeScriptResponse(status=errors.SUCCESS, typescript_definitions=text, version=VERSION)
