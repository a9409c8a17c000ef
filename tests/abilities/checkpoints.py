"""Small sharded Hugging Face directories with weights of any format, and the same in memory."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from interp.models.weight_files import INDEX, SINGLE

N_TOKENS = 11
SHAPES = {
    "model.embed_tokens.weight": (N_TOKENS, 6),
    "model.layers.0.mlp.weight": (9, 6),
    "model.layers.0.norm.weight": (6,),
    "model.layers.1.mlp.weight": (9, 6),
    "model.layers.1.norm.weight": (6,),
    "lm_head.weight": (N_TOKENS, 6),
}
Tensors = dict[str, torch.Tensor]


def random_tensors(seed: int, dtype: torch.dtype = torch.float32, shapes=None) -> Tensors:
    """Tensors with one random value an entry, and a zero of either sign in each."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in (shapes or SHAPES).items():
        tensor = torch.randn(shape, generator=generator, dtype=torch.float64)
        if tensor.numel() > 3:
            tensor.view(-1)[:2] = torch.tensor([0.0, -0.0])
        tensors[name] = tensor.to(dtype)
    return tensors


def near(tensors: Tensors, seed: int, scale: float = 0.1) -> Tensors:
    """Tensors that differ from those given by a tenth, some entries not at all."""
    generator = torch.Generator().manual_seed(seed)
    moved = {}
    for name, tensor in tensors.items():
        step = torch.randn(tensor.shape, generator=generator, dtype=torch.float64) * scale
        step[torch.rand(tensor.shape, generator=generator) < 0.2] = 0
        moved[name] = torch.where(step == 0, tensor, (tensor.double() + step).to(tensor.dtype))
    return moved


def write_model(
    directory: Path, tensors: Tensors, *, shards: int = 1, tokenizer: str = "one", **config
) -> Path:
    """A model directory with config, tokenizer and the tensors in so many shards."""
    directory.mkdir(parents=True)
    fields = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "dtype": "float32"}
    (directory / "config.json").write_text(json.dumps({**fields, **config}))
    (directory / "generation_config.json").write_text('{"max_length": 9}')
    vocab = {f"{tokenizer}{row}": row for row in range(N_TOKENS)}
    (directory / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocab}}))
    (directory / "README.md").write_text("another model's card")
    names = list(tensors)
    if shards == 1:
        save_file(tensors, directory / SINGLE, {"format": "pt"})
        return directory
    weight_map = {}
    for i in range(shards):
        part = {name: tensors[name] for name in names[i::shards]}
        file = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        save_file(part, directory / file, {"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (directory / INDEX).write_text(json.dumps(index))
    return directory


def read_model(directory: Path) -> Tensors:
    """Every tensor of a model directory, by safetensors' own reader."""
    from safetensors.torch import load_file

    files = sorted(directory.glob("*.safetensors"))
    return {name: t for file in files for name, t in load_file(file).items()}


def bits(tensor: torch.Tensor) -> bytes:
    """The raw bytes, so that zeros of either sign differ."""
    return tensor.contiguous().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def assert_same_bits(one: Tensors, two: Tensors) -> None:
    """Equal names, formats, shapes and bits."""
    assert one.keys() == two.keys()
    for name in one:
        assert one[name].dtype == two[name].dtype, name
        assert one[name].shape == two[name].shape, name
        assert bits(one[name]) == bits(two[name]), name
