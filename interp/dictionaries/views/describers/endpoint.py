"""Describe a feature by asking a language model behind an OpenAI-compatible endpoint.

Nothing is sent unless such a describer is made and called: the address and the model are given each
time, and the name of the environment variable with the key where one is asked for.
"""

import os
from typing import Any

from interp.dictionaries.views.describer import Describer, Description
from interp.dictionaries.views.describers import rule
from interp.dictionaries.views.feature_view import FeatureView
from interp.results.errors import BadInput, Incomplete
from interp.results.intervals import Interval

_ASK = (
    "A feature of a language model fires on the tokens in «». Say in one line of at most fifteen "
    "words what it fires on. Answer with that line alone."
)
_MAX_ANSWER = 400
_NOTHING = Interval(float("nan"), float("nan"), float("nan"))


def endpoint_describer(
    *, base_url: str, model: str, key_variable: str | None = None, timeout_s: float = 60.0
) -> Describer:
    """A describer that posts to `base_url`/chat/completions.

    The key is read from the environment variable `key_variable` when the describer is called, sent
    to that address alone (redirects are not followed) and kept nowhere; without a variable none is
    sent, which a server of one's own may not ask for. BadInput where the variable is empty or the
    endpoint refuses, Incomplete where it cannot be reached.
    """
    if not base_url.startswith(("http://", "https://")):
        raise BadInput(f"{base_url!r} is no address: expected https://host/v1")

    def describe(view: FeatureView) -> Description:
        key = None if key_variable is None else _key(key_variable)
        address = f"{base_url.rstrip('/')}/chat/completions"
        text = _answer(_post(address, model, key, prompt(view), timeout_s), address)
        return Description(
            feature=view.feature,
            text=text,
            describer=f"{model} at {base_url}",
            recall=_NOTHING,
            precision=_NOTHING,
            base_rate=view.density.value,
            n_held_out=0,
            evidence=rule.describe(view).evidence,
        )

    return Describer(name="endpoint", describe=describe)


def _key(variable: str) -> str:
    key = os.environ.get(variable, "")
    if not key:
        raise BadInput(f"the environment variable {variable} is empty: put the key there")
    return key


def prompt(view: FeatureView) -> str:
    """What is sent about a feature: its strongest and some weak contexts, and promoted tokens."""
    weak = [context for context in view.sampled if context.band == 0][:3]
    lines = [f"{context.activation:.2f}: {context.line}" for context in (*view.strongest, *weak)]
    if view.promoted:
        lines.append("It promotes: " + ", ".join(repr(token.name) for token in view.promoted))
    return "\n".join([_ASK, "", *lines])


def _post(address: str, model: str, key: str | None, text: str, timeout_s: float) -> Any:
    import httpx

    body = {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "temperature": 0,
    }
    try:
        response = httpx.post(
            address,
            json=body,
            headers={} if key is None else {"Authorization": f"Bearer {key}"},
            timeout=timeout_s,
            follow_redirects=False,
        )
    except httpx.HTTPError as error:
        raise Incomplete(f"{address} cannot be reached ({error}): try again") from error
    if response.status_code != 200:
        raise BadInput(
            f"{address} answered {response.status_code}: check the address, the model and the key"
        )
    try:
        return response.json()
    except ValueError as error:
        raise BadInput(f"{address} did not answer with JSON: is it an OpenAI endpoint?") from error


def _answer(content: Any, address: str) -> str:
    try:
        text = content["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError) as error:
        raise BadInput(f"{address} answered without choices: is it an OpenAI endpoint?") from error
    if not isinstance(text, str) or not text.strip():
        raise BadInput(f"{address} answered with an empty text: ask another model")
    return " ".join(text.split())[:_MAX_ANSWER]
