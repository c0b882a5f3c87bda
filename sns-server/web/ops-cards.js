// The pairs, master beside slave: who they are, what they do, who says so.

import { arrange, attr, el, flash, text } from "./ops-dom.js";
import { bytes, count, share, span } from "./ops-format.js";
import { paint, swatch } from "./ops-series.js";
import { DISK_BAD, DISK_WARN, freeShare } from "./ops-verdict.js";

/** A word, a mark and a level for each state; no state is told by colour alone. */
const STATES = {
  serving: { mark: "✓", level: "good" },
  starting: { mark: "…", level: "warn" },
  draining: { mark: "…", level: "warn" },
  restarting: { mark: "↻", level: "warn" },
  stopped: { mark: "■", level: "warn" },
  unknown: { mark: "?", level: "warn" },
  hung: { mark: "!", level: "bad" },
  failed: { mark: "✕", level: "bad" },
  unreachable: { mark: "✕", level: "bad" },
};

/** `steady` facts change seldom: a change is worth a flash. The others move all the time. */
const FACTS = [
  { key: "applied", label: "applied" },
  { key: "lag", label: "lag" },
  { key: "streams", label: "streams" },
  { key: "uptime", label: "uptime" },
  { key: "pid", label: "pid", steady: true },
  { key: "restarts", label: "restarts", steady: true },
  { key: "address", label: "address", steady: true, wide: true },
  { key: "reason", label: "reason", steady: true, wide: true },
];
const MORE = [
  "heard", "reason", "digest", "version", "http", "routers", "log", "disk free", "memory", "open files", "cpu time",
];

export class Cards {
  #parent;
  #pairs = new Map();
  #cards = new Map();

  constructor(parent) {
    this.#parent = parent;
  }

  draw(statuses, now) {
    const pairs = new Map();
    for (const status of statuses) {
      const { server } = status;
      if (!this.#cards.has(server.name)) this.#cards.set(server.name, new Card());
      const card = this.#cards.get(server.name);
      card.draw(status, now);
      pairs.set(server.pair, [...(pairs.get(server.pair) ?? []), card.root]);
    }
    for (const [name, cards] of pairs) {
      if (!this.#pairs.has(name)) this.#pairs.set(name, newPair(name));
      arrange(this.#pairs.get(name).body, cards);
    }
    for (const name of this.#pairs.keys()) if (!pairs.has(name)) this.#pairs.delete(name);
    const listed = new Set(statuses.map((status) => status.server.name));
    for (const name of this.#cards.keys()) if (!listed.has(name)) this.#cards.delete(name);
    arrange(this.#parent, [...pairs.keys()].map((name) => this.#pairs.get(name).root));
  }
}

function newPair(name) {
  const body = el("div.pair-body");
  return { root: el("section.pair", el("h3", `Pair ${name}`), body), body };
}

class Card {
  #swatch = swatch();
  #name = el("span");
  #mark = el("span.mark");
  #word = el("span");
  #badge = el("span.badge", this.#mark, " ", this.#word);
  #said = el("p.said");
  #values = new Map();
  #more = new Map();
  #drawn = false;

  constructor() {
    this.#mark.setAttribute("aria-hidden", "true");
    const facts = el("dl.facts");
    for (const { key, label, wide } of FACTS) {
      const value = el("dd");
      const row = el(wide ? "div.wide" : "div", el("dt", label), value);
      this.#values.set(key, { value, row });
      facts.append(row);
    }
    const more = el("dl.more");
    for (const label of MORE) {
      const value = el("dd");
      this.#more.set(label, value);
      more.append(el("div", el("dt", label), value));
    }
    const details = el("details", el("summary", "details"), more);
    const head = el("header", el("h4", this.#swatch, this.#name), this.#badge);
    this.root = el("article.server", head, this.#said, facts, details);
  }

  draw(status, now) {
    const { server, facts, reachable, teller } = status;
    const { mark, level } = STATES[facts.state];
    const { root } = this;
    root.dataset.server = server.name;
    root.dataset.state = facts.state;
    root.dataset.level = level;
    root.dataset.reachable = String(reachable);
    paint(this.#swatch, server);
    text(this.#name, server.name);
    text(this.#mark, mark);
    if (text(this.#word, facts.state) && this.#drawn) flash(this.#badge);
    text(this.#said, [facts.role || server.role, ...sayer(status, now)].join(" · "));

    const offset = server.offset?.ms ?? 0;
    const serverNow = now + offset;
    this.#set("applied", count(facts.applied));
    this.#set("lag", count(facts.lag));
    this.#set("streams", count(facts.streams));
    this.#set("uptime", reachable && facts.started_at_ms !== null ? span(serverNow - facts.started_at_ms) : "–");
    this.#set("pid", facts.pid === null ? "–" : String(facts.pid));
    this.#set("restarts", count(facts.restarts));
    this.#set("address", facts.address || "–");
    this.#set("reason", facts.reason || "–");
    this.#details(server, facts, now);
    this.#drawn = true;
  }

  #set(key, value) {
    const { value: node, row } = this.#values.get(key);
    const steady = FACTS.find((fact) => fact.key === key).steady === true;
    if (text(node, value) && steady && this.#drawn) flash(row);
  }

  #details(server, facts, now) {
    const { answer } = server;
    const put = (label, value) => text(this.#more.get(label), value || "–");
    put("heard", server.heardAt === null ? "never" : `${span(now - server.heardAt)} ago`);
    put("reason", facts.reason);
    put("digest", facts.digest);
    put("version", facts.version);
    put("http", server.http);
    if (!answer) return;
    const { routers, log, disk, process } = answer;
    const told = routers.map(({ url, connected }) => `${url} ${connected ? "connected" : "not connected"}`);
    put("routers", told.join(", ") || "none");
    put("log", [log.kind, bytes(log.bytes)].filter((part) => part !== "").join(", "));
    put("disk free", `${bytes(disk.free_bytes)} of ${bytes(disk.total_bytes)}`);
    put("memory", bytes(process.rss_bytes));
    put("open files", count(process.open_fds));
    put("cpu time", process.cpu_seconds === null ? "" : `${process.cpu_seconds.toFixed(1)} s`);
  }
}

/** Who says all this. One short line in every case: a card that grew would push the deaths away while one happens. */
function sayer({ server, reachable, teller }, now) {
  if (reachable) return [teller === server.name ? "in its own words" : `${teller} says so`];
  const silent = server.heardAt === null ? "never answered" : `silent ${span(now - server.heardAt)}`;
  return [teller === "" ? "no word of it" : `${teller} says so`, silent];
}

/** The disks, as a table: a row for each server that told of one. */
export class Disks {
  #body;
  #rows = new Map();

  constructor(body) {
    this.#body = body;
  }

  draw(statuses) {
    const told = statuses.map((status) => status.server).filter((server) => server.answer !== null);
    for (const server of told) {
      if (!this.#rows.has(server.name)) this.#rows.set(server.name, newRow());
      drawRow(this.#rows.get(server.name), server);
    }
    const listed = new Set(told.map((server) => server.name));
    for (const name of this.#rows.keys()) if (!listed.has(name)) this.#rows.delete(name);
    arrange(this.#body, told.map((server) => this.#rows.get(server.name).root));
  }
}

function newRow() {
  const row = {
    swatch: swatch(), name: el("span"), meter: el("span.fill"), word: el("span.word"),
    free: el("td"), total: el("td"), log: el("td"),
  };
  const head = el("th", row.swatch, row.name);
  head.scope = "row";
  const meter = el("span.meter", row.meter);
  meter.setAttribute("aria-hidden", "true");
  row.root = el("tr", head, el("td.share", meter, row.word), row.free, row.total, row.log);
  return row;
}

function drawRow(row, server) {
  const { disk, log } = server.answer;
  const free = freeShare(disk);
  const level = free === null || free >= DISK_WARN ? "good" : free >= DISK_BAD ? "warn" : "bad";
  const words = { good: "", warn: " ! low", bad: " ✕ nearly full" };
  row.root.dataset.level = level;
  paint(row.swatch, server);
  text(row.name, server.name);
  row.meter.style.width = `${((1 - (free ?? 1)) * 100).toFixed(1)}%`;
  text(row.word, `${share(free)} free${words[level]}`);
  text(row.free, bytes(disk.free_bytes));
  text(row.total, bytes(disk.total_bytes));
  text(row.log, `${log.kind || "–"}, ${bytes(log.bytes)}`);
  attr(row.root, "data-disk", server.name);
}
