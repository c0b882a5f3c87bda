"""The course's client as far as its wire and its words go: one channel, one address, no second try.

Usage: course_client.py HOST:PORT PROTO_DIR STUBS_DIR USERNAME

Reads lines: FOLLOW name, UNFOLLOW name, LIST, TIMELINE; after TIMELINE every line is a post, and there
is no way back. Needs grpcio and grpcio-tools; makes the stubs in STUBS_DIR once.

With SCRAMBLED_CLOCK=1 the timestamps that it sends jump back and forth.
"""

import os
import random
import sys
import threading
import time

import grpc

ADDRESS, PROTO, STUBS, USERNAME = sys.argv[1:5]


def generate():
    """Compiles the course's proto and imports what comes out."""
    if not os.path.exists(os.path.join(STUBS, "csce438", "sns_pb2_grpc.py")):
        import grpc_tools
        from grpc_tools import protoc

        well_known = os.path.join(os.path.dirname(grpc_tools.__file__), "_proto")
        arguments = ["protoc", f"-I{PROTO}", f"-I{well_known}"]
        arguments += [f"--python_out={STUBS}", f"--grpc_python_out={STUBS}", "csce438/sns.proto"]
        assert protoc.main(arguments) == 0, "protoc refused the course's proto"
    sys.path.insert(0, STUBS)
    from csce438 import sns_pb2, sns_pb2_grpc

    return sns_pb2, sns_pb2_grpc


pb, stubs = generate()


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def clock():
    """The time in whole seconds, as far as this machine knows."""
    if os.environ.get("SCRAMBLED_CLOCK"):
        return random.randrange(2**31)
    return int(time.time())


KNOWN = {
    "FOLLOW": ["Follow Successful", "you have already joined", "unknown follower username"],
    "UNFOLLOW": ["UnFollow Successful", "unknown follower username", "you are not follower"],
}


def command(api, line):
    """One command; says what the reply was, and whether the client knows these words."""
    words = line.split()
    name = words[0].upper()
    request = pb.Request(username=USERNAME, arguments=words[1:])
    try:
        if name == "LIST":
            reply = api.List(request)
            say("all: " + " ".join(reply.all_users))
            say("followers: " + " ".join(reply.followers))
            say("Command completed successfully")
            return
        call = api.Follow if name == "FOLLOW" else api.UnFollow
        msg = call(request).msg
    except grpc.RpcError as error:
        say(f"failed: {error.code().name}")
        return
    if msg not in KNOWN[name]:
        say("unknown reason")
    elif msg.endswith("Successful"):
        say("Command completed successfully")
    else:
        say(msg)


def listen(stream):
    """Prints what comes down. A stream that ends ends the client: it never opens a second one."""
    try:
        for message in stream:
            sys.stdout.write(f"{message.username}({message.timestamp.seconds}) >> {message.msg}")
            sys.stdout.flush()
        say("the stream ended")
    except grpc.RpcError as error:
        say(f"the stream broke: {error.code().name}")
    os._exit(1)


def message(text):
    made = pb.Message(username=USERNAME, msg=text)
    made.timestamp.seconds = clock()
    return made


def timeline(api, lines):
    def typed():
        yield message("Set Stream")
        for line in lines:
            yield message(line)
        # Nobody types any more; the stream stays open.
        threading.Event().wait()

    stream = api.Timeline(typed())
    listen(stream)


def main():
    with grpc.insecure_channel(ADDRESS) as channel:
        api = stubs.SNSServiceStub(channel)
        try:
            api.Login(pb.Request(username=USERNAME))
        except grpc.RpcError as error:
            say("connection failed: -1")
            sys.stderr.write(f"{error.code().name}: {error.details()}\n")
            sys.exit(1)
        say("logged in")
        for line in sys.stdin:
            if line.strip().upper() == "TIMELINE":
                say("Command completed successfully")
                timeline(api, sys.stdin)
            if line.strip():
                command(api, line)


main()
