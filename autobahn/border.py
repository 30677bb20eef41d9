"""The border between the suite's cases and the WebSocket library beneath them.

The cases are Python 2: their `str` holds octets. Converted, it still does, one character an octet
(latin-1), and the source of the cases can stay as it is. The library takes and gives `bytes`.
Whatever passes between the two changes its type here. `convert.py` puts the calls in place.
"""


def octets(data: str | bytes) -> bytes:
    return data.encode("latin-1") if isinstance(data, str) else data


def text(data: bytes) -> str:
    return data.decode("latin-1")


def b2a_hex(data: str | bytes) -> str:
    return octets(data).hex()


class Border:
    """Stands between the fuzzing protocols and the library's protocols in their base classes."""

    def sendFrame(self, opcode, payload="", payload_len=None, **options):
        payload = octets(payload)
        if payload_len is not None:
            # The library would repeat the payload too, but divides with `/`.
            payload = (payload * (payload_len // len(payload) + 1))[:payload_len]
        super().sendFrame(opcode=opcode, payload=payload, **options)

    def sendMessage(self, payload, *options, **named_options):
        super().sendMessage(octets(payload), *options, **named_options)

    def sendMessageFrameData(self, payload, sync=False):
        return super().sendMessageFrameData(octets(payload), sync)

    def sendCloseFrame(self, code=None, reasonUtf8=None, isReply=False):
        reason = None if reasonUtf8 is None else octets(reasonUtf8)
        super().sendCloseFrame(code, reason, isReply)

    def _onMessage(self, payload, isBinary):
        # Cases with TESTDATA send what they read from a file, and compare it as bytes.
        keeps_bytes = hasattr(self.runCase, "TESTDATA")
        self.onMessage(payload if keeps_bytes else text(payload), isBinary)

    def _onPong(self, payload):
        self.onPong(text(payload))
