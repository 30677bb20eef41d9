"""Python's websockets against an echo server, plain and compressed."""

import asyncio
import random
import sys

import websockets

SIZES = [0, 1, 125, 126, 1000, 65_535, 65_536, 200_000, 1_048_576]


def text(size: int) -> str:
    words = random.Random(size)
    return "".join(words.choice("abcdefgh ijklmnop") for _ in range(size))


async def echoes(url: str, compression: str | None) -> None:
    async with websockets.connect(url, max_size=None, compression=compression) as socket:
        agreed = "permessage-deflate" in socket.response.headers.get("Sec-WebSocket-Extensions", "")
        assert agreed == (compression is not None), "what was agreed about compression"
        for size in SIZES:
            for message in (text(size), text(size).encode()):
                await socket.send(message)
                assert await socket.recv() == message, f"an echo of {size} bytes"
        await socket.send(["a ", "message ", "of ", "fragments"])
        assert await socket.recv() == "a message of fragments"
        await asyncio.wait_for(await socket.ping(), 5)
        for number in range(1000):
            await socket.send(str(number))
        for number in range(1000):
            assert await socket.recv() == str(number), "the order of pipelined messages"
        await socket.close(4001, "done")
        assert socket.close_code == 4001, "the echo of the close code"


async def too_large(url: str) -> None:
    async with websockets.connect(url, max_size=None, compression=None) as socket:
        await socket.send(bytes(1_048_577))
        try:
            await socket.recv()
        except websockets.ConnectionClosedError as closed:
            assert closed.rcvd is not None and closed.rcvd.code == 1009, "the code for too large"
        else:
            raise AssertionError("a message over the limit was echoed")


async def main(url: str) -> None:
    for compression in (None, "deflate"):
        await echoes(url, compression)
    await too_large(url)
    print("python websockets: 3 conversations passed")


asyncio.run(main(sys.argv[1]))
