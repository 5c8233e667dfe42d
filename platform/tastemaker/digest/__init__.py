"""The weekly digest: one page of words about what the recommender did in a week.

    week         a week of the shop
    figures      the figures of a week, and those that they are compared with
    comparison   two figures in words
    document     what a digest consists of
    events       alerts, data trouble and changes of a week
    writing      a digest from the metadata database
    rendering    a digest as text and as HTML
    delivery     a digest to each channel, once

It reads aggregates that jobs have stored, and computes nothing from the lake.
"""
