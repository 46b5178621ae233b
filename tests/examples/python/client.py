"""Sends a command, reads a lane and watches another one, by gRPC: client.py [HOST:PORT] [SEQUENCE]"""

import json
import random
import sys
import time

import grpc
from grpc import StatusCode
from shoal.v1 import lanes_pb2, lanes_pb2_grpc

# With a sequence it is the key of a command. It stays the same from run to run; another program has another one.
CLIENT = "example-python"
FLIGHT = {"carrier": "UA", "flight": 1545, "tailnum": "N24211", "origin": "JFK", "dest": "IAH", "distance": 1416,
          "month": 1, "day": 1, "sched_dep_time": 529, "dep_time": 546, "dep_delay": 17}
# A node that is gone without a word is noticed within 40 s, also while nothing happens on a lane.
OPTIONS = [("grpc.keepalive_time_ms", 30_000), ("grpc.keepalive_timeout_ms", 10_000),
           ("grpc.http2.max_pings_without_data", 0)]


def pause(error):
    """Waits until the call may be made again. A refusal that is final is raised."""
    told = dict(error.trailing_metadata() or ())
    lost = error.code() in (StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED, StatusCode.CANCELLED)
    if not lost and told.get("shoal-code") != "429":
        raise error
    print("again soon:", error.details())
    # Clients that have lost the same node do not all come at once.
    time.sleep(int(told.get("shoal-retry-after", 0)) + random.uniform(0.1, 1))


def call(method, request):
    """Makes the call until it is answered."""
    while True:
        try:
            return method(request, timeout=10)
        except grpc.RpcError as error:
            pause(error)


def send(lanes, agent, lane, body, sequence):
    """Sends a command. By its key it has one effect, however often it is sent."""
    request = lanes_pb2.SendRequest(agent=agent, lane=lane, body=json.dumps(body).encode(),
                                    client=CLIENT, sequence=sequence)
    return call(lanes.Send, request).version


def read(lanes, agent, lane):
    """Reads a Value or Map lane, with everything that was acknowledged before."""
    return json.loads(call(lanes.Get, lanes_pb2.GetRequest(agent=agent, lane=lane)).body)


def watch(lanes, agent, lane):
    """Yields the state of a Map lane, and again whenever it has changed."""
    state, token = {}, 0  # 0: from the beginning, which is told by a reset
    while True:
        try:
            for response in lanes.Watch(lanes_pb2.WatchRequest(agent=agent, lane=lane, **{"from": token})):
                for event in response.events:
                    fold(state, event)
                    if event.kind == lanes_pb2.EVENT_KIND_RESET:
                        token = 0  # what it stood for was dropped
                    if event.HasField("id"):  # everything of the lane up to here has come
                        token = event.id
                        yield state
        except grpc.RpcError as error:
            print("the watch ended after", token)
            pause(error)


def fold(state, event):
    """Changes the state of a Map lane as an event says."""
    match lanes_pb2.EventKind.Name(event.kind):
        case "EVENT_KIND_UPDATE":
            state[json.loads(event.key)] = json.loads(event.value)
        case "EVENT_KIND_REMOVE":
            state.pop(json.loads(event.key), None)
        case "EVENT_KIND_CLEAR":
            state.clear()
        case "EVENT_KIND_RESET":  # all of it follows
            print("reset")
            state.clear()


def main(at="localhost:7777", sequence="1"):
    with grpc.insecure_channel(at, options=OPTIONS) as channel:
        lanes = lanes_pb2_grpc.LanesStub(channel)
        try:
            print("sent:", send(lanes, "/airport/JFK", "departed", FLIGHT, int(sequence)))
            print("late:", read(lanes, "/airport/JFK", "late"))
            for state in watch(lanes, "/carrier/UA", "from"):
                print("from:", json.dumps(state))
        except grpc.RpcError as error:
            at = dict(error.trailing_metadata() or ()).get("shoal-at")
            sys.exit(f"{error.code().name}: {error.details()} (at {at})")


if __name__ == "__main__":
    main(*sys.argv[1:])
