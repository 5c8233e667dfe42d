"""Functions for notebooks: `from tastemaker import load, split, fit, evaluate, compare`.

    data = load("orders.csv", columns={"user_id": "customer", "item_id": "sku", "occurred_at": "ordered"})
    parts = split(data)
    model = fit("ials", parts, embedding_size=32)
    evaluate(model)
    compare(model, fit("ease", parts))

These functions check their arguments and display results. They validate, split, fit, evaluate and compare by
the same code as `tastemaker run`.
"""
