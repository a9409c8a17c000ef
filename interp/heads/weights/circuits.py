"""VocabularyCircuits: every head's way from tokens to tokens, as factors through d_head."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from interp.heads.attention import DirectLogits, HeadGeometry
from interp.heads.weights.effective import effective_embedding
from interp.heads.weights.low_rank import Columns, largest
from interp.heads.weights.norms import AttentionNorms
from interp.results.errors import BadInput, Unsupported


@dataclass(frozen=True)
class VocabularyCircuits:
    """What the heads of a model do to single tokens: from embedding to logits, and to attention.

        OV[t, t'] = x(t) W_V W_O U[:, t']              U = C diag(gamma) W_U, its mean removed
        QK[t, t'] = n(U[:, t]) W_Q W_Kᵀ x(t')ᵀ

    x(t) is the input that attention makes of the effective embedding (block 0 has the embedding
    itself), n its norm; biases, the same for every token, are left out, rotary positions stand at
    distance 0, and each row is right up to a positive factor. Nothing of size d_vocab x d_vocab is
    formed.
    """

    geometry: HeadGeometry
    norms: AttentionNorms

    @cached_property
    def unembedding(self) -> Float[Tensor, "d_model d_vocab"]:
        """C diag(gamma) W_U less its mean over tokens: from a residual write to logits.

        Logits are then relative to their mean, as softmax sees them: without it the eigenvalues
        would change with a constant that changes no prediction. Times the final norm's scale.
        """
        every = torch.arange(self.geometry.d_vocab, device=self.geometry.device)
        columns = DirectLogits(self.geometry).columns(every).float()
        return columns - columns.mean(dim=1, keepdim=True)

    def embedding(self, layer: int) -> Float[Tensor, "d_vocab d_model"]:
        """x(t) for every token, but for the gain of the norm, which is in the weights here."""
        return self._embedding if layer == 0 else self._effective

    def round_trip(self, layer: int) -> Float[Tensor, "d_model d_model"]:
        """U E of the layer's embeddings, d_model x d_model."""
        return self._first_trip if layer == 0 else self._later_trip

    def W_V(self, layer: int) -> Float[Tensor, "n_heads d_model d_head"]:  # noqa: N802
        """Value weights with the gain of the norm before attention, one for every head."""
        gain = self.norms.gain(layer)[:, None]
        return gain * self.geometry.per_head(self.geometry.W_V(layer)).float()

    def W_O(self, layer: int) -> Float[Tensor, "n_heads d_head d_model"]:  # noqa: N802
        """Output weights with the gain of a norm behind attention."""
        return self.geometry.W_O(layer).float() * self.geometry.output_gain(layer).float()

    def ov_factors(
        self, layer: int, tokens: Int[Tensor, " tokens"]
    ) -> tuple[Float[Tensor, "n_heads tokens d_head"], Float[Tensor, "n_heads d_head d_vocab"]]:
        """Rows of the OV circuit for `tokens`, as (left, right): logits over the vocabulary."""
        return self.embedding(layer)[tokens] @ self.W_V(layer), self.W_O(layer) @ self.unembedding

    def ov_entries(
        self, layer: int, tokens: Int[Tensor, " tokens"], targets: Int[Tensor, " targets"]
    ) -> Float[Tensor, "n_heads tokens targets"]:
        """The OV circuit from `tokens` to the logits of `targets` alone."""
        values = self.embedding(layer)[tokens] @ self.W_V(layer)
        return values @ (self.W_O(layer) @ self.unembedding[:, targets])

    def qk_factors(
        self, layer: int, tokens: Int[Tensor, " tokens"]
    ) -> tuple[Float[Tensor, "n_heads tokens d_head"], Float[Tensor, "n_heads d_head d_vocab"]]:
        """Attention scores of a query that predicts each of `tokens` for every token as key."""
        gain = self.norms.gain(layer)[:, None]
        query = self.norms.normalised(self.unembedding[:, tokens].T)
        queries = query @ (gain * self.geometry.W_Q(layer).float())
        keys = self.embedding(layer) @ (gain * self.geometry.W_K(layer).float())
        keys = self.geometry.per_head(self.norms.of_keys(layer, keys))
        return self.norms.of_queries(layer, queries), keys.transpose(1, 2)

    @cached_property
    def _embedding(self) -> Tensor:
        return self.norms.normalised(self.geometry.W_E.float())

    @cached_property
    def _effective(self) -> Tensor:
        return self.norms.normalised(effective_embedding(self.geometry.bridge).float())

    @cached_property
    def _first_trip(self) -> Tensor:
        return self.unembedding @ self._embedding

    @cached_property
    def _later_trip(self) -> Tensor:
        return self.unembedding @ self._effective


def vocabulary_circuits(bridge: TransformerBridge) -> VocabularyCircuits:
    """The circuits of a loaded model; what is large is made when it is first asked for.

    Raises Unsupported, by name, for a model whose attention reads the residual stream in a way we
    do not know, or whose embedding and unembedding hold different numbers of tokens.
    """
    geometry = HeadGeometry.of(bridge)
    if len(geometry.W_E) != geometry.d_vocab:
        raise Unsupported(
            f"{geometry.name} embeds {len(geometry.W_E)} tokens and unembeds {geometry.d_vocab}: "
            "a circuit from tokens to tokens needs the same ones on both sides"
        )
    return VocabularyCircuits(geometry, AttentionNorms.of(geometry))


def written_tokens(
    circuits: VocabularyCircuits, layer: int, head: int, tokens: list[int], k: int = 10
) -> Columns:
    """The k tokens whose logits a head raises most when it attends to each of `tokens`."""
    left, right = circuits.ov_factors(layer, _ids(circuits, tokens))
    return largest(left[head], right[head], min(k, circuits.geometry.d_vocab))


def attended_tokens(
    circuits: VocabularyCircuits, layer: int, head: int, tokens: list[int], k: int = 10
) -> Columns:
    """The k tokens that a head attends to most from a place where each of `tokens` is predicted."""
    left, right = circuits.qk_factors(layer, _ids(circuits, tokens))
    return largest(left[head], right[head], min(k, circuits.geometry.d_vocab))


def _ids(circuits: VocabularyCircuits, tokens: list[int]) -> Int[Tensor, " tokens"]:
    beyond = [token for token in tokens if not 0 <= token < circuits.geometry.d_vocab]
    if beyond:
        raise BadInput(f"no token {beyond[0]}: the model has {circuits.geometry.d_vocab}")
    return torch.tensor(tokens, dtype=torch.long, device=circuits.geometry.device)
