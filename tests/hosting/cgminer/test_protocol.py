"""Framing: what well-formed, malformed and hostile replies decode to."""

import json

import orjson
import pytest
from hypothesis import given, settings as hypothesis_settings, strategies as st

from hosting.cgminer.protocol import MAX_REPLY_BYTES, ProtocolError, decode_reply, encode_request
from hosting.cgminer.reading import ReadError
from hosting.cgminer.repair import MAX_TOKENS, repair


def document_or_reason(raw):
    try:
        return decode_reply(raw)[0]
    except ProtocolError as error:
        return error.reason


def test_a_request_is_json_with_or_without_a_parameter():
    assert encode_request("summary") == b'{"command":"summary"}'
    assert encode_request("ascset", "0,softoff") == b'{"command":"ascset","parameter":"0,softoff"}'


def test_a_well_formed_reply_needs_no_repair():
    assert decode_reply(b'{"STATUS":[{"STATUS":"S"}],"id":1}\0') == ({"STATUS": [{"STATUS": "S"}], "id": 1}, ())


MALFORMED = {
    "comma before the brace": (b'{"a":1,}', {"a": 1}, ("trailing_comma",)),
    "comma before the bracket": (b'{"a":[1,2,]}', {"a": [1, 2]}, ("trailing_comma",)),
    "newline in a text": (b'{"a":"x\ny"}', {"a": "x y"}, ("raw_control",)),
    "no comma between objects": (b'{"S":[{"a":1}{"b":2}]}', {"S": [{"a": 1}, {"b": 2}]}, ("missing_comma",)),
    "comma after the opening bracket": (b'{"S":[,{"a":1}]}', {"S": [{"a": 1}]}, ("leading_comma",)),
    "comma before everything": (b',{"a":1}', {"a": 1}, ("leading_comma",)),
    "no comma between members": (b'{"p":"0 W""temp0":61}', {"p": "0 W", "temp0": 61}, ("missing_comma",)),
    "bare nan": (b'{"a":nan,"b":-NaN}', {"a": "nan", "b": "nan"}, ("not_finite",)),
    "bare inf": (b'{"a":inf,"b":-Infinity}', {"a": "inf", "b": "inf"}, ("not_finite",)),
    "a number beyond all numbers": (b'{"a":1e400}', {"a": "inf"}, ("not_finite",)),
    "400 digits": (b'{"a":' + b"9" * 400 + b"}", {"a": "inf"}, ("not_finite",)),
    "cut in a number": (b'{"S":[{"a":1,"GHS 5s":11', {"S": [{"a": 1}]}, ("truncated",)),
    "cut in a text": (b'{"S":[{"a":1,"b":"Antm', {"S": [{"a": 1}]}, ("truncated",)),
    "cut in a name": (b'{"S":[{"a":1,"GH', {"S": [{"a": 1}]}, ("truncated",)),
    "cut after a comma": (b'{"S":[{"a":1,', {"S": [{"a": 1}]}, ("truncated",)),
    "cut after a colon": (b'{"S":[{"a":1,"b":', {"S": [{"a": 1}]}, ("truncated",)),
    "cut in a word": (b'{"a":[1,2],"b":tru', {"a": [1, 2]}, ("truncated",)),
    "only the last brace is missing": (b'{"S":[{"a":1}]', {"S": [{"a": 1}]}, ("truncated",)),
    "NUL in the middle": (b'{"a":\x001,\x00"b":2}\0', {"a": 1, "b": 2}, ("nul",)),
    "NUL and more": (b'{"a":1}\0{"b":2}', {"a": 1}, ("nul", "trailing_text")),
    "pairs in a list": (
        b'{"error_code":["218":"2024-06-15","219":"2024-06-16"],"n":1}',
        {"error_code": {"218": "2024-06-15", "219": "2024-06-16"}, "n": 1},
        ("pairs_in_list",),
    ),
    "latin-1": (b'{"User":"caf\xe9"}', {"User": "café"}, ("latin1",)),
    "half a surrogate pair": (b'{"User":"a\\ud800b"}', {"User": "a?b"}, ("bad_escape",)),
    "an escape that is none": (b'{"User":"a\\xb"}', {"User": "a?b"}, ("bad_escape",)),
    "several at once": (b',{"a":nan,"b":[{"c":1}{"d":2,}],', {"a": "nan", "b": [{"c": 1}, {"d": 2}]}, None),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_reply_of_the_field_is_mended(case):
    raw, document, repairs = MALFORMED[case]
    decoded, used = decode_reply(raw)
    assert decoded == document
    assert used == (repairs or ("leading_comma", "not_finite", "missing_comma", "trailing_comma", "truncated"))


@pytest.mark.parametrize("text", ["a,}b", "}{", "[,{", "nan", 'q\\"x', "\\\\"])
def test_a_repair_leaves_the_text_inside_strings_alone(text):
    raw = json.dumps({"User": text, "n": 1}).encode()[:-1] + b",}"
    assert decode_reply(raw) == ({"User": text, "n": 1}, ("trailing_comma",))


def test_of_two_equal_keys_the_last_wins():
    assert decode_reply(b'{"a":1,"a":2}')[0] == {"a": 2}


def test_a_bare_status_letter_is_a_good_document():
    assert decode_reply(b'{"STATUS":"S","Code":131,"Msg":{"mineroff":"false"}}')[0]["STATUS"] == "S"


REFUSED = {
    "nothing": b"",
    "NUL": b"\0",
    "plain text": b"Socket connect failed: Connection refused\n\0",
    "BYE": b"BYE\0",
    "a web page": b"HTTP/1.1 400 Bad Request\r\n\r\n<html></html>",
    "a list": b"[1,2,3]",
    "a number": b"5",
    "an opening brace": b"{",
    "a name": b'{"STATUS',
    "brackets that do not match": b'{"a":{"b":1]}',
    "a leading zero": b'{"a":01,"b":2}',
    "no comma between numbers": b'{"a":[1 2x]}',
    "an unknown word": b'{"a":yes,"b":1}',
    "a value without a name": b'{1:2,"b":3}',
    "a name without a value": b'{"a","b":1}',
    "33 levels": b'{"a":' * 33 + b"1" + b"}" * 33,
    "a broken thousand levels": b'{"a":[' * 1000,
    "2,000 brackets": b"[" * 2000,
    "noise": bytes(range(256)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_reply_is_bad_json(case):
    with pytest.raises(ProtocolError) as caught:
        decode_reply(REFUSED[case])
    assert caught.value.reason is ReadError.BAD_JSON


def test_32_levels_are_taken():
    assert decode_reply(b'{"a":' * 32 + b"1" + b"}" * 32)[1] == ()


def test_a_reply_over_the_size_cap_is_too_big():
    with pytest.raises(ProtocolError) as caught:
        decode_reply(b'{"a":"' + b"x" * MAX_REPLY_BYTES + b'"}')
    assert caught.value.reason is ReadError.TOO_BIG


def test_a_broken_reply_of_countless_tokens_is_given_up():
    with pytest.raises(ProtocolError):
        decode_reply(b'{"a":[' + b"1," * MAX_TOKENS + b",]}")
    assert decode_reply(b'{"a":[' + b"1," * (MAX_TOKENS // 4) + b"]}")[1] == ("trailing_comma",)


DOCUMENTS = st.dictionaries(
    st.text(),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    ),
    max_size=5,
)


@hypothesis_settings(max_examples=150, deadline=None)
@given(DOCUMENTS)
def test_mending_a_sound_document_changes_nothing(document):
    sound = orjson.dumps(document)
    text, used = repair(sound.decode(), max_depth=32)
    assert (orjson.loads(text), used) == (orjson.loads(sound), ())


@hypothesis_settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300) | st.text(alphabet='{}[],:"\\0123nai.e-\n\0 ', max_size=200).map(str.encode))
def test_no_bytes_make_the_decoder_raise_anything_else(raw):
    assert document_or_reason(raw) is ReadError.BAD_JSON or isinstance(document_or_reason(raw), dict)


SOUND = b'{"STATUS":[{"STATUS":"S"}],"STATS":[{"Type":"Antminer S19"},{"GHS 5s":95000.12,"temp2_1":78,"c":"37603.30"}]}'


@hypothesis_settings(max_examples=200, deadline=None)
@given(st.integers(1, len(SOUND) - 1))
def test_a_cut_reply_tells_only_values_that_were_whole(length):
    try:
        document, used = decode_reply(SOUND[:length])
    except ProtocolError:
        return
    assert used == ("truncated",)
    whole = {}
    for entry in document.get("STATS", []):
        whole.update(entry)
    assert whole.items() <= {"Type": "Antminer S19", "GHS 5s": 95000.12, "temp2_1": 78, "c": "37603.30"}.items()


@hypothesis_settings(max_examples=200, deadline=None)
@given(st.integers(0, len(SOUND) - 1), st.binary(max_size=3), st.integers(0, 3))
def test_a_damaged_reply_is_a_document_or_bad_json(at, inserted, removed):
    found = document_or_reason(SOUND[:at] + inserted + SOUND[at + removed :])
    assert found is ReadError.BAD_JSON or isinstance(found, dict)
