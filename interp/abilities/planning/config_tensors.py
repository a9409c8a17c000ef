"""Names and shapes of a decoder's tensors from its config alone, as its files hold them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from interp.results.errors import BadInput, Unsupported

Shape = tuple[int, ...]
Tensors = Iterator[tuple[str, Shape]]
Config = Mapping[str, Any]


def tensors_of_config(config: Config) -> dict[str, Shape]:
    """Shape of every tensor by name.

    Raises Unsupported for a model type that is not known here, BadInput if a field is missing.
    """
    kind = str(config.get("model_type"))
    if kind not in _KINDS:
        raise Unsupported(
            f"model type {kind!r} is not planned from a config: known are "
            f"{', '.join(sorted(_KINDS))}; give the model's directory, whose headers say it all"
        )
    try:
        return dict(_KINDS[kind](config))
    except (KeyError, TypeError) as error:
        raise BadInput(
            f"the config lacks or garbles {error}: give the whole config.json"
        ) from error


def _gated(
    config: Config, *, biases: tuple[str, ...] = (), fused: bool = False, norms: tuple[str, ...]
) -> Tensors:
    """Llama and its kin: grouped attention and a gated MLP under `model.`."""
    d_model, d_mlp, d_vocab = (
        int(config[key]) for key in ("hidden_size", "intermediate_size", "vocab_size")
    )
    heads = int(config["num_attention_heads"])
    kv_heads = int(config.get("num_key_value_heads") or heads)
    d_head = int(config.get("head_dim") or d_model // heads)
    yield "model.embed_tokens.weight", (d_vocab, d_model)
    for layer in range(int(config["num_hidden_layers"])):
        block = f"model.layers.{layer}"
        widths = {"q": heads * d_head, "k": kv_heads * d_head, "v": kv_heads * d_head}
        if fused:
            yield f"{block}.self_attn.qkv_proj.weight", (sum(widths.values()), d_model)
            yield f"{block}.mlp.gate_up_proj.weight", (2 * d_mlp, d_model)
        else:
            for name, width in widths.items():
                yield f"{block}.self_attn.{name}_proj.weight", (width, d_model)
                if name in biases:
                    yield f"{block}.self_attn.{name}_proj.bias", (width,)
            yield f"{block}.mlp.gate_proj.weight", (d_mlp, d_model)
            yield f"{block}.mlp.up_proj.weight", (d_mlp, d_model)
        yield f"{block}.self_attn.o_proj.weight", (d_model, heads * d_head)
        if "o" in biases:
            yield f"{block}.self_attn.o_proj.bias", (d_model,)
        yield f"{block}.mlp.down_proj.weight", (d_model, d_mlp)
        for norm in norms:
            width = d_head if norm in ("self_attn.q_norm", "self_attn.k_norm") else d_model
            yield f"{block}.{norm}.weight", (width,)
    yield "model.norm.weight", (d_model,)
    yield from _head(config, "lm_head.weight", (d_vocab, d_model), tied=False)


def _head(config: Config, name: str, shape: Shape, *, tied: bool) -> Tensors:
    """The output head, unless it is the embedding; `tied` is what a silent config means."""
    if not config.get("tie_word_embeddings", tied):
        yield name, shape


_NORMS = ("input_layernorm", "post_attention_layernorm")


def _llama(config: Config) -> Tensors:
    biases = ("q", "k", "v", "o") if config.get("attention_bias") else ()
    return _gated(config, biases=biases, norms=_NORMS)


def _mistral(config: Config) -> Tensors:
    return _gated(config, norms=_NORMS)


def _qwen2(config: Config) -> Tensors:
    return _gated(config, biases=("q", "k", "v"), norms=_NORMS)


def _qwen3(config: Config) -> Tensors:
    sized = {"head_dim": 128, **config}
    return _gated(sized, norms=(*_NORMS, "self_attn.q_norm", "self_attn.k_norm"))


def _phi3(config: Config) -> Tensors:
    return _gated(config, fused=True, norms=_NORMS)


def _gemma2(config: Config) -> Tensors:
    sized = {"head_dim": 256, "tie_word_embeddings": True, **config}
    return _gated(sized, norms=(*_NORMS, "pre_feedforward_layernorm", "post_feedforward_layernorm"))


def _gpt_neox(config: Config) -> Tensors:
    d_model, d_mlp, d_vocab = (
        int(config[key]) for key in ("hidden_size", "intermediate_size", "vocab_size")
    )
    yield "gpt_neox.embed_in.weight", (d_vocab, d_model)
    for layer in range(int(config["num_hidden_layers"])):
        block = f"gpt_neox.layers.{layer}"
        for name, d_out, d_in in (
            ("attention.query_key_value", 3 * d_model, d_model),
            ("attention.dense", d_model, d_model),
            ("mlp.dense_h_to_4h", d_mlp, d_model),
            ("mlp.dense_4h_to_h", d_model, d_mlp),
        ):
            yield f"{block}.{name}.weight", (d_out, d_in)
            yield f"{block}.{name}.bias", (d_out,)
        for norm in _NORMS:
            yield f"{block}.{norm}.weight", (d_model,)
            yield f"{block}.{norm}.bias", (d_model,)
    yield "gpt_neox.final_layer_norm.weight", (d_model,)
    yield "gpt_neox.final_layer_norm.bias", (d_model,)
    yield from _head(config, "embed_out.weight", (d_vocab, d_model), tied=False)


def _gpt2(config: Config) -> Tensors:
    d_model, d_vocab = int(config["n_embd"]), int(config["vocab_size"])
    d_mlp = int(config.get("n_inner") or 4 * d_model)
    yield "transformer.wte.weight", (d_vocab, d_model)
    yield "transformer.wpe.weight", (int(config["n_positions"]), d_model)
    for layer in range(int(config["n_layer"])):
        block = f"transformer.h.{layer}"
        for name, d_in, d_out in (
            ("attn.c_attn", d_model, 3 * d_model),
            ("attn.c_proj", d_model, d_model),
            ("mlp.c_fc", d_model, d_mlp),
            ("mlp.c_proj", d_mlp, d_model),
        ):
            yield f"{block}.{name}.weight", (d_in, d_out)
            yield f"{block}.{name}.bias", (d_out,)
        for norm in ("ln_1", "ln_2"):
            yield f"{block}.{norm}.weight", (d_model,)
            yield f"{block}.{norm}.bias", (d_model,)
    yield "transformer.ln_f.weight", (d_model,)
    yield "transformer.ln_f.bias", (d_model,)
    yield from _head(config, "lm_head.weight", (d_vocab, d_model), tied=True)


_KINDS: dict[str, Callable[[Config], Tensors]] = {
    "llama": _llama,
    "mistral": _mistral,
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "phi3": _phi3,
    "gemma2": _gemma2,
    "gpt_neox": _gpt_neox,
    "gpt2": _gpt2,
}
