"""FunctionVectors: one vector a task, and what adding it to prompts without demonstrations does."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from interp.heads.columns import Head
from interp.results.errors import BadInput, CorruptFile
from interp.results.finding import load_finding, save_finding
from interp.results.intervals import Interval, wilson
from interp.results.provenance import Provenance
from interp.results.tables import html_table

SCHEMA = "interp.function-vectors/1"
_ARRAYS = (
    *("vectors", "accuracy", "log_probability", "plain_accuracy", "plain_log_probability"),
    *("few_shot_accuracy", "random_accuracy", "random_log_probability"),
    *("shuffled_accuracy", "shuffled_log_probability", "n_asked"),
)
HEADING = (
    "task",
    "layer",
    "accuracy with the vector",
    "without",
    "random heads",
    "shuffled labels",
)


@dataclass(frozen=True, kw_only=True)
class FunctionVectors:
    """Sum of what the best heads write on average (arXiv 2310.15213), added to the residual.

    Accuracy: the answer's first token is the likeliest. Everything is on questions that neither
    chose the heads nor made the vector.
    """

    tasks: tuple[str, ...]
    heads: tuple[Head, ...]
    vectors: Float[np.ndarray, "tasks d_model"]
    accuracy: Float[np.ndarray, "tasks layers"]
    """Zero-shot, with the vector added to the last token's residual after each layer."""
    log_probability: Float[np.ndarray, "tasks layers"]
    """Of the answer, in nats, mean over questions."""
    plain_accuracy: Float[np.ndarray, " tasks"]
    """Zero-shot, nothing added."""
    plain_log_probability: Float[np.ndarray, " tasks"]
    few_shot_accuracy: Float[np.ndarray, " tasks"]
    """With right demonstrations, nothing added."""
    random_accuracy: Float[np.ndarray, "tasks layers draws"]
    """With the vector of random heads: as many of each layer, none of the chosen where there are
    others."""
    random_log_probability: Float[np.ndarray, "tasks layers draws"]
    shuffled_accuracy: Float[np.ndarray, "tasks layers"]
    """With the vector of the chosen heads over prompts with shuffled labels."""
    shuffled_log_probability: Float[np.ndarray, "tasks layers"]
    n_asked: Int[np.ndarray, " tasks"]
    """Questions of each task."""
    provenance: Provenance

    @property
    def n_layers(self) -> int:
        """Layers after which the vector was added."""
        return self.accuracy.shape[1]

    def best_layer(self) -> int:
        """Where adding it helps most, averaged over tasks."""
        return int(self.log_probability.mean(axis=0).argmax())

    def interval(self, task: int, layer: int) -> Interval:
        """Accuracy with Wilson's 95% interval over the questions."""
        n = int(self.n_asked[task])
        return wilson(round(float(self.accuracy[task, layer]) * n), n)

    def p_random(self, layer: int) -> float:
        """(1 + draws of random heads as good) / (1 + draws), by log-probability over all tasks."""
        drawn = self.random_log_probability[:, layer].mean(axis=0)
        own = self.log_probability[:, layer].mean()
        return float((1 + (drawn >= own - 1e-12).sum()) / (1 + len(drawn)))

    def save(self, path: Path | str, *, overwrite: bool = False) -> Path:
        """Write the finding, whole or not at all."""
        header = {
            "tasks": list(self.tasks),
            "heads": [list(head) for head in self.heads],
            "provenance": self.provenance.to_json(),
        }
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        return save_finding(
            Path(path), schema=SCHEMA, header=header, arrays=arrays, overwrite=overwrite
        )

    @classmethod
    def load(cls, path: Path | str) -> "FunctionVectors":
        """A saved finding. Raises BadInput if it is another, CorruptFile if it was altered."""
        header, arrays = load_finding(Path(path), schema=SCHEMA)
        try:
            return cls(
                tasks=tuple(header["tasks"]),
                heads=tuple(Head(*map(int, head)) for head in header["heads"]),
                **{name: arrays[name] for name in _ARRAYS},
                provenance=Provenance.from_json(header["provenance"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptFile(f"{path} lacks or garbles {error}: make it again") from error

    def table(self, layer: int | None = None) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Heading and a line a task, at `layer` or the best."""
        layer = self.best_layer() if layer is None else layer
        if not 0 <= layer < self.n_layers:
            raise BadInput(f"layer {layer} of {self.n_layers}: count from 0")
        lines = []
        for i, task in enumerate(self.tasks):
            drawn = np.quantile(self.random_accuracy[i, layer], [0.025, 0.975])
            lines.append(
                (
                    task,
                    str(layer),
                    str(self.interval(i, layer)),
                    f"{self.plain_accuracy[i]:.3f}",
                    f"{drawn[0]:.3f} to {drawn[1]:.3f}",
                    f"{self.shuffled_accuracy[i, layer]:.3f}",
                )
            )
        return HEADING, lines

    def _repr_html_(self) -> str:
        heading, lines = self.table()
        heads = ", ".join(map(str, self.heads))
        return html_table(heading, lines, [f"vectors of {heads}"])
