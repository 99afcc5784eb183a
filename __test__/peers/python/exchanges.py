"""Problem: every exchange of protocol v0 has to be had with a service, and looked at.

Answer: a function for each, by its name in a script: it takes the connection and what the script says, and gives the result in plain
JSON. The first line of each says what it takes and gives. Values are in the plain form of values.py.
"""

import base64
import io
import json
import pickle
import sys
import types
import zipfile

from grpc_health.v1 import health_pb2

import values
from protocol import pb

STATUS = {0: "UNSPECIFIED", 1: "SUCCESS", 2: "ERROR", 3: "TIMEOUT", 4: "CANCELLED", 5: "RESOURCE_LIMIT", 6: "SECURITY_VIOLATION"}
OPERATIONS = {}


def operation(function):
    OPERATIONS[function.__name__] = function
    return function


def scope(step):
    return {"timeout": step.get("timeout", 10), "metadata": list(step.get("metadata", {}).items())}


def wire_of(step):
    return step.get("format", "pickle")


def payload(step, wire, key="input"):
    """`raw` (base64) goes out as it is: what no codec would write."""
    if "raw" in step:
        return base64.b64decode(step["raw"])
    return values.encode(values.from_plain(step.get(key)), wire)


def answer(response, data, wire):
    """A unary answer with its status, and the value if there is one."""
    said = {"status": STATUS.get(response.status, response.status), "error": response.error_message}
    if hasattr(response, "error_traceback"):
        said["traceback"] = response.error_traceback
    if hasattr(response, "metrics") and response.HasField("metrics"):
        said["metrics"] = fields(response.metrics)
    if response.status == 1:
        said["value"] = values.to_plain(values.decode(data, wire))
        said["bytes"] = len(data)
    return said


def fields(message):
    return {field.name: getattr(message, field.name) for field in message.DESCRIPTOR.fields}


# --- Nodes ---------------------------------------------------------------------------------------------------------------


@operation
def execute(client, step):
    """node, config, input, format -> status, value, error, traceback, metrics"""
    wire = wire_of(step)
    request = pb.ExecuteNodeRequest(
        node_type=step["node"],
        config=values.config_strings(step.get("config", {})),
        input_data=payload(step, wire),
        serialization_format=wire,
    )
    response = client.stub.ExecuteNode(request, **scope(step))
    return answer(response, response.output_data, wire)


@operation
def stream(client, step):
    """node, config, inputs, format -> values, error; `first`: "data" leaves the init out, `inputs` may be empty"""
    wire = wire_of(step)

    def requests():
        if step.get("first") != "data":
            config = values.config_strings(step.get("config", {}))
            yield pb.StreamData(init=pb.StreamInit(node_type=step["node"], config=config, serialization_format=wire))
        for value in step.get("inputs", []):
            yield pb.StreamData(data=values.encode(values.from_plain(value), wire))

    return received(client.stub.StreamNode(requests(), **scope(step)), wire, lambda response: response.error_message)


def received(responses, wire, error_of):
    found = {"values": [], "error": ""}
    for response in responses:
        if error := error_of(response):
            found["error"] = error
        else:
            found["values"].append(values.to_plain(values.decode(response.data, wire)))
    return found


@operation
def custom_task(client, step):
    response = client.stub.ExecuteCustomTask(pb.ExecuteCustomTaskRequest(entry_point="main"), **scope(step))
    return answer(response, response.output_data, "json")


# --- Objects -------------------------------------------------------------------------------------------------------------


@operation
def package(client, step):
    """module, source, object (an expression in it) -> package (base64): what an object's code travels in"""
    return {"package": base64.b64encode(make_package(step["module"], step["source"], step["object"])).decode()}


def make_package(name, source, expression):
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(source, f"{name}.py", "exec"), module.__dict__)
    serialized = base64.b64encode(pickle.dumps(eval(expression, module.__dict__)))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("serialized_object.pkl", serialized)
        archive.writestr(f"code/{name}.py", source)
        manifest = {"version": "1.0", "type": "code_package", "has_serialized_object": True}
        archive.writestr("manifest.json", json.dumps(manifest))
    return out.getvalue()


def specifier(step):
    return {"code_package": base64.b64decode(step["package"])} if "package" in step else {"session_id": step.get("session", "")}


@operation
def object_method(client, step):
    """package or session, method, args, kwargs, format -> status, value, session, error"""
    wire = wire_of(step)
    request = pb.ExecuteObjectMethodRequest(
        serialization_format=wire,
        method_name=step["method"],
        method_args_data=b"" if step.get("no_args") else values.encode(values.from_plain(step.get("args", [])), wire),
        **({"method_kwargs_data": values.encode(values.from_plain(step["kwargs"]), wire)} if "kwargs" in step else {}),
        **specifier(step),
    )
    response = client.stub.ExecuteObjectMethod(request, **scope(step))
    return {**answer(response, response.result_data, values.lenient(wire)), "session": response.session_id}


@operation
def stream_object(client, step):
    """package or session, inputs, format -> values, error"""
    wire = wire_of(step)

    def requests():
        yield pb.StreamObjectRequest(init=pb.StreamObjectInit(serialization_format=wire, **specifier(step)))
        for value in step.get("inputs", []):
            yield pb.StreamObjectRequest(data=values.encode(values.from_plain(value), wire))

    return received(client.stub.StreamObject(requests(), **scope(step)), wire, lambda response: response.error)


@operation
def generator(client, step):
    """session, method, args, batch -> batches: `[{items, has_more}]` until has_more is false, then what comes after closing"""
    wire = wire_of(step)
    args = values.encode(values.from_plain(step.get("args", [])), wire)
    request = pb.InitGeneratorRequest(
        session_id=step["session"], method_name=step["method"], method_args_data=args, serialization_format=wire
    )
    opened = client.stub.InitGenerator(request, **scope(step))
    if opened.status != 1:
        return {"status": STATUS[opened.status], "error": opened.error_message}
    batches = []
    while not batches or (batches[-1]["has_more"] and len(batches) < step.get("limit", 1000)):
        response = client.stub.GetNextBatch(next_batch(opened.generator_id, step.get("batch", 10), wire), **scope(step))
        if response.status != 1:
            return {"status": STATUS[response.status], "error": response.error_message, "batches": batches}
        items = [values.to_plain(values.decode(item, values.lenient(wire))) for item in response.items]
        batches.append({"items": items, "has_more": response.has_more})
    closed = [client.stub.CloseGenerator(pb.CloseGeneratorRequest(generator_id=opened.generator_id)).status for _ in range(2)]
    after = client.stub.GetNextBatch(next_batch(opened.generator_id, 1, wire), **scope(step))
    return {"status": "SUCCESS", "batches": batches, "closed": [STATUS[one] for one in closed], "after": after.error_message}


def next_batch(name, size, wire):
    return pb.GetNextBatchRequest(generator_id=name, batch_size=size, serialization_format=wire)


# --- Pipelines -----------------------------------------------------------------------------------------------------------


@operation
def register_pipeline(client, step):
    """name, nodes: `[{type, config}]`, metadata_map -> status, pipeline, error"""
    entries = [
        pb.NodeDefinition(node_id=f"n{at}", node_type=node["type"], config=values.config_strings(node.get("config", {})))
        for at, node in enumerate(step["nodes"])
    ]
    definition = pb.PipelineDefinition(name=step["name"], nodes=entries)
    request = pb.RegisterPipelineRequest(pipeline_name=step["name"], definition=definition, metadata=step.get("metadata_map", {}))
    response = client.stub.RegisterPipeline(request, **scope(step))
    return {"status": STATUS[response.status], "pipeline": response.pipeline_id, "error": response.error_message}


@operation
def unregister_pipeline(client, step):
    response = client.stub.UnregisterPipeline(pb.UnregisterPipelineRequest(pipeline_id=step["pipeline"]), **scope(step))
    return {"status": STATUS[response.status], "error": response.error_message}


def about(info):
    return {
        "pipeline": info.pipeline_id,
        "name": info.name,
        "category": info.category,
        "description": info.description,
        "usage_count": info.usage_count,
        "has_definition": info.HasField("definition"),
    }


@operation
def list_pipelines(client, step):
    """category, include_definitions -> pipelines"""
    request = pb.ListPipelinesRequest(category=step.get("category", ""), include_definitions=step.get("include_definitions", False))
    response = client.stub.ListPipelines(request, **scope(step))
    return {"pipelines": [about(info) for info in response.pipelines]}


@operation
def pipeline_info(client, step):
    """pipeline -> status, info, metrics, error"""
    request = pb.GetPipelineInfoRequest(pipeline_id=step["pipeline"], include_definition=True, include_metrics=True)
    response = client.stub.GetPipelineInfo(request, **scope(step))
    said = {"status": STATUS[response.status], "error": response.error_message}
    if response.HasField("pipeline_info"):
        said |= {"info": about(response.pipeline_info), "metrics": fields(response.metrics)}
    return said


@operation
def execute_pipeline(client, step):
    """pipeline, input, format -> status, value, execution, error"""
    wire = wire_of(step)
    request = pb.ExecutePipelineRequest(pipeline_id=step["pipeline"], input_data=payload(step, wire), serialization_format=wire)
    response = client.stub.ExecutePipeline(request, **scope(step))
    return {**answer(response, response.output_data, wire), "execution": response.execution_id}


@operation
def stream_pipeline(client, step):
    """pipeline, inputs, controls (sent after the inputs; CLOSE unless told otherwise), format -> events, in order"""
    wire = wire_of(step)

    def requests():
        init = pb.StreamPipelineInit(pipeline_id=step["pipeline"], serialization_format=wire)
        yield pb.StreamPipelineRequest(init=init)
        for value in step.get("inputs", []):
            yield pb.StreamPipelineRequest(data=values.encode(values.from_plain(value), wire))
        for control in step.get("controls", ["CLOSE"]):
            yield pb.StreamPipelineRequest(control=pb.StreamControl(type=pb.StreamControl.ControlType.Value(control)))

    events = []
    for response in client.stub.StreamPipeline(requests(), **scope(step)):
        kind = response.WhichOneof("payload")
        if kind == "data":
            events.append({"data": values.to_plain(values.decode(response.data, wire))})
        else:
            inner = getattr(response, kind)
            events.append({kind: inner if kind == "error" else fields(inner)})
    return {"events": events}


# --- About the service ---------------------------------------------------------------------------------------------------


@operation
def status(client, step):
    """include_metrics -> status (1 is healthy), version, uptime_seconds, metrics"""
    request = pb.StatusRequest(include_metrics=step.get("include_metrics", False), include_sessions=True)
    response = client.stub.GetStatus(request, **scope(step))
    said = {"status": response.status, "version": response.version, "uptime_seconds": response.uptime_seconds}
    said["metrics"] = fields(response.metrics) if response.HasField("metrics") else None
    return said


@operation
def list_nodes(client, step):
    """category -> nodes"""
    response = client.stub.ListNodes(pb.ListNodesRequest(category=step.get("category", "")), **scope(step))
    return {"nodes": [{"type": n.node_type, "category": n.category, "description": n.description} for n in response.available_nodes]}


@operation
def typescript(client, step):
    response = client.stub.ExportTypeScriptDefinitions(pb.ExportTypeScriptRequest(), **scope(step))
    return {"status": STATUS[response.status], "text": response.typescript_definitions, "version": response.version}


@operation
def health(client, step):
    """service -> status, such as SERVING"""
    response = client.health.Check(health_pb2.HealthCheckRequest(service=step.get("service", "")), **scope(step))
    return {"status": health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)}


@operation
def watch(client, step):
    """service -> status: the first one that the watch tells"""
    response = next(client.health.Watch(health_pb2.HealthCheckRequest(service=step.get("service", "")), **scope(step)))
    return {"status": health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)}


@operation
def raw(client, step):
    """method, message (base64) -> bytes (base64): any unary rpc with any bytes"""
    path = f"/remotemedia.execution.RemoteExecutionService/{step['method']}"
    call = client.channel.unary_unary(path, request_serializer=None, response_deserializer=None)
    response = call(base64.b64decode(step.get("message", "")), **scope(step))
    return {"bytes": base64.b64encode(response).decode()}


@operation
def reconnect(client, step):
    client.close()
    client.connect()
    return {}
