"""The training loop against plain PyTorch, and what examples become."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import AutoTokenizer

from interp.models.examples import TrainingExamples, encode_examples, read_examples
from interp.models.trainable import read_trainable, write_trained
from interp.models.training import (
    TrainingBatch,
    adamw,
    next_token_loss,
    shuffled_training_batches,
    train,
    warmup_cosine,
)
from interp.results.errors import BadInput, CorruptFile, Unsupported
from tests.models import tiny_model, tiny_model_directory


def some_examples(n: int = 32, *, seed: int = 0) -> TrainingExamples:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(4, 64, (n, 5), generator=generator)
    target = torch.zeros(tokens.shape, dtype=torch.bool)
    target[:, -1] = True
    return TrainingExamples(tokens=tokens, target=target)


def test_the_loss_is_transformers_own_where_every_token_is_a_target() -> None:
    model = tiny_model("llama")
    tokens = some_examples().tokens
    batch = TrainingBatch(tokens, torch.ones(tokens.shape, dtype=torch.bool))
    theirs = model(input_ids=tokens, labels=tokens).loss
    assert next_token_loss(model, batch).item() == pytest.approx(theirs.item(), abs=1e-6)


def test_padding_on_the_right_does_not_change_the_loss() -> None:
    model = tiny_model("gpt2")
    examples = some_examples()
    padded = functional.pad(examples.tokens, (0, 3), value=7)
    target = functional.pad(examples.target, (0, 3), value=False)
    plain = next_token_loss(model, TrainingBatch(examples.tokens, examples.target))
    assert next_token_loss(model, TrainingBatch(padded, target)).item() == pytest.approx(
        plain.item(), abs=1e-6
    )


def test_a_batch_without_a_target_is_refused() -> None:
    tokens = some_examples().tokens
    with pytest.raises(BadInput, match="no token to predict"):
        next_token_loss(
            tiny_model("llama"), TrainingBatch(tokens, torch.zeros(tokens.shape, dtype=torch.bool))
        )


def test_training_equals_a_plain_loop_of_adamw_under_the_same_schedule() -> None:
    examples = some_examples()
    ours, theirs = tiny_model("llama"), tiny_model("llama")

    def batches():
        return shuffled_training_batches(
            examples.tokens,
            examples.target,
            batch_size=8,
            generator=torch.Generator().manual_seed(1),
        )

    losses = train(
        ours,
        batches(),
        steps=12,
        optimizer=adamw(ours.parameters(), lr=1e-2, weight_decay=0.1),
        warmup=4,
    )
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=1e-2, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: warmup_cosine(step, steps=12, warmup=4)
    )
    seen = []
    for _, batch in zip(range(12), batches(), strict=False):
        logits = theirs(input_ids=batch.tokens).logits[:, -2]
        loss = functional.cross_entropy(logits, batch.tokens[:, -1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        seen.append(loss.item())
    np.testing.assert_allclose(losses, seen, atol=2e-5)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=2e-4, rtol=0)


def test_two_half_batches_accumulated_are_one_whole_batch() -> None:
    examples = some_examples(16)
    whole, halves = tiny_model("llama"), tiny_model("llama")
    batch = TrainingBatch(examples.tokens, examples.target)
    parts = [TrainingBatch(examples.tokens[i::2], examples.target[i::2]) for i in range(2)]
    for model, source, accumulate in ((whole, [batch], 1), (halves, parts, 2)):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        train(model, iter(source), steps=1, optimizer=optimizer, warmup=0, accumulate=accumulate)
    for one, other in zip(whole.parameters(), halves.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


def test_clipping_holds_the_norm_of_the_gradient() -> None:
    examples = some_examples()
    model = tiny_model("llama")
    before = [p.detach().clone() for p in model.parameters()]
    batch = TrainingBatch(examples.tokens, examples.target)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    train(model, iter([batch]), steps=1, optimizer=optimizer, warmup=0, clip_norm=0.25)
    moved = sum(
        (p - start).square().sum().item()
        for p, start in zip(model.parameters(), before, strict=True)
    )
    assert moved**0.5 == pytest.approx(0.25, rel=1e-4)


def test_the_rate_rises_over_the_warm_up_and_falls_to_zero() -> None:
    shares = [warmup_cosine(step, steps=100, warmup=10) for step in range(101)]
    assert shares[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert all(later <= earlier for earlier, later in zip(shares[10:], shares[11:], strict=False))
    assert shares[-1] == pytest.approx(0)


def test_every_example_comes_once_an_epoch_and_orders_differ() -> None:
    tokens = torch.arange(6)[:, None].expand(6, 2).contiguous()
    target = torch.ones(tokens.shape, dtype=torch.bool)
    batches = shuffled_training_batches(
        tokens, target, batch_size=4, generator=torch.Generator().manual_seed(0)
    )
    order = torch.cat([next(batches).tokens[:, 0] for _ in range(3)])
    first, second = order[:6].tolist(), order[6:].tolist()
    assert sorted(first) == sorted(second) == list(range(6))
    assert first != second


def test_a_batch_is_as_long_as_its_longest_example() -> None:
    tokens = torch.zeros(2, 9, dtype=torch.long)
    target = torch.zeros(2, 9, dtype=torch.bool)
    target[0, 3] = target[1, 5] = True
    batches = shuffled_training_batches(
        tokens, target, batch_size=2, generator=torch.Generator().manual_seed(0)
    )
    assert next(batches).tokens.shape == (2, 6)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tiny_model_directory("llama", tmp_path / "llama", adds_bos=True)


def test_only_the_answer_is_a_target_and_the_prompt_gets_its_bos(directory: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(directory)
    examples = encode_examples([{"prompt": "w5 w6", "answer": "w7 w8"}], tokenizer)
    assert examples.tokens.tolist() == [[1, 5, 6, 7, 8]]
    assert examples.target.tolist() == [[False, False, False, True, True]]


def test_a_long_text_is_cut_and_loses_no_token(directory: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(directory)
    text = " ".join(f"w{4 + i}" for i in range(10))
    examples = encode_examples([{"text": text}], tokenizer, length=4)
    real = torch.cat([row[: int(t.nonzero().max()) + 1] for row, t in zip(
        examples.tokens, examples.target, strict=True)])  # fmt: skip
    assert real.tolist() == [1, *range(4, 14)]
    assert not bool(examples.target[:, 0].any())


def test_an_answer_is_never_cut(directory: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(directory)
    with pytest.raises(BadInput, match="more than the 3 allowed"):
        encode_examples([{"prompt": "w5 w6", "answer": "w7"}], tokenizer, length=3)


@pytest.mark.parametrize(
    ("line", "said"),
    [("{", "is not JSON"), ('{"prompt": "w4"}', "neither prompt"), ("[1]", "neither prompt")],
)
def test_a_bad_line_is_named(directory: Path, tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps({"text": "w4 w5"}) + "\n" + line + "\n")
    with pytest.raises(BadInput, match=f"line 2.*{said}"):
        read_examples(path, AutoTokenizer.from_pretrained(directory))


def test_halves_hold_every_example_once() -> None:
    examples = some_examples(9)
    first, second = examples.halves()
    together = torch.cat([first.tokens, second.tokens]).tolist()
    assert sorted(together) == sorted(examples.tokens.tolist())
    assert examples.hash != first.hash != second.hash


@pytest.mark.parametrize("style", ["gpt2", "llama", "neox", "qwen2", "olmo"])
def test_a_model_written_and_read_again_is_the_same_and_keeps_its_tokenizer(
    style: str, tmp_path: Path
) -> None:
    source = tiny_model_directory(style, tmp_path / "source", dtype=torch.bfloat16)
    read = read_trainable(source)
    with write_trained(read, tmp_path / "out"):
        pass
    again = read_trainable(tmp_path / "out")
    assert again.parameters.keys() == read.parameters.keys()
    for name, parameter in read.parameters.items():
        assert parameter.dtype == torch.float32
        assert torch.equal(parameter, again.parameters[name])
    assert again.tokenizer().get_vocab() == read.tokenizer().get_vocab()


@pytest.mark.parametrize(("style", "n"), [("gpt2", 2), ("llama", 2), ("neox", 2)])
def test_tables_of_tokens_and_positions_are_known(style: str, n: int, tmp_path: Path) -> None:
    read = read_trainable(tiny_model_directory(style, tmp_path / style))
    assert len(read.embeddings) == n
    assert all(read.parameters[name].shape[0] == 64 for name in read.embeddings)


def test_a_model_that_is_no_decoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="a decoder is expected"):
        read_trainable(tiny_model_directory("bert", tmp_path / "bert"))


def test_a_model_without_a_tokenizer_loads_and_refuses_text(tmp_path: Path) -> None:
    read = read_trainable(tiny_model_directory("llama", tmp_path / "bare", tokenizer=False))
    with pytest.raises(Unsupported, match="has no tokenizer"):
        read.tokenizer()


def test_a_missing_tensor_is_not_filled_with_random_numbers(tmp_path: Path) -> None:
    directory = tiny_model_directory("llama", tmp_path / "llama")
    config = json.loads((directory / "config.json").read_text())
    config["num_hidden_layers"] += 1
    (directory / "config.json").write_text(json.dumps(config))
    with pytest.raises(CorruptFile, match="lacks the tensor"):
        read_trainable(directory)
