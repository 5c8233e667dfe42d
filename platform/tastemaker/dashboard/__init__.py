"""The web pages for people who don't read code: is the recommender working?

    app       the ASGI application: routes, errors, headers
    page      what a page is: a path, a question, and a function from figures to content
    content   what a page consists of: figures, charts, tables, notes, forms; no HTML
    filters   the choices in a page's address: model, version, period, ...
    reader    reads of the metadata database, and last known figures while it is away
    pages     one module per page
    charts    Vega-Lite specs, and the process that draws them
    access    who may see and do what

A page reads aggregates that jobs have stored. It computes nothing from the lake.
"""
