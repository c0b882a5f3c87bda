/** The feed page: who is logged in, which view is shown, and what the live timeline does to them. */

import { Account } from "./account.js";
import { Api, ApiError, sleep } from "./api.js";
import { avatar, el, refreshTimes, userHref } from "./dom.js";
import { Follows } from "./follows.js";
import { installKeys } from "./keys.js";
import { Live } from "./live.js";
import { Login } from "./login.js";
import { notice } from "./notices.js";
import { Servers } from "./servers.js";
import { loadSession, storeSession } from "./session.js";
import { homeView, parseRoute, peopleView, userView } from "./views.js";

/** Views kept for going back, besides home. */
const VIEWS_MAX = 3;
/** Places in the history whose scroll position is remembered. */
const PLACES_MAX = 50;
const SERVERS_EVERY_MS = 60_000;
const TIMES_EVERY_MS = 1_000;
/** How long it is said where the stream went on. */
const WENT_ON_MS = 6_000;

const page = document.documentElement;
const byId = (id) => document.getElementById(id);
const servers = new Servers(location.origin);
const api = new Api(servers);
/** How long the form waits to learn whether names have passwords here, rather than change under the reader. */
const LEARN_MS = 300;

/**
 * All that belongs to one login; it ends as a whole.
 * @typedef {object} Visit
 * @property {AbortController} life
 * @property {import("./views.js").Context} context
 * @property {ReturnType<typeof homeView>} home
 * @property {Map<string, import("./views.js").View>} views the least lately shown first
 * @property {import("./views.js").View | null} shown
 * @property {Live} live
 * @property {boolean} stale home lacks older posts of somebody followed since
 * @property {boolean} secured the log-in was made with a password
 */

/** @type {Visit | null} */
let visit = null;
/** The form, while nobody is logged in. @type {Login | null} */
let login = null;
/** Scroll positions by place in the history. @type {Map<string, number>} */
const places = new Map();
let place = "";

// ---- coming and going ----

/** @param {import("./session.js").Session} session */
function enter({ token, username, secured = false }) {
  api.token = token;
  storeSession({ token, username, secured });
  login = null;
  const life = new AbortController();
  const follows = new Follows(api, username, followChanged);
  const context = { api, follows, me: username, deleted };
  const home = homeView(context);
  const live = new Live(api, servers, {
    start: () => home.list.load(),
    post: (post) => eachFeed(post.author, (feed) => feed.add(post)),
    deleted,
    state: showState,
    resumed,
    refused,
  });
  visit = { life, context, home, views: new Map(), shown: null, live, stale: false, secured };
  byId("me").replaceChildren(avatar(username), el("span", { text: username }));
  byId("me").setAttribute("aria-label", `${username}, my posts`);
  for (const link of [byId("me"), byId("nav-me")]) link.href = userHref(username);
  for (const id of ["nav", "account", "state"]) byId(id).hidden = false;
  offerAccount();
  page.dataset.failovers = "0";
  show("reconnecting", "connecting…");
  route();
  live.run();
  loadFollows(follows, life.signal);
}

/**
 * @param {string} [message] why, when it was not the reader's wish
 * @param {string} [name] who is to log in again; what they were writing waits for them
 */
function leave(message = "", name = "") {
  storeSession(null);
  api.forget();
  if (visit) {
    visit.live.stop();
    visit.life.abort();
    for (const view of [visit.home, ...visit.views.values()]) view.life.abort();
    visit.shown?.list.detach();
    visit = null;
  }
  clearTimeout(wentOn);
  account.close();
  for (const id of ["nav", "account", "state"]) byId(id).hidden = true;
  byId("notices").replaceChildren();
  delete page.dataset.state;
  delete page.dataset.server;
  showLogin(message, name);
}

/** @param {string} [message] @param {string} [name] */
function showLogin(message = "", name = "") {
  document.title = "Log in · SNS";
  login = new Login({ api, servers, entered: enter }, name, message);
  byId("main").replaceChildren(login.root);
  login.focus();
}

/** The menu is for those who have a password. */
function offerAccount() {
  if (visit) account.offer(servers.auth === "accounts" || visit.secured);
}

const account = new Account(api, {
  name: () => visit?.context.me ?? "",
  renewed: (token) => storeSession({ token, username: visit.context.me, secured: true }),
  ended: leave,
});

servers.onLearned = () => {
  login?.draw();
  offerAccount();
};

async function loadFollows(follows, signal) {
  while (!signal.aborted && !follows.known) {
    try {
      await follows.load(signal);
    } catch {
      await sleep(2_000, signal).catch(() => {});
    }
  }
}

/** @param {ApiError} error */
function refused(error) {
  if (error.reason === "SEQ_UNKNOWN") leave("The servers have other data than before. Please log in again.");
  else if (error.kind === "denied") askAgain();
  else leave("Please log in again.");
}

/** The token has ended: by time, by another password, or because its writer logged out everywhere. */
function askAgain() {
  if (visit) leave("Your log-in has ended. Please log in again.", visit.context.me);
}

api.onDenied = askAgain;

// ---- what happens to posts and follows ----

/** Every list of posts in which those of `author` belong; no author: all. */
function eachFeed(author, act) {
  act(visit.home.list);
  for (const view of visit.views.values()) {
    if (view.author !== undefined && (author === undefined || view.author === author)) act(view.list);
  }
  showTitle();
}

function deleted(id) {
  if (visit) eachFeed(undefined, (feed) => feed.remove(id));
}

function followChanged(name, followed) {
  if (!visit) return;
  if (followed) visit.stale = true;
  else visit.home.list.removeAuthor(name);
  // Lists of followers and followed have changed with it.
  for (const [key, view] of visit.views) {
    if (view !== visit.shown && /\/follow(ers|ing)$/.test(key)) drop(key);
  }
}

// ---- the connection ----

let wentOn = 0;

function show(state, text) {
  clearTimeout(wentOn);
  page.dataset.state = state;
  if (byId("state-text").textContent !== text) byId("state-text").textContent = text;
}

function showState(state) {
  if (!visit) return;
  if (state === "live") {
    visit.home.list.retry();
    visit.shown?.list.retry();
  } else if (state === "reconnecting") show(state, "reconnecting…");
  else show(state, "no server answers, trying again");
}

function resumed(server, afterMs, moved) {
  if (!visit) return;
  page.dataset.server = server;
  const calm = () => show("live", `live · ${server}`);
  calm();
  if (!moved) return;
  page.dataset.failovers = String(Number(page.dataset.failovers) + 1);
  show("live", `went on at ${server} after ${Math.round(afterMs).toLocaleString("en")} ms`);
  wentOn = setTimeout(calm, WENT_ON_MS);
}

// ---- views ----

function drop(key) {
  visit.views.get(key)?.life.abort();
  visit.views.delete(key);
}

/** @returns {import("./views.js").View | null} */
function viewOf(wanted) {
  if (wanted.key === "home") return visit.home;
  const { views, context } = visit;
  const known = views.get(wanted.key);
  const view = known ?? (wanted.key === "people" ? peopleView(context) : userView(context, wanted.name, wanted.part));
  views.delete(wanted.key);
  views.set(wanted.key, view);
  if (views.size > VIEWS_MAX) drop(views.keys().next().value);
  return view;
}

/** Shows what the address asks for: as it was when going back, from the top otherwise. */
function route() {
  if (!visit) return;
  const wanted = parseRoute(location.hash);
  const back = history.state?.place;
  place = back ?? String(Math.random());
  if (!back) history.replaceState({ place }, "");
  if (!wanted) {
    location.replace("#/");
    return;
  }
  // A list that is opened anew is read anew; going back finds it as it was.
  if (!back && wanted.key !== "home" && visit.views.has(wanted.key)) drop(wanted.key);
  const view = viewOf(wanted);
  const first = visit.shown === null;
  visit.shown?.list.detach();
  visit.shown = view;
  byId("main").replaceChildren(view.root);
  visit.context.follows.refresh(view.root);
  view.list.attach();
  for (const link of document.querySelectorAll("[data-nav]")) {
    if (link.dataset.nav === view.nav) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  window.scrollTo({ top: places.get(back) ?? 0, behavior: "instant" });
  view.list.scrolled?.();
  showTitle();
  if (!first) view.root.querySelector("h1").focus({ preventScroll: true });
  if (view === visit.home && visit.stale) {
    visit.stale = false;
    visit.home.list.load().catch(() => {
      if (visit) visit.stale = true;
    });
  }
}

function remember() {
  places.delete(place);
  places.set(place, window.scrollY);
  if (places.size > PLACES_MAX) places.delete(places.keys().next().value);
}

function showTitle() {
  if (!visit?.shown) return;
  const { unseen } = visit.home.list;
  const title = `${unseen > 0 ? `(${unseen > 99 ? "99+" : unseen}) ` : ""}${visit.shown.title} · SNS`;
  if (document.title !== title) document.title = title;
}

async function write() {
  if (!visit) return;
  location.hash = "#/";
  // The view changes with the address, a moment later.
  await sleep(0);
  if (!visit) return;
  await visit.home.list.goTop();
  visit?.home.compose.focus();
}

// ---- the page itself ----

history.scrollRestoration = "manual";
window.addEventListener("hashchange", route);
window.addEventListener("scroll", () => {
  if (!visit) return;
  remember();
  visit.shown?.list.scrolled?.();
  showTitle();
}, { passive: true });

byId("logout").addEventListener("click", () => leave());
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("main").focus();
});
byId("go").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = byId("go-name").value.trim().replace(/^@/, "").toLowerCase();
  if (!/^[a-z0-9_]{1,32}$/.test(name)) {
    if (name !== "") notice("A name has letters a–z, digits and _, at most 32.");
    return;
  }
  byId("go-name").value = "";
  location.hash = userHref(name);
});
// The address does not change when the link of the present view is pressed; it leads to its top.
document.addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const link = event.target.closest?.('a[href^="#/"]');
  if (!link || !visit || link.id === "skip" || link.getAttribute("href") !== (location.hash || "#/")) return;
  event.preventDefault();
  if (visit.shown.list.goTop) visit.shown.list.goTop();
  else window.scrollTo(0, 0);
});
installKeys({
  n: write,
  c: write,
  j: () => visit?.shown.list.move(1),
  k: () => visit?.shown.list.move(-1),
  t: () => visit?.shown.list.goTop?.(),
  o: () => visit?.shown.list.loadOlder(),
  "/": () => byId("go-name").focus(),
  "g h": () => (location.hash = "#/"),
  "g p": () => (location.hash = "#/people"),
  "g m": () => visit && (location.hash = userHref(visit.context.me)),
});
setInterval(() => {
  if (!document.hidden) refreshTimes();
  showTitle();
}, TIMES_EVERY_MS);
setInterval(() => api.refreshServers(), SERVERS_EVERY_MS);

const learned = api.refreshServers();
const session = loadSession();
if (session) enter(session);
else {
  await Promise.race([learned, sleep(LEARN_MS)]);
  showLogin();
}
