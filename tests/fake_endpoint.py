"""A server on a real socket that speaks OpenAI's chat completions, or breaks them in whatever way it is told to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    wait: float = 0
    length: int | None = None
    """what Content-Length says, if not the truth"""


def completion(*texts: str | None) -> bytes:
    choices = [{"index": i, "message": {"role": "assistant", "content": text}} for i, text in enumerate(texts)]
    return json.dumps({"id": "1", "object": "chat.completion", "choices": choices}).encode()


@dataclass
class Endpoint:
    url: str
    reply: Callable[[dict[str, Any], int], Reply]
    """from the request's JSON and its number, from 1"""
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def serving() -> Iterator[Endpoint]:
    """Answers n times with the question itself, until a test gives it another `reply`."""

    def parrot(request: dict[str, Any], _number: int) -> Reply:
        question = request["messages"][-1]["content"]
        return Reply(completion(*[f"Answer {n} to {question}." for n in range(request["n"])]))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert self.path == "/v1/chat/completions"
            here.asked.append(told)
            here.headers.append(dict(self.headers))
            reply = here.reply(told, len(here.asked))
            time.sleep(reply.wait)
            try:
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body) if reply.length is None else reply.length))
                self.end_headers()
                self.wfile.write(reply.body)
            except OSError:
                pass  # who asked has hung up

        def log_message(self, *_: Any) -> None:
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here = Endpoint(f"http://127.0.0.1:{server.server_port}/v1", parrot)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
