// The last minutes, plotted. Each plot keeps its nodes and gets new path data once a second, if it is in view.

import { attr, el, svg, text } from "./ops-dom.js";
import { bytes, clock, count, micros, rate, span } from "./ops-format.js";
import { decades, firstAt, linear, median, spread } from "./ops-scale.js";
import { colourOf, dashOf, paint, swatch } from "./ops-series.js";

/** Samples further apart are not joined: nobody lived in between to say what happened. */
const GAP_MS = 2500;
/** A value belongs to the second pointed at if it was sampled this close to it. */
const NEAR_MS = 1250;
const HEIGHT = 168;
const TOP = 14;
const BOTTOM = 22;
const LEFT = 58;
const LABEL_ROOM = 72;
/** Narrower plots have no room for names at the lines; the legend above names them all the same. */
const LABELS_FROM_PX = 430;
const LABEL_GAP = 13;
/** Names at the lines stand at the median of the last samples, lest they hop with every second. */
const LABEL_SAMPLES = 20;

const latency = (key, title, note) => ({
  key, title, note, kind: "log", fields: [`${key}_p50_us`, `${key}_p99_us`], format: micros, unit: "p50 thin, p99 bold",
});

const SUM = "Stacked: the upper edge is the sum of all servers.";

const PLOTS = [
  { key: "posts", title: "Posts written", note: SUM, kind: "stack", fields: ["posts"], format: rate, unit: "" },
  { key: "reads", title: "Reads", note: SUM, kind: "stack", fields: ["reads"], format: rate, unit: "" },
  latency("write", "Write latency", "From the request to its outcome."),
  latency("read", "Read latency", "From the request to the page."),
  latency("sync", "Time of a sync", "Until the disk says that an entry is durable."),
  latency("visible", "Time to visible", "From durable to readable here."),
  {
    key: "lag", title: "Lag", note: "Entries in the log that are not applied yet.",
    kind: "line", fields: ["lag"], format: count, unit: "entries", least: 4,
  },
  {
    key: "queued", title: "Queued", note: "Commands that wait for the log.",
    kind: "line", fields: ["queued"], format: count, unit: "commands", least: 4,
  },
  {
    key: "streams", title: "Open streams", note: "Timelines being watched.",
    kind: "line", fields: ["streams"], format: count, unit: "", least: 4,
  },
  {
    key: "errors", title: "Errors", note: "Requests answered with a failure.",
    kind: "line", fields: ["errors"], format: rate, unit: "", least: 1,
  },
  {
    key: "rss", title: "Memory", note: "Resident set of the process.",
    kind: "line", fields: ["rss_bytes"], format: bytes, unit: "", least: 2 ** 20, base: 2 ** 20,
  },
];

export class Plots {
  #store;
  #plots;
  #minutes = 10;
  /** Seconds before now that the reader points at, or null: then the newest values are shown. */
  #age = null;
  #now = 0;

  constructor(store, parent, now) {
    this.#store = store;
    this.#plots = PLOTS.map((spec) => new Plot(spec, {
      point: (age) => this.#point(age),
      step: (seconds) => this.#point(Math.round((this.#age ?? 0) + seconds)),
      seconds: () => this.#minutes * 60,
    }));
    parent.append(...this.#plots.map((plot) => plot.root));
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries) this.#plotOf(entry.target).visible = entry.isIntersecting;
      this.draw(now());
    }, { rootMargin: "60px" });
    const sized = new ResizeObserver((entries) => {
      for (const entry of entries) this.#plotOf(entry.target).width = Math.floor(entry.contentRect.width);
      this.draw(now());
    });
    for (const plot of this.#plots) {
      seen.observe(plot.root);
      sized.observe(plot.root);
    }
  }

  set minutes(minutes) {
    this.#minutes = minutes;
    if (this.#age !== null) this.#age = Math.min(this.#age, minutes * 60);
  }

  draw(now) {
    this.#now = now;
    const view = this.#view();
    for (const plot of this.#plots) plot.draw(view);
  }

  #view() {
    const to = this.#now;
    return {
      servers: [...this.#store.servers.values()],
      deaths: [...this.#store.deaths.values()],
      from: to - this.#minutes * 60_000,
      to,
      minutes: this.#minutes,
      age: this.#age,
    };
  }

  #point(age) {
    this.#age = age === null ? null : Math.min(this.#minutes * 60, Math.max(0, age));
    const view = this.#view();
    for (const plot of this.#plots) plot.point(view);
  }

  #plotOf(root) {
    return this.#plots.find((plot) => plot.root === root);
  }
}

class Plot {
  visible = false;
  width = 0;
  #spec;
  #svg;
  #lines = new Map();
  #grid = svg("path", { class: "grid" });
  #died = svg("path", { class: "death-line" });
  #hung = svg("path", { class: "death-line hung" });
  #hair = svg("path", { class: "hair" });
  #data = svg("g", { class: "data" });
  #yLabels = svg("g", { class: "axis y" });
  #xLabels = svg("g", { class: "axis x" });
  #names = svg("g", { class: "names" });
  #empty = svg("text", { class: "empty", "text-anchor": "middle" });
  #legend = el("ul.legend");
  #when = el("span.when");
  #sum = null;

  constructor(spec, pointer) {
    this.#spec = spec;
    const title = el("h3", spec.title);
    title.id = `plot-${spec.key}`;
    const unit = el("span.unit", spec.unit);
    this.#svg = svg("svg", {
      class: "plot", height: HEIGHT, tabindex: 0, role: "slider", "aria-labelledby": title.id,
      "aria-valuemin": 0, "aria-valuenow": 0, "aria-valuetext": "",
    });
    this.#svg.append(this.#grid, this.#died, this.#hung, this.#data, this.#hair);
    this.#svg.append(this.#yLabels, this.#xLabels, this.#names, this.#empty);
    const head = el("header.plot-head", title, unit);
    if (spec.kind === "stack") {
      this.#sum = el("b.value");
      head.append(el("span.sum", "all ", this.#sum));
    }
    head.append(this.#when);
    this.root = el("figure", head, this.#legend, this.#svg, el("figcaption", spec.note));
    this.root.dataset.plot = spec.key;
    this.root.dataset.kind = spec.kind;
    this.#listen(pointer);
  }

  #listen({ point, step, seconds }) {
    const hover = (event) => {
      const inner = this.#inner();
      const x = event.clientX - this.#svg.getBoundingClientRect().left - LEFT;
      point(x < 0 || x > inner ? null : Math.round(seconds() * (1 - x / inner)));
    };
    this.#svg.addEventListener("pointermove", hover);
    this.#svg.addEventListener("pointerdown", hover);
    this.#svg.addEventListener("pointerleave", () => point(null));
    this.#svg.addEventListener("focus", () => { if (this.#svg.matches(":focus-visible")) point(0); });
    this.#svg.addEventListener("blur", () => point(null));
    this.#svg.addEventListener("keydown", (event) => {
      const far = event.shiftKey ? 10 : 1;
      switch (event.key) {
        case "ArrowLeft": case "ArrowDown": step(far); break;
        case "ArrowRight": case "ArrowUp": step(-far); break;
        case "PageDown": step(30); break;
        case "PageUp": step(-30); break;
        case "Home": point(seconds()); break;
        case "End": point(0); break;
        case "Escape": point(null); break;
        default: return;
      }
      event.preventDefault();
    });
  }

  #named() {
    return this.width >= LABELS_FROM_PX;
  }

  #inner() {
    return Math.max(10, this.width - LEFT - (this.#named() ? LABEL_ROOM : 8));
  }

  draw(view) {
    if (!this.visible || this.width === 0) return;
    attr(this.#svg, "width", this.width);
    attr(this.#svg, "aria-valuemax", view.minutes * 60);
    this.#keepLines(view.servers);
    const inner = this.#inner();
    const high = HEIGHT - TOP - BOTTOM;
    const x = (t) => LEFT + ((t - view.from) / (view.to - view.from)) * inner;
    const columns = this.#spec.kind === "stack" ? stack(view, this.#spec.fields[0]) : null;
    const axis = columns ? linear(columns.max, 4) : this.#axis(view);
    const y = (value) => TOP + (1 - axis.place(value)) * high;
    this.#drawAxes(view, axis, x, y, inner);
    if (columns) this.#drawStack(view, columns, x, y);
    else this.#drawLines(view, x, y);
    this.#drawDeaths(view, x);
    this.#drawNames(view, columns, y, high);
    this.point(view);
  }

  #keepLines(servers) {
    const listed = new Set(servers.map((server) => server.name));
    for (const [name, line] of this.#lines) {
      if (listed.has(name)) continue;
      for (const node of [...line.paths, line.item, line.label]) node.remove();
      this.#lines.delete(name);
    }
    for (const server of servers) {
      if (!this.#lines.has(server.name)) this.#lines.set(server.name, this.#newLine(server));
      const line = this.#lines.get(server.name);
      const colour = colourOf(server.place);
      line.paths.forEach((path, place) => {
        if (this.#spec.kind === "stack") {
          path.style.fill = colour;
        } else {
          path.style.stroke = colour;
          path.style.strokeDasharray = dashOf(server);
          attr(path, "class", place === 0 && line.paths.length > 1 ? "thin" : "bold");
        }
      });
      line.label.style.fill = colour;
      paint(line.swatch, server);
    }
  }

  #newLine(server) {
    const mark = swatch();
    const value = el("b.value");
    const line = {
      paths: this.#spec.fields.map(() => svg("path")),
      swatch: mark,
      value,
      item: el("li", mark, el("span.name", server.name), value),
      label: svg("text"),
    };
    line.label.textContent = server.name;
    this.#data.append(...line.paths);
    this.#legend.append(line.item);
    this.#names.append(line.label);
    return line;
  }

  #axis(view) {
    let min = Infinity;
    let max = 0;
    for (const server of view.servers) {
      const offset = server.offset?.ms ?? 0;
      for (let n = firstAt(server.samples, view.from + offset); n < server.samples.length; n += 1) {
        for (const field of this.#spec.fields) {
          const value = server.samples[n][field];
          if (value === null) continue;
          if (value < min) min = value;
          if (value > max) max = value;
        }
      }
    }
    this.#note(min === Infinity ? "nothing measured in this time" : "");
    if (this.#spec.kind === "log") return min === Infinity ? decades(100, 100_000) : decades(min, max);
    return linear(max, this.#spec.least, this.#spec.base);
  }

  #note(note) {
    text(this.#empty, note);
    attr(this.#empty, "x", LEFT + this.#inner() / 2);
    attr(this.#empty, "y", HEIGHT / 2);
  }

  #drawAxes(view, axis, x, y, inner) {
    const lines = [];
    const yTexts = axis.ticks.map((tick) => {
      lines.push(`M${LEFT} ${Math.round(y(tick)) + 0.5}h${inner}`);
      return [LEFT - 6, Math.round(y(tick)) + 4, this.#spec.format(tick)];
    });
    const every = minutesPerTick(view.minutes, inner < 300);
    const xTexts = [];
    for (let ago = 0; ago <= view.minutes; ago += every) {
      const at = x(view.to - ago * 60_000);
      lines.push(`M${Math.round(at) - 0.5} ${HEIGHT - BOTTOM}v4`);
      xTexts.push([at, HEIGHT - 6, ago === 0 ? "now" : ago < 1 ? "−30 s" : Number.isInteger(ago) ? `−${ago} min` : ""]);
    }
    attr(this.#grid, "d", lines.join(""));
    labels(this.#yLabels, yTexts, "end");
    labels(this.#xLabels, xTexts, "middle");
  }

  #drawLines(view, x, y) {
    for (const server of view.servers) {
      const offset = server.offset?.ms ?? 0;
      const first = Math.max(0, firstAt(server.samples, view.from + offset));
      const { paths } = this.#lines.get(server.name);
      this.#spec.fields.forEach((field, place) => {
        attr(paths[place], "d", trace(server.samples, first, field, offset, x, y));
      });
    }
  }

  /** Each second a column; the columns of a server that is dead are missing, and those above come down. */
  #drawStack(view, columns, x, y) {
    const base = new Float64Array(columns.seconds);
    const level = (value) => Math.round(y(value) * 10) / 10;
    const left = (second) => Math.round(x(columns.from + second * 1000) * 10) / 10;
    columns.values.forEach((values, place) => {
      const parts = [];
      for (let second = 0; second < values.length; second += 1) {
        if (Number.isNaN(values[second])) continue;
        const start = second;
        while (second < values.length && !Number.isNaN(values[second])) second += 1;
        const up = [];
        const down = [];
        for (let at = start; at < second; at += 1) {
          const right = left(at + 1);
          up.push(`${level(base[at] + values[at])}H${right}`);
          down.push(`${level(base[at])}H${left(at)}`);
        }
        parts.push(`M${left(start)} ${level(base[start])}V${up.join("V")}V${down.reverse().join("V")}Z`);
      }
      values.forEach((value, second) => { if (!Number.isNaN(value)) base[second] += value; });
      attr(this.#lines.get(view.servers[place].name).paths[0], "d", parts.join(""));
    });
    this.#note(columns.any ? "" : "nothing measured in this time");
  }

  #drawDeaths(view, x) {
    const died = [];
    const hung = [];
    for (const death of view.deaths) {
      if (death.at < view.from || death.at > view.to) continue;
      const at = Math.round(x(death.at) * 2) / 2;
      (death.hung ? hung : died).push(`M${at} ${TOP}V${HEIGHT - BOTTOM}M${at - 4} ${TOP - 7}h8l-4 7z`);
    }
    attr(this.#died, "d", died.join(""));
    attr(this.#hung, "d", hung.join(""));
  }

  #drawNames(view, columns, y, high) {
    const wanted = [];
    let below = 0;
    view.servers.forEach((server, place) => {
      const { label } = this.#lines.get(server.name);
      let at = null;
      if (columns) {
        const recent = columns.values[place].slice(-LABEL_SAMPLES).filter((value) => !Number.isNaN(value));
        const typical = median(recent);
        if (typical !== null) {
          at = y(below + typical / 2);
          below += typical;
        }
      } else {
        const field = this.#spec.fields.at(-1);
        const since = view.to - LABEL_SAMPLES * 1500 + (server.offset?.ms ?? 0);
        const recent = server.samples.slice(-LABEL_SAMPLES).filter((sample) => sample.t > since);
        const typical = median(recent.map((sample) => sample[field]).filter((value) => value !== null));
        if (typical !== null) at = y(typical);
      }
      label.style.display = this.#named() && at !== null ? "" : "none";
      if (at !== null) wanted.push({ label, at });
    });
    wanted.sort((one, other) => one.at - other.at);
    const placed = spread(wanted.map(({ at }) => at), LABEL_GAP, TOP + 4, TOP + high);
    wanted.forEach(({ label }, place) => {
      attr(label, "x", this.width - LABEL_ROOM + 8);
      attr(label, "y", Math.round(placed[place]) + 4);
    });
  }

  /** The crosshair and the values at it; without one, the newest values. */
  point(view) {
    if (!this.visible || this.width === 0) return;
    const at = view.to - (view.age ?? 0) * 1000;
    const { format } = this.#spec;
    const spoken = [];
    let sum = null;
    for (const server of view.servers) {
      const line = this.#lines.get(server.name);
      if (!line) continue;
      const near = nearest(server, at, view.age === null || view.age < 2 ? GAP_MS : NEAR_MS);
      const values = this.#spec.fields.map((field) => (near ? near[field] : null));
      if (values[0] !== null) sum = (sum ?? 0) + values[0];
      const told = values.every((value) => value === null) ? format(null) : values.map(format).join(" / ");
      text(line.value, told);
      spoken.push(`${server.name} ${told}`);
    }
    if (this.#sum) text(this.#sum, format(sum));
    const when = view.age === null ? "" : `${clock(at)}, ${view.age === 0 ? "now" : `${span(view.age * 1000)} ago`}`;
    const dead = view.age === null ? [] : view.deaths.filter((death) => Math.abs(death.at - at) < 1500);
    const told = dead.map((death) => `${death.node} ${death.hung ? "hung" : "died"}`);
    text(this.#when, [when, ...told].filter((part) => part !== "").join(" · "));
    const x = Math.round(LEFT + (1 - (view.age ?? 0) / (view.minutes * 60)) * this.#inner()) + 0.5;
    attr(this.#hair, "d", view.age === null ? "" : `M${x} ${TOP}V${HEIGHT - BOTTOM}`);
    attr(this.#svg, "aria-valuenow", view.age ?? 0);
    attr(this.#svg, "aria-valuetext", `${this.#when.textContent || "newest"}: ${spoken.join(", ")}`);
  }
}

function minutesPerTick(minutes, narrow) {
  if (minutes <= 2) return 0.5;
  if (minutes <= 5) return 1;
  return narrow ? 5 : 2;
}

/** A line through the samples of one field. Lonely ones become dots: a zero-length stroke with round ends. */
function trace(samples, first, field, offset, x, y) {
  const parts = [];
  let last = -Infinity;
  let run = 0;
  const close = () => { if (run === 1) parts.push("h0"); };
  for (let n = first; n < samples.length; n += 1) {
    const sample = samples[n];
    const value = sample[field];
    if (value === null) {
      last = -Infinity;
      continue;
    }
    const joined = sample.t - last <= GAP_MS;
    if (!joined) {
      close();
      run = 0;
    }
    parts.push(`${joined ? "L" : "M"}${x(sample.t - offset).toFixed(1)} ${y(value).toFixed(1)}`);
    last = sample.t;
    run += 1;
  }
  close();
  return parts.join("");
}

/**
 * The samples of all servers on one grid of whole seconds, for their sum. A second without a sample takes the one
 * before it (sampling is not exactly periodic), unless the gap is a real one: then it stays empty.
 */
function stack(view, field) {
  const from = Math.floor(view.from / 1000) * 1000;
  const seconds = Math.ceil((view.to - from) / 1000);
  const sums = new Float64Array(seconds);
  let any = false;
  const values = view.servers.map((server) => {
    const column = new Float64Array(seconds).fill(NaN);
    const offset = server.offset?.ms ?? 0;
    let before = -1;
    for (let n = firstAt(server.samples, from + offset); n < server.samples.length; n += 1) {
      const { t, [field]: value } = server.samples[n];
      const second = Math.floor((t - offset - from) / 1000);
      if (second < 0 || second >= seconds || value === null) continue;
      if (before >= 0 && (second - before) * 1000 <= GAP_MS) column.fill(column[before], before + 1, second);
      column[second] = value;
      before = second;
      any = true;
    }
    column.forEach((value, second) => { if (!Number.isNaN(value)) sums[second] += value; });
    return column;
  });
  return { from, seconds, values, any, max: sums.reduce((max, sum) => Math.max(max, sum), 0) };
}

function nearest(server, at, within) {
  const wanted = at + (server.offset?.ms ?? 0);
  const after = firstAt(server.samples, wanted);
  let best = null;
  for (const sample of [server.samples[after - 1], server.samples[after]]) {
    if (!sample || Math.abs(sample.t - wanted) > within) continue;
    if (!best || Math.abs(sample.t - wanted) < Math.abs(best.t - wanted)) best = sample;
  }
  return best;
}

/** Fills `group` with texts, reusing those that are there. */
function labels(group, texts, anchor) {
  while (group.children.length < texts.length) group.append(svg("text", { "text-anchor": anchor }));
  while (group.children.length > texts.length) group.lastElementChild.remove();
  texts.forEach(([x, y, label], place) => {
    const node = group.children[place];
    attr(node, "x", Math.round(x));
    attr(node, "y", y);
    text(node, label);
  });
}
