"""Descriptions: the rule is checked on contexts it was not made of; nothing is sent unasked."""

import json
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from interp.dictionaries.views.describers.endpoint import endpoint_describer, prompt
from interp.dictionaries.views.describers.rule import DESCRIBER, describe
from interp.results.errors import BadInput, Incomplete
from tests.dictionaries.views.planted import LANGUAGE_TOKEN, SILENT, WORDS


def test_a_feature_of_one_token_is_described_by_it_and_the_rule_holds(views):
    found = DESCRIBER.describe(views.feature(3))
    assert found.text == f"fires on {WORDS[3]!r}"
    assert found.recall.value == found.precision.value == 1
    assert found.n_held_out > 5 and found.recall.low > 0.5
    assert found.base_rate == views.activity.density[3] < 0.05
    assert "strongest contexts" in found.evidence[0]


def test_the_held_out_check_uses_no_context_of_the_rule(views):
    view = views.feature(4)
    # Every sampled context is one of the strongest: nothing is left to check with.
    found = describe(replace(view, sampled=view.strongest))
    assert found.n_held_out == 0 and found.recall.value != found.recall.value


def test_precision_is_the_share_of_the_tokens_rows_on_which_it_fires(views):
    view = views.feature(4)
    # As if the token stood on as many rows again without the feature firing.
    rows = {4: 2 * view.n_active - len(view.strongest)}
    assert describe(replace(view, token_rows=rows)).precision.value == pytest.approx(0.5)


def test_firings_on_other_tokens_lower_the_recall_and_are_said(views):
    view, other = views.feature(4), views.feature(8)
    mixed = replace(view, sampled=(*view.sampled[:2], *other.sampled))
    found = describe(mixed)
    assert found.recall.value < 0.5 and "and on other tokens" in found.text


def test_a_label_joins_the_description_where_it_stands_out(views):
    view = views.feature(LANGUAGE_TOKEN)
    told = replace(view.detections[0], column="language", value=2, base_rate=0.1, q_value=1e-4)
    assert describe(replace(view, detections=(told,))).text.endswith("; rows with language = 2")
    assert "language" not in describe(view).text


def test_a_silent_feature_never_fires(views):
    assert describe(views.feature(SILENT)).text == "never fires"


class _Endpoint(BaseHTTPRequestHandler):
    status, content = 200, b""
    seen: list[tuple[str, str | None, Any]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.path, self.headers["Authorization"], json.loads(body)))
        self.send_response(self.status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[tuple[str, type[_Endpoint]]]:
    handler = type("Handler", (_Endpoint,), {"seen": []})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1", handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_endpoint_is_asked_with_the_contexts_and_its_answer_is_the_description(
    views, endpoint, monkeypatch
):
    address, handler = endpoint
    monkeypatch.setenv("A_KEY", "secret")
    handler.content = json.dumps({"choices": [{"message": {"content": " the\n word "}}]}).encode()
    describer = endpoint_describer(base_url=address, model="m", key_variable="A_KEY")
    assert handler.seen == []
    found = describer.describe(views.feature(3))
    assert found.text == "the word" and found.n_held_out == 0
    ((path, authorization, body),) = handler.seen
    assert (path, authorization) == ("/v1/chat/completions", "Bearer secret")
    assert body["model"] == "m" and "« w3»" in body["messages"][0]["content"]
    assert "secret" not in prompt(views.feature(3)) + repr(found)


@pytest.mark.parametrize(
    ("status", "content", "said"),
    [
        (401, b"", "answered 401"),
        (307, b"", "answered 307"),
        (200, b"<html>", "JSON"),
        (200, b"{}", "without choices"),
        (200, b'{"choices": [{"message": {"content": ""}}]}', "empty"),
    ],
)
def test_an_endpoint_that_refuses_or_babbles_is_one_error(
    views, endpoint, monkeypatch, status, content, said
):
    address, handler = endpoint
    handler.status, handler.content = status, content
    monkeypatch.setenv("A_KEY", "secret")
    describer = endpoint_describer(base_url=address, model="m", key_variable="A_KEY")
    with pytest.raises(BadInput, match=said) as error:
        describer.describe(views.feature(3))
    assert "secret" not in str(error.value) and len(handler.seen) == 1


def test_without_a_key_nothing_is_sent(views, endpoint, monkeypatch):
    address, handler = endpoint
    monkeypatch.delenv("A_KEY", raising=False)
    describer = endpoint_describer(base_url=address, model="m", key_variable="A_KEY")
    with pytest.raises(BadInput, match="A_KEY is empty"):
        describer.describe(views.feature(3))
    assert handler.seen == []


def test_an_endpoint_of_ones_own_is_asked_without_a_key(views, endpoint):
    address, handler = endpoint
    handler.content = json.dumps({"choices": [{"message": {"content": "words"}}]}).encode()
    assert endpoint_describer(base_url=address, model="m").describe(views.feature(3)).text
    ((_, authorization, _),) = handler.seen
    assert authorization is None


def test_an_endpoint_that_is_not_there_is_incomplete(views, monkeypatch):
    monkeypatch.setenv("A_KEY", "secret")
    describer = endpoint_describer(
        base_url="http://127.0.0.1:9/v1", model="m", key_variable="A_KEY", timeout_s=2.0
    )
    with pytest.raises(Incomplete, match="cannot be reached"):
        describer.describe(views.feature(3))
    with pytest.raises(BadInput, match="no address"):
        endpoint_describer(base_url="file:///etc", model="m", key_variable="A_KEY")
