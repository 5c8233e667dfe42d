// Hover in charts: when a chart's picture is pointed at or focused, it is drawn again in the browser by Vega-Embed.
// Without this script, and until then, the picture and the table say the same.

const options = {
  actions: false,
  ast: true, // expressions are interpreted, not compiled: the content policy allows no eval
  defaultStyle: false,
  renderer: "svg",
  tooltip: { disableDefaultStyle: true },
};

async function enliven(figure) {
  if (figure.dataset.live) return;
  figure.dataset.live = "loading";
  const theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const address = new URL(figure.dataset.spec, location.href);
  address.searchParams.set("theme", theme);
  const [spec] = await Promise.all([fetch(address).then((answer) => answer.json()), import("/static/vega.js")]);
  const place = document.createElement("div");
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", spec.description);
  await window.vegaEmbed(place, spec, options);
  figure.querySelector("picture").replaceWith(place);
  figure.dataset.live = "yes";
}

for (const figure of document.querySelectorAll("figure.chart[data-spec]")) {
  const picture = figure.querySelector("picture");
  if (picture) picture.addEventListener("pointerenter", () => enliven(figure), { once: true });
}
