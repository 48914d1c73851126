from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from tests.fake_endpoint import Endpoint, Reply, completion, serving
from vlsearch.errors import UnreadableFile, UsageError
from vlsearch.search.chat import LARGEST, Chat, NoAnswer, key_from_environment, wait_of
from vlsearch.search.describe import (
    QUESTIONS,
    Answers,
    Described,
    describe,
    question_for,
    read_questions,
    sentences,
)
from vlsearch.search.prompts import load_descriptions

KEY = "sk-secret-0123456789"


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setenv("no_proxy", "*")
    with serving() as here:
        yield here


def chat(endpoint: Endpoint, **options: Any) -> Chat:
    slept: list[float] = []
    return Chat(endpoint.url, "parrot", **{"sleep": slept.append, **options})


def test_the_request_is_openais(endpoint: Endpoint) -> None:
    answers = chat(endpoint, key=KEY).ask("What does a dog look like?", 3)
    assert answers == [f"Answer {n} to What does a dog look like?." for n in range(3)]
    (asked,), (headers,) = endpoint.asked, endpoint.headers
    assert {name: asked[name] for name in ("model", "n", "temperature")} == {
        "model": "parrot",
        "n": 3,
        "temperature": 0.99,
    }
    assert [m["role"] for m in asked["messages"]] == ["system", "user"]
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert headers["Content-Type"] == "application/json"
    Chat(endpoint.url + "/chat/completions/", "parrot").ask("?")
    assert "Authorization" not in endpoint.headers[1]


@pytest.mark.parametrize(
    ("reply", "says", "tries"),
    [
        (
            Reply(b'{"error": {"message": "Wrong key sk-secret-0123456789"}}', 401),
            "refuses the key (401: Wrong key ***)",
            1,
        ),
        (Reply(b"", 403), "refuses the key (403); set VLSEARCH_API_KEY", 1),
        (Reply(b'{"error": "no such model"}', 404), "refuses the question (404: no such model)", 1),
        (Reply(b"<html>", 400), "refuses the question (400); check --endpoint and --model", 1),
        (Reply(b"", 429), "too many questions (429); run this again later", 3),
        (Reply(b"", 429, {"Retry-After": "3600"}), "it asks to wait 3600 s", 1),
        (Reply(b"", 500), "the endpoint fails (500)", 3),
        (Reply(b"<html>Bad gateway</html>", 502), "the endpoint fails (502)", 3),
        (Reply(b"<!DOCTYPE html><title>Welcome</title>"), "answers with a web page; check --endpoint", 1),
        (Reply(b"hello"), "answers with no JSON", 1),
        (Reply(b""), "answers with nothing", 1),
        (Reply(b"[" * 100_000), "answers with no JSON", 1),
        (Reply(b"\xff\xfe{}"), "answers with no JSON", 1),
        (Reply(b'{"result": 1}'), "JSON that holds no choices", 1),
        (Reply(b"[]"), "JSON that holds no choices", 1),
        (Reply(b'{"choices": []}'), "JSON that holds no choices", 1),
        (Reply(b'{"choices": [1, {"message": {"content": ["x"]}}]}'), "answers with an empty text", 1),
        (Reply(completion("", " \n", None)), "answers with an empty text", 1),
        (Reply(completion("word " * 200_000)), "the answer is larger than 256 KiB", 1),
        (Reply(completion("x"), length=9999), "its answer breaks off", 3),
        (Reply(b"", 302, {"Location": "http://127.0.0.2:9/steal"}), "sends us to 127.0.0.2 (302)", 1),
        (Reply(b"", 307, {"Location": "ftp://elsewhere/"}), "sends us to elsewhere (307)", 1),
        (Reply(completion("x"), wait=0.5), "no answer within 0.2 s", 3),
    ],
    ids=lambda value: value.replace(" ", "-")[:40] if isinstance(value, str) else None,
)
def test_each_failure_is_one_line(endpoint: Endpoint, reply: Reply, says: str, tries: int) -> None:
    endpoint.reply = lambda *_: reply
    with pytest.raises(NoAnswer) as raised:
        chat(endpoint, key=KEY, timeout=0.2 if reply.wait else 5).ask("?")
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
    assert KEY not in str(raised.value)
    assert len(endpoint.asked) == tries


def test_large_but_not_too_large(endpoint: Endpoint) -> None:
    endpoint.reply = lambda *_: Reply(completion("x" * (LARGEST - 1000)))
    assert len(chat(endpoint).ask("?")[0]) == LARGEST - 1000


@pytest.mark.usefixtures("endpoint")
def test_a_slow_drip_ends_at_the_timeout() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        ended = threading.Event()

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                while not ended.wait(0.05):
                    try:
                        connection.sendall(b" ")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        began = time.monotonic()
        with pytest.raises(NoAnswer, match=r"no answer within 0\.3 s"):
            Chat(f"http://127.0.0.1:{listener.getsockname()[1]}", "m", timeout=0.3)._once("?", 1)
        ended.set()
        thread.join()
    assert time.monotonic() - began < 1.5


@pytest.mark.usefixtures("endpoint")
def test_an_endpoint_that_is_down() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: nobody else gets the port
        slept: list[float] = []
        down = Chat(f"http://127.0.0.1:{taken.getsockname()[1]}", "m", sleep=slept.append)
        with pytest.raises(NoAnswer, match="cannot reach the endpoint") as raised:
            down.ask("?")
    assert "check --endpoint" in str(raised.value)
    assert slept == [1, 2]


def test_it_waits_as_long_as_it_is_asked_to(endpoint: Endpoint) -> None:
    slept: list[float] = []

    def busy(_request: dict[str, Any], number: int) -> Reply:
        return Reply(b"", 429, {"Retry-After": "7"}) if number < 3 else Reply(completion("At last."))

    endpoint.reply = busy
    assert chat(endpoint, sleep=slept.append).ask("?") == ["At last."]
    assert slept == [7, 7]


def test_retry_after_is_seconds_or_a_date() -> None:
    assert (wait_of("1.5"), wait_of("-4"), wait_of("soon"), wait_of(None), wait_of("nan")) == (1.5, 0, None, None, None)
    assert wait_of(formatdate(time.time() + 30, usegmt=True)) == pytest.approx(30, abs=2)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "localhost:8080/v1",
            "ftp://host/v1",
            "http://",
            "http://ho st/v1",
            "https://host:99999/v1",
            "file:///etc/passwd",
        ),
        *("http://me:secret@host/v1", "http://host/v1?key=secret", "http://host/\n"),
    ],
)
def test_bad_endpoints_are_refused_without_their_password(url: str) -> None:
    with pytest.raises(UsageError) as raised:
        Chat(url, "m")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "kéy"])
def test_a_key_that_cannot_be_one_is_not_shown(key: str) -> None:
    with pytest.raises(UsageError, match="the key in the environment") as raised:
        Chat("http://host/v1", "m", key=key)
    assert key not in str(raised.value)
    assert "secret" not in repr(Chat("http://host/v1", "m", key="secret"))


def test_where_the_key_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLSEARCH_API_KEY", " ")
    monkeypatch.setenv("OPENAI_API_KEY", "theirs\n")
    assert key_from_environment() == "theirs"
    monkeypatch.setenv("VLSEARCH_API_KEY", "ours")
    assert key_from_environment() == "ours"


def test_articles_fit() -> None:
    assert question_for("What does a(n) {} look like?", "elephant") == "What does an elephant look like?"
    assert question_for(QUESTIONS[0], "dog") == "Describe what a dog looks like"


def test_sentences_of_answers() -> None:
    said = [
        'A dog has fur. It has four legs, e.g. short ones! "Is it tame?" Yes.',
        "Here are some signs:\n\n1. **Four** legs\n2) A tail\n- wet nose\n* `fur`\n• A dog has fur.\n--\n12.5 kg",
        "x" * 400,
        "word " * 100,
        "",
    ]
    found = sentences(said)
    assert found[:10] == [
        *("A dog has fur.", "It has four legs, e.g. short ones!", "Is it tame?", "Yes."),
        *("Four legs", "A tail", "wet nose", "fur", "12.5 kg"),
        "x" * 300,
    ]
    assert found[10] == ("word " * 60).strip()
    assert len(found) == 11


def run(endpoint: Endpoint, folder: Path, labels: list[str], **options: Any) -> tuple[Described, dict[str, list[str]]]:
    descriptions: dict[str, list[str]] = {}
    options = {"n": 2, "questions": ("What is a(n) {}?", "A {}:"), **options}
    return describe(labels, chat(endpoint), Answers(folder / "a.json"), descriptions, **options), descriptions


def test_answers_are_asked_for_once(endpoint: Endpoint, tmp_path: Path) -> None:
    first, descriptions = run(endpoint, tmp_path, ["dog", "ant"])
    assert (first.labels, first.asked, first.failed, first.left) == (2, 4, {}, 0)
    assert descriptions["ant"][0] == "Answer 0 to What is an ant?."
    assert [len(texts) for texts in descriptions.values()] == [4, 4]
    again, same = run(endpoint, tmp_path, ["dog", "ant"])
    assert (again.asked, same) == (0, descriptions)
    more, _ = run(endpoint, tmp_path, ["dog", "ant"], n=3)
    assert more.asked == 4
    assert endpoint.asked[-1]["n"] == 1
    fewer, less = run(endpoint, tmp_path, ["dog"], n=1)
    assert (fewer.asked, len(less["dog"])) == (0, 2)
    other = describe(
        ["dog"], chat(endpoint, temperature=0.5), Answers(tmp_path / "a.json"), {}, questions=("{}?",), n=1
    )
    assert other.asked == 1


def test_an_endpoint_that_answers_one_at_a_time(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.reply = lambda _request, number: Reply(completion(f"Answer {number}."))
    result, descriptions = run(endpoint, tmp_path, ["dog"], n=3)
    assert (result.asked, len(descriptions["dog"])) == (6, 6)
    assert [asked["n"] for asked in endpoint.asked] == [3, 2, 1] * 2


def test_more_answers_than_were_asked_for(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.reply = lambda *_: Reply(completion("One.", "Two.", "Three."))
    assert run(endpoint, tmp_path, ["dog"], n=2, questions=("{}?",))[1] == {"dog": ["One.", "Two."]}


def test_one_label_fails_the_rest_goes_on(endpoint: Endpoint, tmp_path: Path) -> None:
    def picky(request: dict[str, Any], _number: int) -> Reply:
        said = request["messages"][-1]["content"]
        return Reply(b"", 400) if "cat" in said else Reply(completion("..." if "dull" in said else "It has fur."))

    endpoint.reply = picky
    heard: list[str] = []
    result, descriptions = run(
        endpoint,
        tmp_path,
        ["cat", "dog", "dull", "hamster"],
        n=1,
        failed=lambda label, why: heard.append(f"{label}: {why}"),
    )
    assert descriptions == {"dog": ["It has fur."], "hamster": ["It has fur."]}
    assert (list(result.failed), result.labels, result.left) == (["cat", "dull"], 2, 0)
    assert heard == [
        "cat: the endpoint refuses the question (400); check --endpoint and --model",
        "dull: its answers hold no sentence; ask another --model, or other --questions",
    ]


def test_an_endpoint_that_always_fails_is_left_alone(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.reply = lambda *_: Reply(b"", 401)
    result, descriptions = run(endpoint, tmp_path, [f"label {n}" for n in range(10)])
    assert (len(result.failed), result.left, descriptions, len(endpoint.asked)) == (3, 7, {}, 3)


def test_what_was_answered_survives_an_interrupt(endpoint: Endpoint, tmp_path: Path) -> None:
    def interrupted(_done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(endpoint, tmp_path, ["dog", "ant"], done=interrupted)
    assert len(endpoint.asked) == 2
    result, descriptions = run(endpoint, tmp_path, ["dog", "ant"])
    assert (result.asked, sorted(descriptions)) == (2, ["ant", "dog"])


def test_edited_descriptions_stay(endpoint: Endpoint, tmp_path: Path) -> None:
    answers, edited = Answers(tmp_path / "a.json"), {"dog": ["Mine."], "cow": ["Kept."]}
    describe(["dog"], chat(endpoint), answers, {}, n=1)
    describe(["dog"], chat(endpoint), answers, edited, n=1)
    assert edited == {"dog": ["Mine."], "cow": ["Kept."]}
    describe(["dog"], chat(endpoint), answers, edited, n=2)
    assert edited["dog"][0] == "Answer 0 to Describe what a dog looks like."
    assert "Mine." not in edited["dog"]


def test_the_file_of_answers_is_sorted_and_readable(endpoint: Endpoint, tmp_path: Path) -> None:
    run(endpoint, tmp_path, ["zebra", "ünder"], n=1)
    text = (tmp_path / "a.json").read_text()
    told = json.loads(text)
    assert list(told["parrot"]["0.99"]) == sorted(told["parrot"]["0.99"])
    assert "ünder" in text
    assert text == json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    assert list(tmp_path.iterdir()) == [tmp_path / "a.json"]


@pytest.mark.parametrize(
    "data", ["nonsense", "[]", '{"m": {"1": {"q": [1]}}}', '{"m": 1}', "[" * 100_000, '{"dog": ["It barks."]}']
)
def test_a_file_that_is_something_else_is_not_written_over(tmp_path: Path, data: str) -> None:
    (tmp_path / "a.json").write_text(data)
    with pytest.raises(UsageError, match="holds no answers of a language model"):
        Answers(tmp_path / "a.json")


def test_questions_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "q.txt"
    file.write_text("# mine\nWhat is {}?\n\nHow big is a(n) {}?\n")
    assert read_questions(file) == ("What is {}?", "How big is a(n) {}?")
    file.write_text("What is {}?\nWhat?\n")
    with pytest.raises(UsageError, match="line 2"):
        read_questions(file)
    file.write_text("#\n")
    with pytest.raises(UsageError, match="holds no question"):
        read_questions(file)
    file.write_bytes(b"\xff{}")
    with pytest.raises(UnreadableFile):
        read_questions(file)


def test_tag_reads_what_describe_writes(endpoint: Endpoint, tmp_path: Path) -> None:
    from vlsearch.search.describe import write_json

    _, descriptions = run(endpoint, tmp_path, ["dog", "ant"])
    write_json(tmp_path / "d.json", descriptions)
    assert load_descriptions(tmp_path / "d.json") == descriptions
