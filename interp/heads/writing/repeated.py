"""RepeatWrites: what heads write on a random sample and on its repeats, from one forward pass."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.heads.attention import DirectLogits, LayerView
from interp.heads.attention.batch import HeadBatch
from interp.heads.writing.blocks import token_blocks
from interp.heads.writing.shares import attended_shares, raised_shares


class RepeatWrites:
    """Copying and anti-induction of every head, a sequence at a time.

    Sequences are BOS and a sample of `period` different random tokens, repeated. In the first
    repeat, which sees no copy, `copying` is the share of the attended token in all that the head's
    write raises among the sample, weighted by attention, mean over queries. In later repeats
    `target_logit` is the logit that the head writes for the token after the earlier copy, less the
    mean over the sample, in nats, mean over queries. Later layers are left out and the final norm
    is frozen. Label 0 is the true token. The others of `target_logit` are its cyclic shifts in the
    sample; those of `copied_by_block` are the next tokens in an order of all tokens, one a label,
    so that a token is compared with the same few wherever both are sampled. They are the same for
    all heads.
    """

    needs: frozenset[str] | set[str] = frozenset({"pattern", "z", "final_scale", "output_scale"})

    def __init__(self, *, controls: int, seed: int) -> None:
        self.controls, self.seed = controls, seed
        self._copying: list[np.ndarray] = []
        self._by_block: np.ndarray | None = None
        self._orders: _Orders | None = None
        self._targets: list[np.ndarray] = []
        self._layers: list[list[_Row]] = []
        self._samples: list[Sample] = []
        self._columns: Tensor | None = None
        self._last: LayerView | None = None

    @property
    def copying(self) -> Float[np.ndarray, "sequences layers heads"]:
        """Shares, 0 to 1; NaN where the head raised nothing in the sequence."""
        return np.concatenate(self._copying)

    @property
    def copied_by_block(self) -> Float[np.ndarray, "blocks labels layers heads"]:
        """The part of attended tokens of each block in the mean of `copying` over sequences.

        `[:, 0]` sums to that mean over the sequences where it is defined.
        """
        assert self._by_block is not None
        defined = (~np.isnan(self.copying)).sum(axis=0)
        with np.errstate(invalid="ignore"):
            return self._by_block / np.where(defined > 0, defined, np.nan)

    @property
    def target_logit(self) -> Float[np.ndarray, "sequences labels layers heads"]:
        """Nats."""
        return np.concatenate(self._targets)

    def see(self, view: LayerView) -> None:
        """Reduce one layer of a batch; the same view again, for another detector, is no work."""
        if view is self._last:
            return
        self._last = view
        if self._orders is None:
            self._orders = _Orders.of(view.geometry.d_vocab, self.controls, self.seed)
        if view.layer == 0:
            self._samples = [Sample.of(view.batch, row) for row in range(view.batch.size)]
            ids = torch.from_numpy(np.concatenate([one.tokens for one in self._samples]))
            self._columns = DirectLogits(view.geometry).columns(ids.to(view.z.device))
        self._layers.append(self._read(view))

    def end_batch(
        self, batch: HeadBatch, *, final_scale: Float[Tensor, "batch pos 1"] | None
    ) -> None:
        """Divide by the final norm's scale, known only now, and keep a row a sequence."""
        if not self._layers or final_scale is None:
            return
        sigma = [final_scale[i, one.later] for i, one in enumerate(self._samples)]
        self._copying.append(self._take_blocks())
        targets = [
            [(row.targets / scale).mean(-2) for row, scale in zip(rows, sigma, strict=True)]
            for rows in self._layers
        ]
        self._targets.append(_by_sequence(targets))
        self._layers, self._columns, self._last = [], None, None
        assert len(self._copying[-1]) == batch.size

    def _take_blocks(self) -> Float[np.ndarray, "batch layers heads"]:
        """Add what was copied of each token to its block; the sum over tokens, by sequence."""
        assert self._orders is not None
        blocks = [torch.from_numpy(self._orders.block[one.tokens]) for one in self._samples]
        parts = [[row.copying.double().cpu() for row in rows] for rows in self._layers]
        n_heads, n_labels, _ = parts[0][0].shape
        total = torch.zeros(len(parts), n_heads, n_labels, self._orders.n_blocks).double()
        for layer, rows in enumerate(parts):
            for block, part in zip(blocks, rows, strict=True):
                total[layer].index_add_(-1, block, part.nan_to_num())
        seen = total.permute(3, 2, 0, 1).numpy()
        self._by_block = seen if self._by_block is None else self._by_block + seen
        return torch.stack(
            [torch.stack([part[:, 0].sum(-1) for part in rows], dim=0) for rows in parts], dim=1
        ).numpy()

    def _read(self, view: LayerView) -> list["_Row"]:
        assert self._columns is not None
        gain = view.geometry.output_gain(view.layer)[:, None]
        maps = view.geometry.W_O(view.layer) @ (gain * self._columns)
        rows, start = [], 0
        for index, sample in enumerate(self._samples):
            own = maps[:, :, start : start + sample.period]
            start += sample.period
            logits = view.z[index, sample.start : sample.stop].transpose(0, 1) @ own
            scale = None if view.output_scale is None else view.output_scale[index, sample.later]
            attention = view.pattern[index, :, sample.first, sample.first]
            rows.append(self._row(sample, logits, attention, scale))
        return rows

    def _row(
        self,
        sample: "Sample",
        logits: Float[Tensor, "n_heads pos tokens"],
        attention: Float[Tensor, "n_heads first first"],
        scale: Float[Tensor, "later 1"] | None,
    ) -> "_Row":
        assert self._orders is not None
        first, later = logits[:, : sample.period], logits[:, sample.period :]
        targets = target_logits(later, sample.shifts(self.controls, self.seed))
        others = torch.from_numpy(self._orders.others(sample.tokens)).to(logits.device)
        return _Row(
            copying=copied_shares(first, attention, others),
            targets=targets if scale is None else targets / scale,
        )


def copied_shares(
    logits: Float[Tensor, "n_heads first tokens"],
    attention: Float[Tensor, "n_heads first tokens"],
    others: Int[Tensor, "labels tokens"],
) -> Float[Tensor, "n_heads labels tokens"]:
    """Share of each token (or the one in its place) in what is raised, weighted by attention to it.

    Mean over queries that raise anything: the sum over tokens is the share of the attended token.
    Attention to what stands before the sample is left out and the rest scaled to sum to 1.
    """
    shares = raised_shares(logits)
    seen = attention.sum(-1, keepdim=True)
    within = torch.where(seen > 0, attention / seen, 0.0)
    wrote = (shares.sum(-1) > 0) & (seen[..., 0] > 0)
    copied = attended_shares(within * wrote[..., None], shares, others)
    count = wrote.sum(-1)[:, None, None]
    return torch.where(count > 0, copied / count.clamp_min(1), torch.nan)


def target_logits(
    logits: Float[Tensor, "n_heads later tokens"], shifts: list[int]
) -> Float[Tensor, "n_heads later shifts"]:
    """Logit of the token after the earlier copy (and `shift` further on), less the mean."""
    n = logits.shape[-1]
    at = torch.arange(logits.shape[1], device=logits.device)
    next_one = torch.stack([(at + 1 + shift) % n for shift in shifts], dim=-1)
    chosen = logits.gather(-1, next_one.expand(len(logits), -1, -1))
    return chosen - logits.mean(-1, keepdim=True)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The sample of one sequence, and where it and its repeats stand."""

    tokens: Int[np.ndarray, " period"]
    start: int
    stop: int
    sequence: int

    @classmethod
    def of(cls, batch: HeadBatch, row: int) -> "Sample":
        """Of one row of a batch of repeated tokens."""
        assert batch.period is not None
        stop = int(np.flatnonzero(batch.attention_mask[row])[-1]) + 1
        own = batch.tokens[row, batch.start : batch.start + int(batch.period[row])]
        return cls(
            tokens=own.astype(np.int64),
            start=batch.start,
            stop=stop,
            sequence=int(batch.sequence[row]),
        )

    @property
    def period(self) -> int:
        """Tokens of the sample."""
        return len(self.tokens)

    @property
    def first(self) -> slice:
        """Positions of the first repeat."""
        return slice(self.start, self.start + self.period)

    @property
    def later(self) -> slice:
        """Positions with an earlier copy."""
        return slice(self.start + self.period, self.stop)

    def shifts(self, controls: int, seed: int) -> list[int]:
        """0 and `controls` others, drawn by the number of the sequence."""
        rng = np.random.default_rng([seed, self.sequence])
        others = 1 + rng.choice(self.period - 1, size=controls, replace=controls > self.period - 1)
        return [0, *others.tolist()]


@dataclass(frozen=True)
class _Orders:
    """Orders of all tokens, one a control, and the block of each token."""

    rank: Float[np.ndarray, "controls d_vocab"]
    block: Int[np.ndarray, " d_vocab"]

    @classmethod
    def of(cls, d_vocab: int, controls: int, seed: int) -> "_Orders":
        rng = np.random.default_rng([seed, d_vocab])
        rank = rng.random((controls, d_vocab), dtype=np.float32)
        return cls(rank, token_blocks(d_vocab, rng=rng))

    @property
    def n_blocks(self) -> int:
        return int(self.block.max()) + 1

    def others(self, tokens: Int[np.ndarray, " tokens"]) -> Int[np.ndarray, "labels tokens"]:
        """By place in `tokens`: each itself, then the next one of them in every order."""
        order = np.argsort(self.rank[:, tokens], axis=1)
        following = np.empty_like(order)
        np.put_along_axis(following, order, np.roll(order, -1, axis=1), axis=1)
        return np.concatenate([np.arange(len(tokens))[None], following])


@dataclass(frozen=True)
class _Row:
    copying: Float[Tensor, "n_heads labels tokens"]
    targets: Float[Tensor, "n_heads later labels"]


def _by_sequence(
    values: list[list[Float[Tensor, "n_heads labels"]]],
) -> Float[np.ndarray, "batch labels layers heads"]:
    stacked = torch.stack([torch.stack(rows) for rows in values])
    return stacked.permute(1, 3, 0, 2).double().cpu().numpy()
