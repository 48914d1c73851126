"""Questions to a language model behind any OpenAI-compatible endpoint, over HTTP; every way to fail is one line."""

from __future__ import annotations

import http.client
import json
import math
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import IO, Any
from urllib.parse import urlsplit

from vlsearch import __version__
from vlsearch.errors import UsageError, VlsearchError

KEYS = ("VLSEARCH_API_KEY", "OPENAI_API_KEY")
"""environment variables that may hold the key, the first one that does"""
TRIES = 3
LONGEST_WAIT = 60.0
"""seconds: an endpoint that asks for more is left alone until another run"""
LARGEST = 1 << 18
"""bytes of an answer: hundreds of times what was asked for"""
STYLE = "Answer in one sentence of plain text, without a list. Say what can be seen."


class NoAnswer(VlsearchError):
    """The endpoint did not answer, or not with an answer. `again`: it may do so soon, after `wait` seconds if given."""

    def __init__(self, message: str, again: bool = False, wait: float | None = None) -> None:
        super().__init__(message)
        self.again, self.wait = again, wait


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect could carry the key to another host."""

    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(frozen=True)
class Chat:
    """A language model. Raises UsageError for an endpoint that is no http(s) address, or a key that cannot be one."""

    endpoint: str
    """address up to /chat/completions, which is added"""
    model: str
    temperature: float = 0.99
    timeout: float = 60.0
    """seconds for one answer"""
    key: str | None = field(default=None, repr=False)
    sleep: Callable[[float], object] = field(default=time.sleep, repr=False)

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.endpoint)
            valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            valid = False
        if not valid or any(c.isspace() or not c.isprintable() or not c.isascii() for c in self.endpoint):
            raise UsageError(f"{self.endpoint!r} is no endpoint; give one such as https://host/v1")
        if parts.username is not None or parts.password is not None:
            raise UsageError(f"the endpoint holds a password; set {KEYS[0]} to it instead")
        if parts.query or parts.fragment:
            raise UsageError("the endpoint ends in ?… or #…; give the address that /chat/completions is added to")
        if self.key is not None and not (self.key.isascii() and self.key.isprintable() and " " not in self.key):
            raise UsageError("the key in the environment holds a space, or a letter that no key has; set it again")

    def ask(self, question: str, n: int = 1) -> list[str]:
        """At least one answer, at most n. Tries three times where it may help, as late as the endpoint asks for.

        Raises NoAnswer with what went wrong and what to do.
        """
        for attempt in range(1, TRIES + 1):
            try:
                return self._once(question, n)
            except NoAnswer as error:
                if not error.again or attempt == TRIES:
                    raise
                if error.wait is not None and error.wait > LONGEST_WAIT:
                    asked = f"{error.wait:.0f} s" if math.isfinite(error.wait) else "a long time"
                    raise NoAnswer(f"{error}; it asks to wait {asked}, so run this again then") from None
                self.sleep(2.0 ** (attempt - 1) if error.wait is None else error.wait)
        raise AssertionError("unreachable")

    def _once(self, question: str, n: int) -> list[str]:
        url = self.endpoint.rstrip("/").removesuffix("/chat/completions") + "/chat/completions"
        messages = [{"role": "system", "content": STYLE}, {"role": "user", "content": question}]
        body = {"model": self.model, "messages": messages, "n": n, "temperature": self.temperature}
        headers = {"Content-Type": "application/json", "User-Agent": f"vlsearch/{__version__}"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
        deadline = time.monotonic() + self.timeout
        try:
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=self.timeout) as response:
                data = self._read(response, deadline)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error) from None
        except (TimeoutError, urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
            raise self._unreachable(error) from None
        return answers_in(data)[:n]

    def _read(self, response: http.client.HTTPResponse, deadline: float) -> bytes:
        data = b""
        while part := response.read1(1 << 16):
            data += part
            if len(data) > LARGEST:
                raise NoAnswer(f"the answer is larger than {LARGEST >> 10} KiB; ask another --model")
            if time.monotonic() > deadline:
                raise TimeoutError
        if response.length:
            raise http.client.IncompleteRead(data, response.length)
        return data

    def _unreachable(self, error: Exception) -> NoAnswer:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, TimeoutError):
            return NoAnswer(f"no answer within {self.timeout:g} s; run this again, or with a longer --timeout", True)
        if isinstance(reason, http.client.IncompleteRead):
            said = "its answer breaks off"
        elif isinstance(reason, OSError):
            said = reason.strerror or str(reason)
        else:
            said = "it does not speak HTTP"
        return NoAnswer(f"cannot reach the endpoint ({self._safe(said)}); check --endpoint, then run this again", True)

    def _refused(self, error: urllib.error.HTTPError) -> NoAnswer:
        """What an answer with another status than 200 comes to."""
        code, said = error.code, self._reason(error)
        if code in (401, 403):
            names = " or ".join(KEYS)
            return NoAnswer(f"the endpoint refuses the key ({code}{said}); set {names} to one that it takes")
        if code == 429:
            message = f"the endpoint has had too many questions (429{said}); run this again later"
            return NoAnswer(message, True, wait_of(error.headers.get("Retry-After")))
        if code >= 500:
            message = f"the endpoint fails ({code}{said}); run this again later"
            return NoAnswer(message, True, wait_of(error.headers.get("Retry-After")))
        if 300 <= code < 400:
            place = urlsplit(error.headers.get("Location") or "").hostname or "another place"
            return NoAnswer(f"the endpoint sends us to {self._safe(place)} ({code}); give --endpoint that address")
        return NoAnswer(f"the endpoint refuses the question ({code}{said}); check --endpoint and --model")

    def _reason(self, error: IO[bytes]) -> str:
        """The message in an error's body, where it holds one as OpenAI writes it."""
        try:
            told = json.loads(error.read(1 << 14))["error"]
            message = told if isinstance(told, str) else told["message"]
            return f": {self._safe(message)}" if isinstance(message, str) and message.strip() else ""
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, RecursionError):
            return ""

    def _safe(self, text: str) -> str:
        """Short, in one line, without the key."""
        if self.key:
            text = text.replace(self.key, "***")
        return " ".join(text.split())[:160].rstrip(".")


def key_from_environment() -> str | None:
    return next((value.strip() for name in KEYS if (value := os.environ.get(name, "")).strip()), None)


def wait_of(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for: a number or a date; None where it is neither."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return None
    return None if math.isnan(seconds) else max(0.0, seconds)


def answers_in(data: bytes) -> list[str]:
    """The texts of a chat completion, at least one. Raises NoAnswer for anything else."""
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        kind = "a web page" if data.lstrip()[:1] == b"<" else "nothing" if not data.strip() else "no JSON"
        raise NoAnswer(f"the endpoint answers with {kind}; check --endpoint, which often ends in /v1") from None
    choices = told.get("choices") if isinstance(told, dict) else None
    if not isinstance(choices, list) or not choices:
        raise NoAnswer("the endpoint answers with JSON that holds no choices; check --endpoint and --model")
    contents = []
    for choice in choices:
        message = choice.get("message") if isinstance(choice, dict) else None
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, str) and content.strip():
            contents.append(content.strip().encode("utf-8", "replace").decode())
    if not contents:
        raise NoAnswer("the model answers with an empty text; ask another --model, or other --questions")
    return contents
