"""Charts as Vega-Lite specifications, and the process that draws them.

    theme      colours and fonts, light and dark
    specs      specifications: lines with bands, ...
    renderer   a child process that draws SVG, and the JavaScript bundle for hover in the browser

Reference: Vega-Lite, a grammar of interactive graphics (Satyanarayan et al. 2017).
"""
