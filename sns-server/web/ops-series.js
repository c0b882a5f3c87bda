// One colour and one dash for each server, the same in cards, deaths and plots. A slave's line is dashed, so that
// master and slave differ without colour; past the four tokens the colours come again in a second shade.

import { svg } from "./ops-dom.js";

const TOKENS = 4;
const DASHES = { master: "", slave: "5 3" };

export function colourOf(place) {
  const token = `var(--series-${(place % TOKENS) + 1})`;
  const round = Math.floor(place / TOKENS);
  return round === 0 ? token : `color-mix(in srgb, ${token} ${Math.max(30, 100 - 35 * round)}%, var(--text))`;
}

export const dashOf = (server) => DASHES[server.role] ?? "1 3";

/** The sample of a server's line that stands beside its name. */
export function swatch() {
  return svg("svg", { class: "swatch", width: 22, height: 10, "aria-hidden": "true" }, svg("path", { d: "M1 5H21" }));
}

export function paint(mark, server) {
  const path = mark.firstElementChild;
  path.style.stroke = colourOf(server.place);
  path.style.strokeDasharray = dashOf(server);
}
