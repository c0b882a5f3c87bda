"""A client in another language, made from proto/ alone: it proves that the contract is enough.

Usage: client.py HOST:PORT PROTO_DIR SCRATCH_DIR

Needs grpcio and grpcio-tools. Prints "ok" and ends with 0 when the server keeps the contract.
"""

import queue
import sys
import uuid

import grpc
from grpc_tools import protoc

ADDRESS, PROTO, SCRATCH = sys.argv[1:4]
DEADLINE = 10


def generate():
    """Compiles the contract and imports what comes out."""
    import grpc_tools
    import os

    well_known = os.path.join(os.path.dirname(grpc_tools.__file__), "_proto")
    files = ["sns/v1/sns.proto", "sns/v1/router.proto"]
    arguments = ["protoc", f"-I{PROTO}", f"-I{well_known}"]
    arguments += [f"--python_out={SCRATCH}", f"--grpc_python_out={SCRATCH}"]
    assert protoc.main(arguments + files) == 0, "protoc refused proto/"
    sys.path.insert(0, SCRATCH)
    from sns.v1 import sns_pb2, sns_pb2_grpc

    return sns_pb2, sns_pb2_grpc


pb, stubs = generate()


def reason_of(error):
    """The ErrorReason in the details of a status, without a package for google.rpc."""
    details = dict(error.trailing_metadata()).get("grpc-status-details-bin", b"")
    for name in pb.ErrorReason.keys():
        short = name.removeprefix("ERROR_REASON_").encode()
        # ErrorInfo: field 1 is the reason, field 2 the domain "sns".
        if b"\n" + bytes([len(short)]) + short + b"\x12\x03sns" in details:
            return short.decode()
    return None


def refused(call, code, reason):
    """`call` must end with this code and reason."""
    try:
        call()
    except grpc.RpcError as error:
        got = (error.code(), reason_of(error))
        assert got == (code, reason), f"{got} is not {(code, reason)}: {error.details()}"
        return
    raise AssertionError(f"not refused as {reason}")


class Caller:
    """One user and its token."""

    def __init__(self, api, name):
        self.api = api
        self.login = api.Login(pb.LoginRequest(username=name), timeout=DEADLINE)
        self.name = self.login.username
        self.metadata = [("authorization", f"Bearer {self.login.token}")]

    def call(self, method, request):
        return getattr(self.api, method)(request, metadata=self.metadata, timeout=DEADLINE)


def login_and_follow(api, alice, bob):
    assert alice.login.created and alice.name == alice.name.lower()
    again = api.Login(pb.LoginRequest(username=alice.name), timeout=DEADLINE)
    assert not again.created and again.seq >= alice.login.seq > 0
    request = pb.FollowRequest(username=bob.name.upper(), request_id=str(uuid.uuid4()))
    first = alice.call("Follow", request)
    assert alice.call("Follow", request).seq == first.seq, "a retry gives the first outcome"
    request.request_id = str(uuid.uuid4())
    refused(
        lambda: alice.call("Follow", request),
        grpc.StatusCode.ALREADY_EXISTS,
        "ALREADY_FOLLOWING",
    )
    refused(
        lambda: api.Follow(pb.FollowRequest(username=bob.name), timeout=DEADLINE),
        grpc.StatusCode.UNAUTHENTICATED,
        "TOKEN_MISSING",
    )
    followers = bob.call("ListUsers", pb.ListUsersRequest(filter=pb.USER_FILTER_FOLLOWERS))
    assert [user.username for user in followers.users] == [alice.name]


def pages(alice, bob):
    made = []
    for number in range(7):
        post = bob.call("CreatePost", pb.CreatePostRequest(text=f"post {number} \u00e9\n")).post
        assert post.author == bob.name and post.created_at.seconds > 0
        made.append(post.id)
    assert made == sorted(made)
    seen, token = [], ""
    while True:
        page = alice.call(
            "GetHomeTimeline",
            pb.GetHomeTimelineRequest(page_size=3, page_token=token, at_least=made[-1]),
        )
        seen += [post.id for post in page.posts]
        token = page.next_page_token
        if not token:
            break
    assert seen == made[::-1], f"{seen} is not {made[::-1]}"
    refused(
        lambda: alice.call("GetHomeTimeline", pb.GetHomeTimelineRequest(page_size=-1)),
        grpc.StatusCode.INVALID_ARGUMENT,
        "PAGE_SIZE_INVALID",
    )
    refused(
        lambda: alice.call("GetUserTimeline", pb.GetUserTimelineRequest(username="nobody_here")),
        grpc.StatusCode.NOT_FOUND,
        "USER_NOT_FOUND",
    )
    bob.call("DeletePost", pb.DeletePostRequest(id=made[0]))
    left = alice.call(
        "GetUserTimeline", pb.GetUserTimelineRequest(username=bob.name, linearizable=True)
    )
    assert [post.id for post in left.posts] == made[:0:-1]
    return made[1:]


def timeline(alice, bob, posts):
    requests = queue.Queue(maxsize=16)
    requests.put(pb.TimelineRequest(open=pb.TimelineOpen(backlog=2)))
    stream = alice.api.Timeline(
        iter(requests.get, None), metadata=alice.metadata, timeout=3 * DEADLINE
    )
    backlog = [next(stream) for _ in range(2)]
    assert [response.post.id for response in backlog] == posts[-2:], "oldest first"
    assert next(stream).HasField("heartbeat"), "caught up"

    live = bob.call("CreatePost", pb.CreatePostRequest(text="live")).post
    response = next(stream)
    assert response.post.id == response.seq == live.id

    mine = str(uuid.uuid4())
    requests.put(pb.TimelineRequest(post=pb.TimelinePost(text="mine", request_id=mine)))
    requests.put(pb.TimelineRequest(post=pb.TimelinePost(text="")))
    answers, down = [], []
    while len(answers) < 2 or not down:
        response = next(stream)
        which = response.WhichOneof("response")
        if which == "post":
            down.append(response.post)
        else:
            assert response.seq == 0
            answers.append(getattr(response, which))
    posted, refusal = answers
    assert posted.request_id == mine and posted.post.id == down[0].id
    assert refusal.reason == pb.ERROR_REASON_TEXT_INVALID and refusal.code == 3

    bob.call("DeletePost", pb.DeletePostRequest(id=live.id))
    response = next(stream)
    assert response.deleted.id == live.id and response.seq > down[0].id

    # Half-closed, it goes on reading.
    requests.put(None)
    last = bob.call("CreatePost", pb.CreatePostRequest(text="last")).post
    response = next(stream)
    assert response.post.id == last.id
    stream.cancel()

    # Resumed by seq: what was missed, then caught up.
    missed = bob.call("CreatePost", pb.CreatePostRequest(text="missed")).post
    resume = pb.TimelineRequest(open=pb.TimelineOpen(after_seq=last.id))
    stream = alice.api.Timeline(iter([resume]), metadata=alice.metadata, timeout=DEADLINE)
    assert next(stream).post.id == missed.id
    assert next(stream).HasField("heartbeat")
    stream.cancel()

    stream = alice.api.Timeline(
        iter([pb.TimelineRequest(post=pb.TimelinePost(text="x"))]),
        metadata=alice.metadata,
        timeout=DEADLINE,
    )
    refused(lambda: next(stream), grpc.StatusCode.INVALID_ARGUMENT, "STREAM_PROTOCOL")


def health_and_reflection(channel):
    check = channel.unary_unary("/grpc.health.v1.Health/Check")
    for name in (b"", b"sns.v1.SnsService"):
        request = b"" if not name else b"\n" + bytes([len(name)]) + name
        # HealthCheckResponse: field 1, SERVING = 1.
        assert check(request, timeout=DEADLINE) == b"\x08\x01"
    for version in ("v1", "v1alpha"):
        method = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
        info = channel.stream_stream(method)
        # ServerReflectionRequest: field 7 = list_services.
        answer = next(info(iter([b"\x3a\x01*"]), timeout=DEADLINE))
        assert b"sns.v1.SnsService" in answer and b"RouterService" not in answer
        # Field 4 = file_containing_symbol.
        symbol = b"sns.v1.SnsService"
        request = b"\x22" + bytes([len(symbol)]) + symbol
        answer = next(info(iter([request]), timeout=DEADLINE))
        assert b"GetHomeTimeline" in answer


def main():
    with grpc.insecure_channel(ADDRESS) as channel:
        api = stubs.SnsServiceStub(channel)
        suffix = uuid.uuid4().hex[:8]
        alice, bob = Caller(api, f"Alice_{suffix}"), Caller(api, f"bob_{suffix}")
        login_and_follow(api, alice, bob)
        timeline(alice, bob, pages(alice, bob))
        health_and_reflection(channel)
    print("ok")


main()
