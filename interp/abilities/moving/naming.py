"""One model's tensors under the names that another model gives them.

A checkpoint of the bare trunk lacks the prefix (`model.`, `transformer.`) that the language model
class puts before it, and an output head tied to the embedding may be stored or not.
"""

from collections.abc import Iterable
from dataclasses import replace

from interp.abilities.moving.compatibility import same_bits, same_change
from interp.abilities.moving.weights import AbilityWeights
from interp.abilities.streaming.checkpoint import Checkpoint
from interp.models.architectures import read_config
from interp.models.identity import tied_pairs
from interp.results.errors import Mismatch

_TRUNKS = ("model.", "transformer.", "gpt_neox.", "bert.")


def names_in(base: Iterable[str], other: Iterable[str]) -> dict[str, str]:
    """The name in the base for every name of the other model; its own where the base has none.

    Of all prefixes to put before or take away, the one under which most names are the base's.
    """
    own, other = set(base), list(other)
    candidates = [{name: name for name in other}]
    for trunk in _TRUNKS:
        candidates.append({name: _known(f"{trunk}{name}", own, name) for name in other})
        candidates.append({name: _known(name.removeprefix(trunk), own, name) for name in other})
    return max(candidates, key=lambda names: sum(new in own for new in names.values()))


def match_names(base: Checkpoint, other: Checkpoint) -> None:
    """Call the other model's tensors as the base does, and give both the same tied tensors.

    Raises Mismatch where a head that the base ties to its embedding differs from it.
    """
    other.rename(names_in(base.spans, other.spans))
    for head, embedding in _tied(base):
        if head in other.spans and head not in base.spans and embedding in other.spans:
            if not same_bits(other, head, embedding):
                raise Mismatch(
                    f"{head!r} of {other.span(head).file} differs from {embedding!r}, to which "
                    f"{base.directory} ties it: give models that both tie it, or neither"
                )
            other.drop(head)
        elif head in base.spans and head not in other.spans and embedding in other.spans:
            other.alias(head, embedding)


def matched_weights(base: Checkpoint, weights: AbilityWeights) -> AbilityWeights:
    """The ability with its tensors named as in the base, and the same tied tensors.

    Raises Mismatch where it changes a head otherwise than the embedding that the base ties it to.
    """
    names = names_in(base.spans, weights.tensors)
    tensors = {names[name]: tensor for name, tensor in weights.tensors.items()}
    for head, embedding in _tied(base):
        if head in tensors and head not in base.spans:
            if not same_change(tensors[head], tensors.get(embedding)):
                raise Mismatch(
                    f"the ability changes {head!r} otherwise than {embedding!r}, to which "
                    f"{base.directory} ties it: extract with a mask without them"
                )
            del tensors[head]
        elif head in base.spans and head not in weights.base.tensors and embedding in tensors:
            tensors[head] = tensors[embedding]
    return replace(weights, tensors=tensors)


def _tied(base: Checkpoint) -> tuple[tuple[str, str], ...]:
    return tied_pairs(base.spans, read_config(base.directory))


def _known(candidate: str, own: set[str], name: str) -> str:
    return candidate if name not in own and candidate in own else name
