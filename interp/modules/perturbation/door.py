"""What is checked before the first forward pass: the model, the findings, and the splits."""

from collections.abc import Sequence

from transformer_lens.model_bridge import TransformerBridge

from interp.models.architectures import ARCHITECTURES
from interp.models.identity import model_hash
from interp.models.load import reference_of, unedited
from interp.models.tokenizer import tokenizer_facts
from interp.modules.partition import Partition
from interp.modules.perturbation.items import FunctionItem, check_items, functions_of
from interp.neurons.scores import NeuronScores
from interp.results.errors import BadInput, Mismatch, Unsupported


def check_models(
    bridge: TransformerBridge,
    pairs: Sequence[tuple[NeuronScores, Partition]],
    *,
    force: bool,
) -> str | None:
    """The model's hash, None for one that was made in memory or edited since it was loaded.

    Raises Unsupported for a model that does not predict the next token, and Mismatch for findings
    of another model unless `force`.
    """
    architecture = type(bridge.original_model).__name__
    if ARCHITECTURES.get(architecture) != "decoder":
        raise Unsupported(
            f"{architecture} does not predict the next token: neurons are disturbed in decoders"
        )
    reference = reference_of(bridge)
    if reference is None or reference.path is None or not unedited(bridge):
        return None
    digest = model_hash(reference.path)
    for scores, partition in pairs:
        for what, other in (
            ("scores", scores.provenance.model_hash),
            ("partition", partition.model_hash),
        ):
            if other not in (None, digest) and not force:
                raise Mismatch(
                    f"the {what} of {scores.site} are of model {other[:12]}, and this one is "
                    f"{digest[:12]}: use those of this model, or --force to test it anyway"
                )
    return digest


def splits_of(
    items: Sequence[FunctionItem],
) -> tuple[list[FunctionItem], list[FunctionItem]]:
    """The validation and the test items; BadInput for a function with too few of either."""
    check_items(items)
    splits = [[i for i in items if i.split == split] for split in ("validation", "test")]
    for function in functions_of(items):
        counts = [sum(i.function == function for i in split) for split in splits]
        if counts[0] < 1 or counts[1] < 2:
            raise BadInput(
                f"function {function!r} has {counts[0]} validation and {counts[1]} test items: at "
                "least 1 and 2 are needed, some hundreds to tell a small drop"
            )
        answers = {i.has_answer for i in items if i.function == function}
        if len(answers) > 1:
            raise BadInput(
                f"function {function!r} has items with and without an answer: give it one kind"
            )
    return splits[0], splits[1]


def special_ids_of(bridge: TransformerBridge) -> tuple[int, ...]:
    """Ids that are never disturbed, as the model's files declare; none for a model in memory."""
    reference = reference_of(bridge)
    if reference is None or reference.path is None:
        return ()
    return tokenizer_facts(reference.path).special_ids
