"""Problem: RemoteMedia's users have Python clients, and the project's service has to answer them as they expect.

Answer: a client with grpcio, pickle and numpy that does what it is told in JSON on stdin, and prints the results as JSON.

    python client.py HOST:PORT [--proto DIR] [--ca FILE [--cert FILE --key FILE] [--authority NAME]]

On stdin: a list of exchanges, `{"op": NAME, ...}`; see exchanges.py for what each takes. All of them take `timeout` (seconds) and
`metadata`. They go one after another over one connection; `{"op": "reconnect"}` takes a new one, `{"op": "parallel", "steps": [...]}`
has several at once, and `{"$from": [index, key]}` stands for a field of an earlier result.

On stdout: a list with one result each, `{"ok": true, ...}`, `{"ok": false, "grpc": "UNAVAILABLE", "details": "..."}` where gRPC itself
failed, or `{"ok": false, "exception": "..."}` where the client could not use what came.

Values are in the plain form of values.py both ways. Formats are pickle unless an exchange says otherwise, and configuration values become
strings by `str`, as with RemoteMedia's own client.
"""

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health_pb2_grpc

import protocol


class Client:
    """One connection. gRPC's own limit of 4 MiB for what comes back holds, as with RemoteMedia's client."""

    def __init__(self, address, options):
        self.address, self.options = address, options
        self.connect()

    def connect(self):
        # Otherwise grpc shares connections between channels to the same address, and "another connection" would be the same.
        settings = [("grpc.use_local_subchannel_pool", 1)]
        if self.options.authority:
            settings.append(("grpc.ssl_target_name_override", self.options.authority))
        if self.options.ca:
            read = [open(name, "rb").read() if name else None for name in (self.options.ca, self.options.key, self.options.cert)]
            self.channel = grpc.secure_channel(self.address, grpc.ssl_channel_credentials(*read), settings)
        else:
            self.channel = grpc.insecure_channel(self.address, settings)
        self.stub = protocol.pb_grpc.RemoteExecutionServiceStub(self.channel)
        self.health = health_pb2_grpc.HealthStub(self.channel)

    def close(self):
        self.channel.close()


def run(client, step):
    # Only now: it is built on the stubs.
    import exchanges

    if step["op"] == "parallel":
        with ThreadPoolExecutor(len(step["steps"])) as pool:
            return {"ok": True, "results": list(pool.map(lambda one: run(client, one), step["steps"]))}
    try:
        return {"ok": True, **exchanges.OPERATIONS[step["op"]](client, step)}
    except grpc.RpcError as error:
        return {"ok": False, "grpc": error.code().name, "details": error.details()}
    except Exception as error:
        return {"ok": False, "exception": f"{type(error).__name__}: {error}"}


def main():
    parser = argparse.ArgumentParser(description="A RemoteMedia v0 client for tests")
    parser.add_argument("address")
    for name in ("proto", "ca", "cert", "key", "authority"):
        parser.add_argument(f"--{name}")
    options = parser.parse_args()
    protocol.load(options.proto)
    client = Client(options.address, options)
    results = []
    for step in json.load(sys.stdin):
        results.append(run(client, resolve(step, results)))
    client.close()
    json.dump(results, sys.stdout)


def resolve(value, results):
    """The value with earlier results filled in."""
    if isinstance(value, list):
        return [resolve(item, results) for item in value]
    if not isinstance(value, dict):
        return value
    if list(value) == ["$from"]:
        index, key = value["$from"]
        return results[index][key]
    return {key: resolve(item, results) for key, item in value.items()}


if __name__ == "__main__":
    main()
