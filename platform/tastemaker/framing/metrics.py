"""Formulas of the metrics that can be primary, in the variants of `tastemaker.evaluation.metrics`.

a = (i₁ i₂ ...): the list; R: the user's relevant items; {k} stands for the problem's k.
"""

from __future__ import annotations

from tastemaker.framing.notation import Formula

METRICS = {
    "ndcg": Formula(
        "NDCG@{k}(a, R) = Σ_{j≤|a|} 1[iⱼ ∈ R] / log₂(j+1)  ÷  Σ_{j≤min({k},|R|)} 1 / log₂(j+1)",
        r"\mathrm{NDCG@{k}}(a, R) = \frac{\sum_{j \leq |a|} \mathbf{1}[i_j \in R] \, / \log_2(j+1)}"
        r"{\sum_{j \leq \min({k},|R|)} 1 / \log_2(j+1)}",
    ),
    "recall": Formula(
        "Recall@{k}(a, R) = |a ∩ R| / min({k}, |R|)",
        r"\mathrm{Recall@{k}}(a, R) = \frac{|a \cap R|}{\min({k}, |R|)}",
    ),
    "map": Formula(
        "MAP@{k}(a, R) = 1/min({k},|R|) · Σ_{j≤|a|} 1[iⱼ ∈ R] · |{i₁…iⱼ} ∩ R| / j",
        r"\mathrm{MAP@{k}}(a, R) = \frac{1}{\min({k},|R|)} \sum_{j \leq |a|} \mathbf{1}[i_j \in R]"
        r" \, \frac{|\{i_1 \ldots i_j\} \cap R|}{j}",
    ),
    "mrr": Formula(
        "MRR@{k}(a, R) = max_{j≤|a|} 1[iⱼ ∈ R] / j",
        r"\mathrm{MRR@{k}}(a, R) = \max_{j \leq |a|} \, \mathbf{1}[i_j \in R] \, / \, j",
    ),
    "hit_rate": Formula(
        "HitRate@{k}(a, R) = 1[a ∩ R ≠ ∅]",
        r"\mathrm{HitRate@{k}}(a, R) = \mathbf{1}[a \cap R \neq \emptyset]",
    ),
    "reward": Formula(
        "Reward@{k}(a, R) = Σ_{i ∈ a ∩ R} ρ(u, i)",
        r"\mathrm{Reward@{k}}(a, R) = \sum_{i \in a \cap R} \rho(u, i)",
    ),
}
