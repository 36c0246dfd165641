"""Identity similarity of one person and of several, from the unit vectors of a judge."""

import torch
from torch import Tensor


def similarities(faces: Tensor, references: Tensor) -> Tensor:
    """[N, M] cosines of unit vectors [N, D] and [M, D]."""
    return faces @ references.T


def averaged(vectors: Tensor) -> Tensor:
    """[D]: the direction of one person's several photos [N, D]; those without a face (NaN) do not count."""
    seen = vectors[~vectors.isnan().any(1)]
    return torch.nn.functional.normalize(seen.mean(0), dim=0) if len(seen) else vectors[0]


def multi_sim(references: Tensor, drawn: Tensor) -> float:
    """MultiSim (InstantFamily, Eq. 11) of N ≥ 2 people in one picture, 0..2 for vectors that do not oppose each other.

    mean_i S(A_i, A'_i) + 1 − mean_{i<j} S(A'_i, A'_j); for two people it is the paper's own.

    Args:
        references: [N, D] of the people's own photos, A.
        drawn: [N, D] of their faces in the picture, A', in the same order.
    """
    own = (references * drawn).sum(1).mean()
    return float(own + 1 - _between(drawn))


def excess_mixing(references: Tensor, drawn: Tensor) -> float:
    """How much more alike the people are in the picture than in life: mean_{i<j} S(A'_i, A'_j) − S(A_i, A_j).

    MultiSim rewards making lookalikes differ; this does not.
    """
    return float(_between(drawn) - _between(references))


def closest_to_own(references: Tensor, drawn: Tensor) -> Tensor:
    """[N] bool: whether each face is more like its own person than like anybody else in the picture."""
    return similarities(drawn, references).argmax(1) == torch.arange(len(drawn))


def _between(vectors: Tensor) -> Tensor:
    """The mean cosine of all pairs."""
    if len(vectors) < 2:
        raise ValueError("MultiSim is of two people or more; expected at least two vectors.")
    pairs = torch.triu_indices(len(vectors), len(vectors), 1)
    return similarities(vectors, vectors)[pairs[0], pairs[1]].mean()
