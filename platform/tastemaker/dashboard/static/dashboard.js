// Hover in charts: when a chart's picture is pointed at, it is drawn again in the browser by Vega-Embed, in the same size.
// Without this script, until then, and if that fails, the picture and the table say the same.

const options = {
  actions: false,
  ast: true, // expressions are interpreted, not compiled: the content policy allows no eval
  defaultStyle: false,
  renderer: "svg",
  tooltip: { disableDefaultStyle: true },
};

async function enliven(figure) {
  const theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const address = new URL(figure.dataset.spec, location.href);
  address.searchParams.set("theme", theme);
  const [answer] = await Promise.all([fetch(address), import("/static/vega.js")]);
  if (!answer.ok) throw new Error(`the chart's data were answered with ${answer.status}`);
  const spec = await answer.json();
  const place = document.createElement("div");
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", spec.description);
  await window.vegaEmbed(place, spec, options);
  figure.querySelector("picture").replaceWith(place);
  figure.dataset.live = "yes";
}

for (const figure of document.querySelectorAll("figure.chart[data-spec]")) {
  const picture = figure.querySelector("picture");
  const keep = () => (figure.dataset.live = "failed");
  picture?.addEventListener("pointerenter", () => enliven(figure).catch(keep), { once: true });
}
