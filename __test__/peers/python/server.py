"""Problem: what the project's client does against the server that people run has to be seen, not thought.

Answer: a server with grpcio, pickle and numpy that behaves in every exchange of protocol v0 as RemoteMedia's own does, quirks
included. No TLS, no token, no limits on messages, as there.

    python server.py [--port 0] [--host 127.0.0.1] [--proto DIR] [--numpy1] [--until-stdin-closes]

It says `listening PORT` once it answers. --numpy1 names numpy's functions in pickles as numpy 1 did.
"""

import argparse
import asyncio
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

import protocol
import values


def arguments():
    parser = argparse.ArgumentParser(description="A RemoteMedia v0 server for tests")
    parser.add_argument("--port", type=int, default=50052)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--proto")
    parser.add_argument("--numpy1", action="store_true")
    parser.add_argument("--until-stdin-closes", action="store_true")
    return parser.parse_args()


class Health(health_pb2_grpc.HealthServicer):
    """SERVING for any name. Watch is not there."""

    async def Check(self, request, context):
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


async def main(options):
    # Only now: it is built on the stubs.
    import service

    server = grpc.aio.server(
        options=[("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)]
    )
    protocol.pb_grpc.add_RemoteExecutionServiceServicer_to_server(service.Service(), server)
    health_pb2_grpc.add_HealthServicer_to_server(Health(), server)
    port = server.add_insecure_port(f"{options.host}:{options.port}")
    await server.start()
    print(f"listening {port}", flush=True)
    if options.until_stdin_closes:
        # Whoever started this may be killed without a chance to say so.
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
        await server.stop(0)
    else:
        await server.wait_for_termination()


if __name__ == "__main__":
    chosen = arguments()
    values.Pickles.numpy1 = chosen.numpy1
    protocol.load(chosen.proto)
    asyncio.run(main(chosen))
