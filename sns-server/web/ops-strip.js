// Deaths as they happen: one row each, from the last sign of life to caught up, in milliseconds.
// While a death is under way its bar grows with the present time until the marks arrive.

import { arrange, attr, calm, el, show, svg, text } from "./ops-dom.js";
import { clock, known, millis } from "./ops-format.js";
import { median, roundUp } from "./ops-scale.js";
import { paint, swatch } from "./ops-series.js";

const SHOWN = 8;
/** A running bar is drawn this often: smooth enough, at a third of the cost of every frame. */
const FRAME_MS = 50;
const FRAME_CALM_MS = 1000;
const BAR_TOP = 20;
const BAR_HEIGHT = 18;
const ROW = 17;
/** From this width on labels stand at their marks; below it they are a list under the bar. */
const FLAGS_FROM_PX = 640;
/** Room left of `died` for the stretch since it was last heard, and right of the scale for labels. */
const ROOM = { flags: { left: 160, right: 130 }, list: { left: 44, right: 24 } };

/** Marks in the order in which they happen; the stretch that *ends* at a mark has that mark's colour. */
const MARKS = [
  { key: "last_heard", label: "last heard" },
  { key: "died", label: "died" },
  { key: "noticed", label: "noticed" },
  { key: "restarted", label: "restarted" },
  { key: "serving", label: "serving" },
  { key: "caught_up", label: "caught up" },
];
/** What a server is doing after each mark, while the next one has not come. */
const MEANWHILE = {
  died: "not noticed yet", noticed: "being restarted", restarted: "starting", serving: "catching up",
};

export class Strip {
  #store;
  #now;
  #list;
  #summary;
  #none;
  #more;
  #all = false;
  #rows = new Map();
  #width = 0;
  #visible = false;
  #timer = 0;

  constructor(store, { list, summary, none, more }, now) {
    this.#store = store;
    this.#now = now;
    this.#list = list;
    this.#summary = summary;
    this.#none = none;
    this.#more = more;
    more.addEventListener("click", () => {
      this.#all = !this.#all;
      this.draw();
    });
    new ResizeObserver(([entry]) => {
      this.#width = Math.floor(entry.contentRect.width);
      this.draw();
    }).observe(list.parentElement);
    new IntersectionObserver(([entry]) => {
      this.#visible = entry.isIntersecting;
      this.draw();
    }).observe(list.parentElement);
  }

  draw() {
    if (this.#width === 0) return;
    const now = this.#now();
    const deaths = this.#store.deathsNewestFirst();
    const shown = this.#all ? deaths : deaths.slice(0, SHOWN);
    this.#keepRows(shown);
    for (const death of shown) this.#drawRow(death, now);
    arrange(this.#list, shown.map((death) => this.#rows.get(death.id).root));
    this.#summarise(shown);
    show(this.#none, deaths.length === 0);
    show(this.#more, deaths.length > SHOWN);
    attr(this.#more, "aria-expanded", this.#all);
    text(this.#more, this.#all ? `Show the last ${SHOWN}` : `Show all ${deaths.length}`);
    this.#animate(shown.filter((death) => this.#store.underWay(death, now)));
  }

  #keepRows(shown) {
    const wanted = new Set(shown.map((death) => death.id));
    for (const id of this.#rows.keys()) if (!wanted.has(id)) this.#rows.delete(id);
    for (const { id } of shown) if (!this.#rows.has(id)) this.#rows.set(id, new Row());
  }

  #summarise(shown) {
    const times = shown.map((death) => death.marks.serving).filter(known);
    show(this.#summary.root, times.length > 0);
    text(this.#summary.median, millis(median(times)));
    text(this.#summary.longest, millis(times.length > 0 ? Math.max(...times) : null));
    text(this.#summary.of, times.length === 1 ? "1 death shown" : `${times.length} deaths shown`);
  }

  #drawRow(death, now) {
    const live = this.#store.underWay(death, now);
    this.#rows.get(death.id)?.draw(death, this.#store.servers.get(death.node), this.#width, live, now);
  }

  /** Rows run only while their death is under way and the strip is in view. */
  #animate(live) {
    clearTimeout(this.#timer);
    if (live.length === 0 || !this.#visible || document.hidden) return;
    this.#timer = setTimeout(() => {
      const now = this.#now();
      for (const death of live) this.#drawRow(death, now);
      this.#animate(live.filter((death) => this.#store.underWay(death, now)));
    }, calm.matches ? FRAME_CALM_MS : FRAME_MS);
  }
}

class Row {
  #swatch = swatch();
  #node = el("strong.node");
  #kind = el("span.kind");
  #why = el("span.why");
  #outcome = el("span.outcome");
  #pids = el("span");
  #teller = el("span");
  #time = el("time");
  #meta = el("span.meta", this.#time, this.#teller, this.#pids);
  #bar = svg("svg", { class: "bar", "aria-hidden": "true" });
  #axis = svg("path", { class: "axis-line" });
  #ticks = svg("g", { class: "ticks" });
  #stretches = new Map();
  #live = svg("rect", { class: "stretch live", y: BAR_TOP, height: BAR_HEIGHT });
  #cut = svg("path", { class: "cut" });
  #poles = svg("path", { class: "poles" });
  #marks = el("ol.marks");
  #items = new Map();
  #drawn = "";

  constructor() {
    for (const { key, label } of MARKS) {
      if (key !== "died") {
        const stretch = svg("rect", { class: `stretch ${key}`, y: BAR_TOP, height: BAR_HEIGHT });
        this.#stretches.set(key, stretch);
      }
      const value = el("b");
      const item = el("li", el("span.what", label), " ", value);
      item.dataset.mark = key;
      this.#items.set(key, { item, value });
      this.#marks.append(item);
    }
    this.#bar.append(this.#axis, this.#ticks, ...this.#stretches.values(), this.#live, this.#cut, this.#poles);
    this.root = el("li.death",
      el("div.death-head", this.#swatch, this.#node, this.#kind, this.#why, this.#meta, this.#outcome),
      el("div.death-plot", this.#bar, this.#marks));
  }

  draw(death, server, width, live, now) {
    const elapsed = live ? Math.max(0, now - death.at) : 0;
    // Done and the same as before: nothing to do, however often the page draws.
    const state = JSON.stringify([death, live, width, server?.place]);
    if (!live && state === this.#drawn) return;
    const fresh = state !== this.#drawn;
    this.#drawn = state;
    if (fresh) this.#words(death, server, live);
    text(this.#outcome, outcome(death, live, elapsed));
    this.#geometry(death, width, live, elapsed, fresh);
  }

  #words(death, server, live) {
    const { root } = this;
    root.dataset.death = death.id;
    root.dataset.node = death.node;
    root.dataset.done = String(!live);
    root.dataset.hung = String(death.hung);
    show(this.#swatch, server !== undefined);
    if (server) paint(this.#swatch, server);
    text(this.#node, death.node);
    text(this.#kind, death.hung ? "hung" : "died");
    text(this.#why, death.why);
    text(this.#pids, `pid ${death.old_pid ?? "?"} → ${death.new_pid ?? "none yet"}`);
    text(this.#teller, `told by ${death.told_by}`);
    text(this.#time, clock(death.at, true));
    attr(this.#time, "datetime", new Date(death.at).toISOString());
    for (const { key } of MARKS) {
      const { item, value } = this.#items.get(key);
      const at = death.marks[key];
      show(item, known(at));
      text(item.firstElementChild, labelOf(key, death.hung));
      text(value, known(at) ? millis(at) : "");
      if (known(at)) item.dataset.ms = String(at);
      else delete item.dataset.ms;
    }
  }

  #geometry(death, width, live, elapsed, fresh) {
    const flags = width >= FLAGS_FROM_PX;
    const room = flags ? ROOM.flags : ROOM.list;
    const { marks } = death;
    const reached = MARKS.filter(({ key }) => key !== "last_heard" && known(marks[key]));
    const last = Math.max(0, ...reached.map(({ key }) => marks[key]));
    const top = roundUp(Math.max(10, last, elapsed));
    const zero = room.left;
    const x = (ms) => zero + (ms / top) * (width - room.left - room.right);

    attr(this.#bar, "width", width);
    this.#drawAxis(top, x, zero);
    let before = 0;
    for (const { key } of MARKS.slice(2)) {
      const at = marks[key];
      stretch(this.#stretches.get(key), known(at) ? x(before) : 0, known(at) ? x(at) : 0);
      if (known(at)) before = at;
    }
    this.#drawHeard(marks.last_heard, x, zero, flags);
    stretch(this.#live, x(last), live ? x(Math.max(last, elapsed)) : 0);
    attr(this.#live, "data-after", reached.at(-1)?.key ?? "died");

    const poles = reached.map(({ key }) => ({ key, x: Math.round(x(marks[key])) + 0.5 }));
    if (fresh) this.root.dataset.layout = flags ? "flags" : "list";
    const foot = BAR_TOP + BAR_HEIGHT;
    if (!flags) {
      if (fresh) this.#unplace();
      attr(this.#bar, "height", foot + 4);
      attr(this.#poles, "d", poles.map((pole) => `M${pole.x} ${BAR_TOP - 3}v${BAR_HEIGHT + 6}`).join(""));
      return;
    }
    // Each label hangs right of its pole. Going from right to left a label takes the first row below all labels it
    // would run into, so no pole crosses a label and no two labels meet.
    const placed = [];
    for (const pole of poles.reverse()) {
      const { item } = this.#items.get(pole.key);
      const right = pole.x + this.#widthOf(item, fresh) + 14;
      const row = placed.reduce((low, other) => (other.x < right ? Math.max(low, other.row + 1) : low), 0);
      placed.push({ ...pole, row });
      item.style.left = `${pole.x + 5}px`;
      item.style.top = `${foot + 5 + row * ROW}px`;
    }
    const heard = this.#items.get("last_heard").item;
    heard.style.left = "";
    heard.style.right = `${width - zero + 8}px`;
    heard.style.top = `${foot + 5}px`;
    const rows = 1 + Math.max(0, ...placed.map(({ row }) => row));
    const poleTo = (row) => foot + 5 + (row + 0.75) * ROW;
    attr(this.#poles, "d", placed.map((pole) => `M${pole.x} ${BAR_TOP - 3}V${poleTo(pole.row)}`).join(""));
    attr(this.#bar, "height", foot + 8 + rows * ROW);
  }

  #widths = new Map();

  /** Measured once per wording: to measure is to lay out. */
  #widthOf(item, fresh) {
    if (fresh || !this.#widths.has(item)) this.#widths.set(item, item.offsetWidth || item.textContent.length * 7.5);
    return this.#widths.get(item);
  }

  #unplace() {
    for (const { item } of this.#items.values()) {
      item.style.left = "";
      item.style.right = "";
      item.style.top = "";
    }
  }

  #drawAxis(top, x, zero) {
    const parts = top >= 10 && String(top)[0] === "2" ? 4 : 5;
    const wanted = parts + 1;
    while (this.#ticks.children.length < wanted) this.#ticks.append(svg("text", { y: 11, "text-anchor": "middle" }));
    while (this.#ticks.children.length > wanted) this.#ticks.lastElementChild.remove();
    const lines = [];
    for (let part = 0; part < wanted; part += 1) {
      const ms = (top / parts) * part;
      const at = Math.round(x(ms)) + 0.5;
      attr(this.#ticks.children[part], "x", at);
      text(this.#ticks.children[part], part === parts ? `${ms} ms` : String(ms));
      lines.push(`M${at} ${BAR_TOP - 5}v${BAR_HEIGHT + 5}`);
    }
    attr(this.#axis, "d", `${lines.join("")}M${zero} ${BAR_TOP + BAR_HEIGHT + 0.5}H${Math.round(x(top))}`);
  }

  /** The stretch since the last sign of life; if it is longer than its room it is cut, and says so by its edge. */
  #drawHeard(heard, x, zero, flags) {
    const node = this.#stretches.get("last_heard");
    const room = flags ? zero - 20 : zero - 6;
    const long = known(heard) ? x(0) - x(heard) : 0;
    const cut = long > room;
    stretch(node, zero - Math.min(long, room), known(heard) ? zero : 0);
    const left = zero - room;
    const slash = (at) => `M${at} ${BAR_TOP - 2}l-4 ${BAR_HEIGHT + 4}`;
    attr(this.#cut, "d", cut ? slash(left + 6) + slash(left + 11) : "");
  }
}

function labelOf(key, hung) {
  if (key === "died" && hung) return "last answer";
  if (key === "noticed" && hung) return "declared hung, killed";
  return MARKS.find((mark) => mark.key === key).label;
}

function outcome(death, live, elapsed) {
  const { marks } = death;
  if (live) {
    const last = MARKS.findLast(({ key }) => key !== "last_heard" && known(marks[key]));
    return `${millis(elapsed)} so far, ${MEANWHILE[last.key] ?? ""}`;
  }
  if (known(marks.serving)) return `serving after ${millis(marks.serving)}`;
  return death.superseded ? "died again before it served" : "was not seen serving again";
}

function stretch(node, from, to) {
  attr(node, "x", from.toFixed(1));
  attr(node, "width", Math.max(0, to - from).toFixed(1));
}
