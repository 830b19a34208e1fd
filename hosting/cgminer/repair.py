"""Mending the JSON that firmware gets wrong, by token, so that the text inside strings is never touched.

Each repair has a name, which is counted:

    trailing_comma   {"a":1,}            dropped
    leading_comma    ,{"a":1}  [,{       dropped
    missing_comma    }{   "x""temp0"     put in
    raw_control      a newline in text   becomes a space
    bad_escape       "\\x"  "\\ud800"      becomes a question mark
    not_finite       nan, -inf, 1e999    becomes the text "nan" or "inf"
    pairs_in_list    ["218":"2024"]      becomes an object
    truncated        cut in the middle   the unfinished member is dropped, the brackets are closed
    trailing_text    {"a":1}garbage      dropped
"""

import re

# A flat reply of the largest size would take seconds to mend: no miner's broken reply is near this.
MAX_TOKENS = 20_000

_TOKEN = re.compile(
    r"""[ \t\r\n]*+(?:
        (?P<string>"[^"\\]*+(?:\\.[^"\\]*+)*+")
      | (?P<word>[+-]?[A-Za-z]\w*)
      | (?P<number>-?\d[\d.eE+-]*+)
      | (?P<mark>[{}\[\]:,])
    )""",
    re.VERBOSE | re.DOTALL,
)
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_CONTROL = re.compile(r"[\x00-\x1f]")
_SURROGATE_PAIR = r"u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE = re.compile(
    rf"""\\(?P<good>["\\/bfnrt]|{_SURROGATE_PAIR}|u(?![dD][89a-fA-F])[0-9a-fA-F]{{4}})|\\u[0-9a-fA-F]{{4}}|\\.""",
    re.DOTALL,
)
# What may stand at the end of a text that was cut: the beginning of a string, a word or a number, or nothing.
_UNFINISHED = re.compile(r'"|[\w.+-]*\Z')
_LITERALS = {"true", "false", "null"}
_NOT_FINITE = {"nan": "nan", "inf": "inf", "infinity": "inf"}
_CLOSER = {"{": "}", "[": "]"}


class Unrepairable(Exception):
    """The text is no reply that firmware is known to send."""


class _Mender:
    """Writes the tokens of one reply out again, well formed.

    `stack` holds the open brackets; `safe` is the length of `out` after the last complete member of each of them, where
    a truncated reply is cut. `before` is the kind of the last token: "" (nothing yet), open, comma, colon, key or value.
    """

    def __init__(self, max_depth: int) -> None:
        self.max_depth = max_depth
        self.out: list[str] = []
        self.stack: list[str] = []
        self.openers: list[int] = []
        self.safe: list[int] = []
        self.before = ""
        self.repairs: dict[str, None] = {}

    def mend(self, text: str) -> tuple[str, tuple[str, ...]]:
        position, tokens = 0, 0
        while not self._finished() and (found := _TOKEN.match(text, position)):
            if found.end() == len(text) and found.lastgroup in {"word", "number"}:
                break  # it may have been cut in two: 110566 could be the beginning of 110566890
            position, tokens = found.end(), tokens + 1
            if tokens > MAX_TOKENS:
                raise Unrepairable(f"broken, and longer than {MAX_TOKENS} tokens")
            self._take(found.lastgroup or "", found[found.lastgroup or 0])
        rest = text[position:].strip()
        if not self._finished():
            self._close(rest)
        elif rest:
            self.repairs["trailing_text"] = None
        return "".join(self.out), tuple(self.repairs)

    def _finished(self) -> bool:
        return bool(self.out) and not self.stack

    def _take(self, kind: str, token: str) -> None:
        if kind == "mark":
            self._mark(token)
        elif kind == "string":
            self._value(self._string(token), is_string=True)
        elif kind == "word":
            self._value(self._word(token))
        else:
            self._value(self._number(token))

    def _mark(self, mark: str) -> None:
        if mark in "{[":
            self._separate()
            self._open(mark)
        elif mark in "}]":
            self._end(mark)
        elif mark == ",":
            self._comma()
        else:
            self._colon()

    def _open(self, mark: str) -> None:
        if len(self.stack) >= self.max_depth:
            raise Unrepairable(f"nested deeper than {self.max_depth}")
        self.openers.append(len(self.out))
        self.out.append(mark)
        self.stack.append(mark)
        self.safe.append(len(self.out))
        self.before = "open"

    def _end(self, mark: str) -> None:
        if not self.stack or self.before in {"colon", "key"}:
            raise Unrepairable("a bracket closes what is not complete")
        opener = self.stack[-1]
        as_pairs = opener == "{" and mark == "]" and self.out[self.openers[-1]] == "{ "
        if _CLOSER[opener] != mark and not as_pairs:
            raise Unrepairable("brackets do not match")
        if self.before == "comma":
            self.out.pop()
            self.repairs["trailing_comma"] = None
        self.out.append(_CLOSER[opener])
        self._pop()

    def _pop(self) -> None:
        self.stack.pop()
        self.openers.pop()
        self.safe.pop()
        self.before = "value"
        if self.safe:
            self.safe[-1] = len(self.out)

    def _comma(self) -> None:
        if self.before in {"", "open", "comma"}:
            self.repairs["leading_comma"] = None
        elif self.before == "value":
            self.out.append(",")
            self.before = "comma"
        else:
            raise Unrepairable("a name without a value")

    def _colon(self) -> None:
        if self.before == "value" and self.stack[-1] == "[" and len(self.out) == self.openers[-1] + 2:
            self._list_becomes_object()
        if self.before != "key":
            raise Unrepairable("a value without a name")
        self.out.append(":")
        self.before = "colon"

    def _list_becomes_object(self) -> None:
        self.out[self.openers[-1]] = "{ "  # the space tells it from a real object when it ends
        self.stack[-1] = "{"
        self.safe[-1] = self.openers[-1] + 1
        self.before = "key"
        self.repairs["pairs_in_list"] = None

    def _separate(self) -> None:
        """What follows begins a new member: put in the comma that is missing before it."""
        if self.before == "key":
            raise Unrepairable("a name without a value")
        if self.before == "value":
            self.out.append(",")
            self.before = "comma"
            self.repairs["missing_comma"] = None

    def _value(self, text: str, *, is_string: bool = False) -> None:
        self._separate()
        if not self.stack:
            raise Unrepairable("not an object")
        if self.stack[-1] == "{" and self.before != "colon":
            if not is_string:
                raise Unrepairable("a name that is no text")
            self.out.append(text)
            self.before = "key"
            return
        self.out.append(text)
        self.before = "value"
        self.safe[-1] = len(self.out)

    def _string(self, token: str) -> str:
        if _CONTROL.search(token):
            token = _CONTROL.sub(" ", token)
            self.repairs["raw_control"] = None
        if "\\" in token:
            mended = _ESCAPE.sub(_mend_escape, token)
            if mended != token:
                self.repairs["bad_escape"] = None
            token = mended
        return token

    def _word(self, token: str) -> str:
        if token in _LITERALS:
            return token
        known = _NOT_FINITE.get(token.lstrip("+-").lower())
        if known is None:
            raise Unrepairable(f"{token[:20]!r} is no value")
        self.repairs["not_finite"] = None
        return f'"{known}"'

    def _number(self, token: str) -> str:
        if not _NUMBER.fullmatch(token):
            raise Unrepairable(f"{token[:20]!r} is no number")
        if abs(float(token)) == float("inf"):
            self.repairs["not_finite"] = None
            return '"inf"'
        return token

    def _close(self, rest: str) -> None:
        """The text ended early: drop the member that is not whole and close the brackets."""
        if not self.stack or not _UNFINISHED.match(rest):
            raise Unrepairable(f"{rest[:20]!r} is no JSON")
        del self.out[self.safe[-1] :]
        if len(self.out) == 1:
            raise Unrepairable("cut before anything was told")
        while self.stack:
            self.out.append(_CLOSER[self.stack[-1]])
            self._pop()
        self.repairs["truncated"] = None


def _mend_escape(found: re.Match[str]) -> str:
    return found[0] if found["good"] else "?"


def repair(text: str, *, max_depth: int) -> tuple[str, tuple[str, ...]]:
    """The text as JSON that a strict reader takes, and the names of what was mended; raises Unrepairable."""
    return _Mender(max_depth).mend(text)
