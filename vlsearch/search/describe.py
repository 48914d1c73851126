"""Descriptions of classes in a language model's words (CuPL): what is asked, what is kept of the answers, and where.

Pratt, Covert, Liu & Farhadi, What does a platypus look like? Generating customized prompts for zero-shot image
classification, ICCV 2023.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlsearch.errors import UsageError
from vlsearch.search.chat import NoAnswer
from vlsearch.search.labels import read_lines

if TYPE_CHECKING:
    from vlsearch.search.chat import Chat

QUESTIONS = (
    "Describe what a(n) {} looks like",
    "How can you identify a(n) {}?",
    "What does a(n) {} look like?",
    "Describe an image from the internet of a(n) {}",
    "A caption of an image of a(n) {}:",
)
"""the paper's, for ImageNet (its table of prompts)"""
LETTERS = 300
"""of a sentence: CLIP reads 77 tokens, of about four letters each"""
GIVE_UP = 3
"""labels that fail one after the other before the rest is left to another run"""

_PAUSE = re.compile(r"\n+|(?<=[.!?])[\"'”’)]*\s+(?=[\"'“‘(]*[A-Z0-9])")
_MARK = re.compile(r"^(?:[-*•–—#>]+\s+|\(?\d{1,2}[.)]\s+)+")
_WRAP = re.compile(r"\*\*|__|`")


def question_for(template: str, label: str) -> str:
    """`template` with the label in it; "a(n)" is "an" before a vowel."""
    return template.replace("a(n)", "an" if label[:1].lower() in tuple("aeiou") else "a").replace("{}", label)


def read_questions(file: Path) -> tuple[str, ...]:
    """Questions, one a line, each with one {} for the label. Raises UsageError, UnreadableFile."""
    found = []
    for number, line in read_lines(file):
        if line.count("{}") != 1:
            raise UsageError(f"{os.fspath(file)!r}, line {number}: the question {line!r} must hold {{}} once")
        found.append(line)
    if not found:
        raise UsageError(f"{os.fspath(file)!r} holds no question; write one a line, with {{}} for the label")
    return tuple(found)


def sentences(answers: Iterable[str]) -> list[str]:
    """The sentences of answers, each once, in their order: without numbers, bullets and emphasis before and around
    them, at most LETTERS long (cut between words). Lines that announce others ("Some signs:") are left out."""
    found: dict[str, None] = {}
    for answer in answers:
        for part in _PAUSE.split(answer):
            line = " ".join(_WRAP.sub("", _MARK.sub("", part.strip())).split()).strip('"“” ')
            if len(line) > LETTERS:
                line = line[: LETTERS + 1].rsplit(" ", 1)[0][:LETTERS]
            if line.endswith(":") or not any(c.isalpha() for c in line):
                continue
            found.setdefault(line)
    return list(found)


class Answers:
    """What a language model has said, in a JSON file: {model: {temperature: {question: [answer, …]}}}, keys sorted.

    Every answer is written as it comes, the whole file anew and at once, so that whatever ends the run costs at most
    the answer in flight. Raises UsageError for a file that is something else.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._known: dict[str, dict[str, dict[str, list[str]]]] = {}
        if file.exists():
            try:
                self._known = json.loads(file.read_bytes())
                texts = [a for m in self._known.values() for t in m.values() for q in t.values() for a in q]
                valid = all(isinstance(text, str) for text in texts)
            except OSError as error:
                raise UsageError(f"cannot read {os.fspath(file)!r}: {error.strerror}") from None
            except (ValueError, AttributeError, TypeError, RecursionError):
                valid = False
            if not valid:
                raise UsageError(
                    f"{os.fspath(file)!r} holds no answers of a language model; give --answers another file"
                )

    def of(self, chat: Chat, question: str) -> list[str]:
        return list(self._known.get(chat.model, {}).get(f"{chat.temperature:g}", {}).get(question, []))

    def add(self, chat: Chat, question: str, answers: Sequence[str]) -> None:
        known = self._known.setdefault(chat.model, {}).setdefault(f"{chat.temperature:g}", {})
        known.setdefault(question, []).extend(answers)
        write_json(self.file, self._known)


def write_json(file: Path, value: Any) -> None:
    """Replace `file` by sorted, indented JSON. UsageError where that cannot be."""
    from vlsearch.vectors.store import write_durably

    data = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    try:
        write_durably(file, data.encode())
    except OSError as error:
        raise UsageError(f"cannot write {os.fspath(file)!r}: {error.strerror}") from error


@dataclass
class Described:
    """What a run of `describe` came to."""

    labels: int = 0
    """that have descriptions now"""
    asked: int = 0
    """requests that were answered"""
    failed: dict[str, str] = field(default_factory=dict)
    """label -> why it has none, or not all that were asked for"""
    left: int = 0
    """labels that were not asked about, as the endpoint had failed too often"""


def describe(
    labels: Sequence[str],
    chat: Chat,
    answers: Answers,
    descriptions: dict[str, list[str]],
    *,
    questions: Sequence[str] = QUESTIONS,
    n: int = 10,
    failed: Callable[[str, str], object] = lambda *_: None,
    done: Callable[[int], object] = lambda _: None,
) -> Described:
    """Ask n answers to every question about every label, those that `answers` lacks; sentences go to `descriptions`.

    A label whose answers are all there and that `descriptions` has already is left as it is there: it may have been
    edited. `failed` hears of each label that lacks an answer, as it happens; `done` how many labels are dealt with.
    """
    result = Described()
    in_a_row = 0
    for number, label in enumerate(labels):
        if in_a_row == GIVE_UP:
            result.left = len(labels) - number
            break
        before = result.asked
        try:
            for template in questions:
                result.asked += _complete(chat, answers, question_for(template, label), n)
        except NoAnswer as error:
            result.failed[label] = str(error)
            failed(label, str(error))
            in_a_row += 1
        if result.asked > before:
            in_a_row = 0
        said = [answer for t in questions for answer in answers.of(chat, question_for(t, label))[:n]]
        if found := sentences(said):
            if result.asked > before or label not in descriptions:
                descriptions[label] = found
        elif label not in result.failed and label not in descriptions:
            result.failed[label] = "its answers hold no sentence; ask another --model, or other --questions"
            failed(label, result.failed[label])
        done(number + 1)
    result.labels = sum(label in descriptions for label in labels)
    return result


def _complete(chat: Chat, answers: Answers, question: str, n: int) -> int:
    """Ask until there are n answers, as some endpoints give one at a time whatever is asked for. The requests made."""
    requests = 0
    while (have := len(answers.of(chat, question))) < n:
        answers.add(chat, question, chat.ask(question, n - have))
        requests += 1
    return requests
