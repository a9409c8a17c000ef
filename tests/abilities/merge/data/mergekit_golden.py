"""What mergekit 0.1.5 makes of a tiny model in every format, as `mergekit-0.1.5.safetensors`.

    python -m venv mk && mk/bin/pip install mergekit==0.1.5 torch==2.13.0
    mk/bin/python tests/abilities/merge/data/mergekit_golden.py tests/abilities/merge/data

Made with mergekit 0.1.5, torch 2.13.0+cpu and transformers 5.23.0 on x86-64, whole directories in
and out, `random_seed` 7. Keys are DTYPE/MODEL/TENSOR for the inputs (base, one, two, three) and
DTYPE/CASE/TENSOR for the outputs. The inputs hold zeros of both signs, entries that do not differ
from the base, and differences of one size and of opposite sign.
"""

import json
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

SEED = 7
D_MODEL, D_MLP, D_VOCAB, N_LAYERS = 8, 12, 16, 2
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
TWO = [{"weight": 0.6}, {"weight": 0.5}]
CASES = {
    "task_arithmetic": ("task_arithmetic", TWO, {}),
    "task_arithmetic_normalized": ("task_arithmetic", TWO, {"normalize": True, "lambda": 0.7}),
    "task_arithmetic_three": ("task_arithmetic", [*TWO, {"weight": -0.3}], {}),
    "task_arithmetic_negative": ("task_arithmetic", [{"weight": -0.6}, {"weight": -0.5}], {}),
    "ties": ("ties", [one | {"density": 0.3} for one in TWO], {}),
    "ties_all": ("ties", TWO, {"lambda": 0.7}),
    "ties_three": ("ties", [one | {"density": 0.6} for one in [*TWO, {"weight": 0.8}]], {}),
    "ties_summed": ("ties", [one | {"density": 0.5} for one in TWO], {"normalize": False}),
    "dare_linear": ("dare_linear", [one | {"density": 0.5} for one in TWO], {}),
    "dare_ties": ("dare_ties", [one | {"density": 0.4} for one in TWO], {}),
    "dare_plain": ("dare_linear", [one | {"density": 0.5} for one in TWO], {"rescale": False}),
    "linear": ("linear", TWO, {}),
    "slerp": ("slerp", [{}], {"t": 0.3}),
}
"""Of every case the method, the parameters of each model, and those of all."""


def shapes() -> dict[str, tuple[int, ...]]:
    """The tensors of a Llama with two layers."""
    tensors: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (D_VOCAB, D_MODEL)}
    for layer in range(N_LAYERS):
        at = f"model.layers.{layer}"
        tensors |= {f"{at}.self_attn.{p}_proj.weight": (D_MODEL, D_MODEL) for p in "qkvo"}
        tensors |= {f"{at}.mlp.{p}_proj.weight": (D_MLP, D_MODEL) for p in ("gate", "up")}
        tensors |= {f"{at}.mlp.down_proj.weight": (D_MODEL, D_MLP)}
        tensors |= {f"{at}.{p}_layernorm.weight": (D_MODEL,) for p in ("input", "post_attention")}
    return {**tensors, "model.norm.weight": (D_MODEL,), "lm_head.weight": (D_VOCAB, D_MODEL)}


def inputs(dtype: torch.dtype, seed: int = SEED) -> dict[str, dict[str, torch.Tensor]]:
    """A base and three models near it, one of them opposite to another in places."""
    generator = torch.Generator().manual_seed(seed)
    models: dict[str, dict[str, torch.Tensor]] = {n: {} for n in ("base", "one", "two", "three")}
    for name, shape in shapes().items():
        base = torch.randn(shape, generator=generator)
        base.view(-1)[:2] = torch.tensor([0.0, -0.0])
        steps = [torch.randn(shape, generator=generator) * 0.1 for _ in range(3)]
        for step in steps:
            step[torch.rand(shape, generator=generator) < 0.2] = 0.0
            step[torch.rand(shape, generator=generator) < 0.2] = 0.125
            step.view(-1)[:2] = 0.0
        steps[1].view(-1)[4:8] = -steps[0].view(-1)[4:8]
        models["base"][name] = base.to(dtype)
        for model, step in zip(("one", "two", "three"), steps, strict=True):
            models[model][name] = torch.where(step == 0, base, base + step).to(dtype)
    return models


def write_inputs(place: Path, dtype: str, models: dict[str, dict[str, torch.Tensor]]) -> None:
    """The models as Hugging Face directories."""
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "dtype": dtype,
        "num_hidden_layers": N_LAYERS,
        "hidden_size": D_MODEL,
        "intermediate_size": D_MLP,
        "vocab_size": D_VOCAB,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "tie_word_embeddings": False,
    }
    for name, tensors in models.items():
        (place / name).mkdir(parents=True)
        (place / name / "config.json").write_text(json.dumps(config))
        save_file(tensors, place / name / "model.safetensors", {"format": "pt"})


def mergekit_output(place: Path, case: str) -> dict[str, torch.Tensor]:
    """What mergekit makes of the models in `place`."""
    from mergekit.config import MergeConfiguration  # pyright: ignore[reportMissingImports]
    from mergekit.merge import MergeOptions, run_merge  # pyright: ignore[reportMissingImports]

    method, each, shared = CASES[case]
    named = zip(("one", "two", "three"), each, strict=False)
    content = {
        "merge_method": method,
        "base_model": str(place / "base"),
        "models": [{"model": str(place / name), "parameters": one} for name, one in named],
        "parameters": shared,
    }
    if method == "linear":
        del content["base_model"]
    options = MergeOptions(
        random_seed=SEED, lazy_unpickle=True, copy_tokenizer=False, quiet=True,
        write_model_card=False,
    )  # fmt: skip
    run_merge(MergeConfiguration.model_validate(content), str(place / case), options)
    return load_file(place / case / "model.safetensors")


def main() -> None:
    """Write the file."""
    kept = {}
    for dtype in DTYPES:
        with tempfile.TemporaryDirectory() as place:
            models = inputs(DTYPES[dtype])
            write_inputs(Path(place), dtype, models)
            models |= {case: mergekit_output(Path(place), case) for case in CASES}
        for model, tensors in models.items():
            kept |= {f"{dtype}/{model}/{name}": tensor for name, tensor in tensors.items()}
    save_file(kept, Path(sys.argv[1]) / "mergekit-0.1.5.safetensors")


if __name__ == "__main__":
    main()
