"""Tastemaker in a notebook: what `from tastemaker import load, split, fit, evaluate, compare` gives.

    data = load("orders.csv", columns={"user_id": "customer", "item_id": "sku", "occurred_at": "ordered"})
    parts = split(data)
    model = fit("ials", parts, embedding_size=32)
    evaluate(model)
    compare(model, fit("ease", parts))

Nothing here gates, splits, fits, evaluates or compares: that is the platform's own code, the same that
`tastemaker run` drives. Here are the short names, the checks of what a person hands in, and how results look.
"""
