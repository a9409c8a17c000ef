"""Tasks over the words of the tests' tokenizer, and models whose level is known."""

from typing import Any

import torch
from torch import Tensor, nn

from tests.models import BOS

WORDS = [f"w{i}" for i in range(4, 64)]
LABELS = ("w60", "w61", "w62", "w63")


def content(**changes: Any) -> dict[str, Any]:
    """A tasks file: two orders, four classes, and one task of listed pairs."""
    one, other = WORDS[:14], WORDS[14:28]
    return {
        "line": "{first} w50 {second} w51 {label}",
        "separator": " w52 ",
        "categories": {"one": one, "other": other},
        "pairs": {"bound": [list(pair) for pair in zip(WORDS[28:34], WORDS[34:40], strict=True)]},
        "tasks": [
            {
                "name": "order",
                "kind": "binary",
                "rules": [["one", "other", LABELS[0]], ["other", "one", LABELS[1]]],
            },
            {
                "name": "grid",
                "kind": "four",
                "rules": [
                    [first, second, LABELS[2 * i + j]]
                    for i, first in enumerate(("one", "other"))
                    for j, second in enumerate(("one", "other"))
                ],
            },
            {
                "name": "parts",
                "kind": "justification",
                "rules": [["bound", LABELS[0]], ["one", "other", LABELS[1]]],
            },
        ],
        **changes,
    }


class Answers(nn.Module):
    """A model whose likeliest next token is a function of the tokens before it."""

    def __init__(self, d_vocab: int = 64) -> None:
        super().__init__()
        self.d_vocab = d_vocab
        self.scale = nn.Parameter(torch.tensor(4.0))

    def next_token(self, tokens: list[int]) -> int:
        raise NotImplementedError

    def forward(self, input_ids: Tensor, use_cache: bool = False) -> Any:
        said = torch.tensor([self.next_token(row) for row in input_ids.tolist()])
        logits = torch.zeros(*input_ids.shape, self.d_vocab)
        logits[torch.arange(len(said)), -1, said] = self.scale.detach()
        return Output(logits)


class Output:
    """What transformers calls a model output."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits


class SaysLastLabel(Answers):
    """The label shown last, w4 where none was: the format without the pattern."""

    def next_token(self, tokens: list[int]) -> int:
        shown = [token for token in tokens if token >= 60]
        return shown[-1] if shown else 4


class SaysLabelOfSameKind(Answers):
    """The label of the last line whose words are of the question's kinds: the pattern."""

    def next_token(self, tokens: list[int]) -> int:
        lines = " ".join(str(token) for token in tokens if token != BOS).split(" 52 ")
        *shown, asked = [[int(token) for token in line.split()] for line in lines]
        wanted = (asked[0] < 18, asked[2] < 18)
        same = [line[4] for line in shown if (line[0] < 18, line[2] < 18) == wanted]
        return same[-1] if same else 4
