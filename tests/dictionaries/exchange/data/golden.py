"""What three other tools write, and what they compute from it: the directories beside this file.

    python -m venv peers && peers/bin/pip install torch einops safetensors pyyaml natsort \\
        simple-parsing docstring-parser huggingface-hub accelerate transformers
    peers/bin/pip install --no-deps dictionary-learning==0.1.0 eai-sparsify==1.3.3 \\
        circuit-tracer==0.5.0
    peers/bin/python tests/dictionaries/exchange/data/golden.py tests/dictionaries/exchange/data

Made with these versions and torch 2.13.0+cpu on x86-64: weights from a seed, saved by the tools'
own classes or as their trainers save them; `expected.safetensors` holds the activations and outputs
of the tools on rows `x`. What of a tool needs nnsight or an optimiser is not imported.
"""

import importlib
import importlib.util
import json
import sys
import types
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file

SEED, D_IN, D_SAE, K, ROWS = 11, 6, 12, 3, 16


def package(name: str) -> None:
    """Make `name` importable part by part, without running what its `__init__` imports."""
    specification = importlib.util.find_spec(name)
    assert specification is not None and specification.submodule_search_locations
    module = types.ModuleType(name)
    module.__path__ = list(specification.submodule_search_locations)
    sys.modules[name] = module


def draw(module: Any, generator: torch.Generator) -> Any:
    """Weights such that some features are on, some off, and no bias is zero."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return module


def finish(directory: Path, **tensors: torch.Tensor) -> None:
    """Keep what was computed."""
    kept = {name: tensor.detach().float().contiguous() for name, tensor in tensors.items()}
    save_file(kept, directory / "expected.safetensors")


def dictionary_learning(out: Path, x: torch.Tensor, generator: torch.Generator) -> None:
    """One directory a class, as `training.trainSAE` saves it."""
    for name in ("dictionary_learning", "dictionary_learning.trainers"):
        package(name)
    dictionary = importlib.import_module("dictionary_learning.dictionary")
    trainers = "dictionary_learning.trainers"
    top_k = importlib.import_module(f"{trainers}.top_k")
    batch = importlib.import_module(f"{trainers}.batch_top_k")
    matryoshka = importlib.import_module(f"{trainers}.matryoshka_batch_top_k")
    models = {
        "AutoEncoder": dictionary.AutoEncoder(D_IN, D_SAE),
        "AutoEncoderNew": dictionary.AutoEncoderNew(D_IN, D_SAE),
        "GatedAutoEncoder": dictionary.GatedAutoEncoder(D_IN, D_SAE),
        "JumpReluAutoEncoder": dictionary.JumpReluAutoEncoder(D_IN, D_SAE),
        "AutoEncoderTopK": top_k.AutoEncoderTopK(D_IN, D_SAE, K),
        "BatchTopKSAE": batch.BatchTopKSAE(D_IN, D_SAE, K),
        "MatryoshkaBatchTopKSAE": matryoshka.MatryoshkaBatchTopKSAE(D_IN, D_SAE, K, [4, 8]),
    }
    for name, model in models.items():
        draw(model, generator)
        if name in ("BatchTopKSAE", "MatryoshkaBatchTopKSAE"):
            model.threshold.fill_(0.4)
        directory = out / name
        directory.mkdir(parents=True, exist_ok=True)
        torch.save({n: t.cpu() for n, t in model.state_dict().items()}, directory / "ae.pt")
        trainer = {
            "dict_class": name,
            "trainer_class": "a trainer",
            "activation_dim": D_IN,
            "dict_size": D_SAE,
            "layer": 2,
            "lm_name": "EleutherAI/pythia-70m-deduped",
            "submodule_name": "resid_post_layer_2",
            "seed": 0,
            **({"k": K} if "TopK" in name else {}),
        }
        config = {"trainer": trainer, "buffer": {"ctx_len": 128}}
        (directory / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        acts = model.encode(x.clone())
        finish(directory, x=x, acts=acts, out=model.decode(acts))


def sparsify(out: Path, x: torch.Tensor, generator: torch.Generator) -> None:
    """One directory a kind, by `SparseCoder.save_to_disk`."""
    package("sparsify")
    config = importlib.import_module("sparsify.config")
    coder = importlib.import_module("sparsify.sparse_coder")
    kinds = {
        "topk/layers.3": {},
        "groupmax/layers.3.mlp": {"activation": "groupmax"},
        "transcoder/layers.3.mlp": {"transcode": True},
        "skip/layers.3.mlp": {"transcode": True, "skip_connection": True},
        "groupmax_skip/h.0.mlp": {
            "activation": "groupmax",
            "transcode": True,
            "skip_connection": True,
        },
    }
    for name, settings in kinds.items():
        cfg = config.SparseCoderConfig(num_latents=D_SAE, k=K, **settings)
        model = draw(coder.SparseCoder(D_IN, cfg), generator)
        directory = out / name
        model.save_to_disk(directory)
        top = model.encode(x)
        acts = torch.zeros(ROWS, D_SAE).scatter(-1, top.top_indices, top.top_acts)
        finish(directory, x=x, acts=acts, out=model(x).sae_out)


def circuit_tracer(out: Path, x: torch.Tensor, generator: torch.Generator) -> None:
    """Sets of two layers, by `TranscoderSet.to_safetensors`, and their configs."""
    for name in ("circuit_tracer", "circuit_tracer.transcoder", "circuit_tracer.utils"):
        package(name)
    sys.modules["circuit_tracer.utils"].__dict__["get_default_device"] = lambda: "cpu"
    activations = importlib.import_module("circuit_tracer.transcoder.activation_functions")
    single = importlib.import_module("circuit_tracer.transcoder.single_layer_transcoder")
    kinds = {"relu": ("relu", False), "relu_skip": ("relu", True), "jumprelu": (None, False)}
    for name, (activation, skip) in kinds.items():
        layers = {}
        for layer in range(2):
            jump = activations.JumpReLU(torch.zeros(D_SAE), 0.1)
            function = jump if activation is None else torch.relu
            model = single.SingleLayerTranscoder(
                D_IN, D_SAE, function, layer, skip, dtype=torch.float32
            )
            layers[layer] = draw(model, generator)
            jump.threshold.data.abs_()
        transcoders = single.TranscoderSet(layers, "mlp.hook_in", "hook_mlp_out")
        directory = out / name
        transcoders.to_safetensors(str(directory))
        settings = {
            "model_name": "google/gemma-2-2b",
            "model_kind": "transcoder_set",
            "feature_input_hook": "mlp.hook_in",
            "feature_output_hook": "hook_mlp_out",
            **({} if activation is None else {"activation": activation}),
        }
        (directory / "config.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
        tensors = {"x": x}
        for layer, model in layers.items():
            acts = model.encode(x)
            tensors |= {f"acts.{layer}": acts, f"out.{layer}": model.decode(acts, x)}
        finish(directory, **tensors)


if __name__ == "__main__":
    root = Path(sys.argv[1])
    generator = torch.Generator().manual_seed(SEED)
    rows = torch.randn(ROWS, D_IN, generator=generator) * 2
    dictionary_learning(root / "dictionary_learning", rows, generator)
    sparsify(root / "sparsify", rows, generator)
    circuit_tracer(root / "circuit_tracer", rows, generator)
