"""Judges that tests know the verdicts of."""

import numpy as np

from bpr_cli.refinement.evidence import EVIDENCE
from bpr_cli.weights.judge import Judge

JOINS = 18 + 3
"""Place of the evidence that tells whether a change joins the mask."""


def judge_of(weight: float, offset: float, column: int = JOINS, inputs: int = EVIDENCE) -> Judge:
    """A judge that looks at one value alone."""
    first = np.zeros((inputs, 1))
    first[column] = weight
    zeros = np.zeros(inputs)
    return Judge(zeros, zeros + 1, first, np.array([offset]), np.array([9.0]), np.array([0.0]))
