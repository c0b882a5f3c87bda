// The operations page: asks every server, says in one sentence how they are, and shows why.

import { Cards, Disks } from "./ops-cards.js";
import { attr, el, show, text } from "./ops-dom.js";
import { Lock } from "./ops-lock.js";
import { Plots } from "./ops-plots.js";
import { Poller } from "./ops-poll.js";
import { Store, pageNow } from "./ops-store.js";
import { Strip } from "./ops-strip.js";
import { statusOf, verdict } from "./ops-verdict.js";

const MARKS = { none: "…", good: "✓", warn: "!", bad: "✕" };
const OTHERS_SHOWN = 4;
const byId = (id) => document.getElementById(id);

const store = new Store();
const cards = new Cards(byId("pairs"));
const disks = new Disks(byId("disks"));
const plots = new Plots(store, byId("plots"), pageNow);
const strip = new Strip(store, {
  list: byId("deaths"),
  none: byId("deaths-none"),
  more: byId("deaths-more"),
  summary: {
    root: byId("deaths-summary"), median: byId("deaths-median"), longest: byId("deaths-longest"), of: byId("deaths-of"),
  },
}, pageNow);

const poller = new Poller(store, news);
const lock = new Lock({
  root: byId("locked"), form: byId("unlock"), field: byId("token"), submit: byId("unlock-submit"), error: byId("unlock-error"),
}, (token) => poller.check(token), lockChanged);

function lockChanged() {
  document.documentElement.dataset.locked = String(lock.closed);
  show(byId("forget"), lock.token !== null);
  text(byId("self"), store.self || location.host);
  if (lock.closed) document.title = "Locked · SNS operations";
  else {
    poller.resume();
    byId("main").focus({ preventScroll: true });
    draw();
    plots.draw(pageNow());
  }
}

function forget() {
  lock.forget();
  poller.forget();
  // Hidden is not forgotten.
  delete document.documentElement.dataset.ready;
  cards.draw([], pageNow());
  disks.draw([]);
  strip.draw();
  plots.draw(pageNow());
  drawVerdict({ level: "none", text: "Asking the servers", key: "", others: [] });
  document.title = "Locked · SNS operations";
}

function draw() {
  if (lock.closed) return;
  const now = pageNow();
  const servers = [...store.servers.values()];
  const tried = servers.filter((server) => server.tried);
  // No word about anybody before each was asked once: the first second must not look like an outage.
  if (tried.length < servers.length && document.documentElement.dataset.ready !== "true") return;
  const statuses = tried.map((server) => statusOf(server, store.partnerOf(server)));
  text(byId("self"), store.self || location.host);
  drawVerdict(verdict(statuses));
  drawElsewhere();
  cards.draw(statuses, now);
  disks.draw(statuses);
  strip.draw();
  if (tried.length > 0) document.documentElement.dataset.ready = "true";
}

let spokenKey = "";

function drawVerdict({ level, text: sentence, key, others }) {
  const root = byId("verdict-box");
  attr(root, "data-level", level);
  text(byId("verdict-mark"), MARKS[level]);
  text(byId("verdict"), sentence);
  // Read aloud when the illness changes, not whenever a number in it does.
  if (key !== spokenKey) {
    spokenKey = key;
    text(byId("verdict-spoken"), sentence);
  }
  const list = byId("verdict-others");
  const lines = others.slice(0, OTHERS_SHOWN).map((other) => other.text);
  if (others.length > OTHERS_SHOWN) lines.push(`and ${others.length - OTHERS_SHOWN} more`);
  while (list.children.length < lines.length) list.append(el("li"));
  while (list.children.length > lines.length) list.lastElementChild.remove();
  lines.forEach((line, place) => text(list.children[place], line));
  show(list, lines.length > 0);
  document.title = `${MARKS[level]} ${sentence} · SNS operations`;
}

function drawElsewhere() {
  show(byId("elsewhere"), store.elsewhere !== "");
  const there = `${store.elsewhere}/ops`;
  text(byId("elsewhere-link"), there);
  attr(byId("elsewhere-link"), "href", there);
}

/** However many answers arrive in a frame, the page is drawn once. A hidden tab is not drawn at all. */
let asked = false;
function news() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    draw();
  });
}

function chooseWindow(minutes) {
  plots.minutes = minutes;
  for (const button of document.querySelectorAll("[data-minutes]")) {
    attr(button, "aria-pressed", button.dataset.minutes === String(minutes));
  }
  plots.draw(pageNow());
}

for (const button of document.querySelectorAll("[data-minutes]")) {
  button.addEventListener("click", () => chooseWindow(Number(button.dataset.minutes)));
}

const keys = byId("keys");
byId("keys-open").addEventListener("click", () => keys.showModal());
byId("keys-close").addEventListener("click", () => keys.close());
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || keys.open || event.target.closest?.("input")) return;
  const windows = { 1: 2, 2: 5, 3: 10 };
  if (event.key === "?") keys.showModal();
  else if (event.key in windows) chooseWindow(windows[event.key]);
});

chooseWindow(10);
setInterval(() => {
  if (!document.hidden) plots.draw(pageNow());
}, 1000);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) plots.draw(pageNow());
});
byId("forget").addEventListener("click", forget);
show(byId("forget"), lock.token !== null);
poller.start(lock);
