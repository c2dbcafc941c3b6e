"""What the scripts of any_client share: a user's view of the bus, through PyPI's nats-py and msgpack alone."""

import asyncio
import hashlib
import json
import time

import msgpack
import nats
from nats.js.errors import NotFoundError

# How long anything may take that is bound to happen: a loaded machine is slow.
PATIENCE_SECONDS = 60

NO_HASH = "0" * 64


class Json:
    content_type = "application/json"
    encode = staticmethod(lambda body: json.dumps(body).encode())
    decode = staticmethod(json.loads)


class MessagePack:
    content_type = "application/msgpack"
    encode = staticmethod(msgpack.packb)

    @staticmethod
    def decode(payload):
        value = msgpack.unpackb(payload, strict_map_key=True)
        assert isinstance(value, dict), f"an answer that is no map: {value!r}"
        assert only_text_keys(value), f"a map with keys that are not text: {value!r}"
        return value


def only_text_keys(value):
    if isinstance(value, dict):
        return all(isinstance(key, str) and only_text_keys(below) for key, below in value.items())
    return not isinstance(value, list) or all(only_text_keys(below) for below in value)


def has(expected, found):
    """Whether `found` holds all that `expected` names."""
    return all(found.get(name) == value for name, value in expected.items())


async def connect(url):
    return await nats.connect(url, connect_timeout=PATIENCE_SECONDS)


async def request(nc, subject, body=None, codec=Json, headers=None):
    """Asks; the answer decoded, and its headers. Without a body the payload is empty."""
    payload = b"" if body is None else codec.encode(body)
    message = await nc.request(subject, payload, timeout=PATIENCE_SECONDS, headers=headers)
    # An empty question is answered in JSON.
    codec = codec if payload else Json
    assert message.headers["Content-Type"] == codec.content_type, message.headers
    return codec.decode(message.data), message.headers


async def ask(nc, subject, body=None, codec=Json, headers=None):
    """Asks, and expects an answer that is no error."""
    answer, _ = await request(nc, subject, body, codec, headers)
    assert "error" not in answer, f"{subject} {body}: {answer['error']}"
    return answer


async def refused(nc, subject, body, code, codec=Json, headers=None):
    """Asks, and expects the error; its body."""
    answer, found = await request(nc, subject, body, codec, headers)
    error = answer.get("error", {})
    assert error.get("code") == code, f"{subject} {body}: expected {code}, got {answer}"
    assert error["name"] and error["message"], error
    assert found["Nats-Service-Error"] == error["message"].replace("\n", " ").replace("\r", " "), found
    assert found["Nats-Service-Error-Code"].isdigit(), found
    return error


async def until(question, what):
    """Asks `question` until it answers something true."""
    started = time.monotonic()
    while True:
        answer = await question()
        if answer:
            return answer
        assert time.monotonic() - started < PATIENCE_SECONDS, f"never happened: {what}"
        await asyncio.sleep(0.02)


async def messages(nc, stream):
    """Every message of a stream from which nothing was deleted."""
    js = nc.jetstream()
    state = (await js.stream_info(stream)).state
    numbers = range(state.first_seq, state.last_seq + 1) if state.messages else []
    found = [await js.get_msg(stream, seq=number) for number in numbers]
    assert len(found) == state.messages, f"{stream} has gaps"
    return found


async def streamed(nc, stream, **wanted):
    """The records of a stream that have these fields, in its order."""
    try:
        records = [json.loads(message.data) for message in await messages(nc, stream)]
    except NotFoundError:
        return []
    return [record for record in records if has(wanted, record)]


def check_each_once(records, key):
    keys = [key(record) for record in records]
    assert len(set(keys)) == len(keys), f"told more than once: {keys}"


async def audit_up_to(nc, index):
    """The audit stream, once it tells of the entry `index` or a later one."""

    async def so_far():
        records = await streamed(nc, "BIOXEN_AUDIT")
        return records if records and records[-1]["index"] >= index else None

    return await until(so_far, f"audit of entry {index}")


def check_chain(records):
    """The audit stream's chain, computed again: each record's hash is of its own JSON without `hash`."""
    previous = NO_HASH
    for number, record in enumerate(records, start=1):
        assert record["number"] == number, record
        assert record["previous_hash"] == previous, f"record {number} does not follow the one before"
        bare = {name: value for name, value in record.items() if name != "hash"}
        written = json.dumps(bare, separators=(",", ":"), ensure_ascii=False)
        assert record["hash"] == hashlib.sha256(written.encode()).hexdigest(), f"record {number} was altered"
        previous = record["hash"]
    return len(records)
