/** The views of the page: what each address shows. */

import { Compose } from "./compose.js";
import { avatar, el, userHref } from "./dom.js";
import { Feed } from "./feed.js";
import { Users } from "./users.js";

/**
 * A view lives on while it is out of the page, so that going back finds it as it was left.
 * @typedef {object} View
 * @property {string} title
 * @property {string} nav which link of the navigation stands for it
 * @property {HTMLElement} root
 * @property {Feed | Users} list
 * @property {string} [author] only posts of this user belong here; absent in lists of users
 * @property {AbortController} life
 */

/**
 * @typedef {object} Context
 * @property {import("./api.js").Api} api
 * @property {import("./follows.js").Follows} follows
 * @property {string} me
 * @property {(id: string) => void} deleted
 */

/**
 * @param {Context} context
 * @returns {View & {compose: Compose}}
 */
export function homeView(context) {
  const life = new AbortController();
  const list = new Feed({
    ...context, path: "/home", label: "Home timeline", signal: life.signal,
    empty: () => [
      el("p", { class: "lead", text: "Nothing here yet" }),
      el("p", {}, "Follow someone at ", el("a", { href: "#/people", text: "People" }),
        ", or write the first post yourself."),
    ],
  });
  const compose = new Compose(context.api, context.me, (post) => {
    list.goTop();
    list.add(post);
  });
  const heading = el("h1", { class: "unseen", tabindex: "-1", text: "Home" });
  const root = el("div", {}, heading, compose.root, list.root);
  return { title: "Home", nav: "home", root, list, compose, life };
}

/**
 * @param {Context} context
 * @param {string} name
 * @param {"posts" | "followers" | "following"} part
 * @returns {View}
 */
export function userView(context, name, part) {
  const life = new AbortController();
  const mine = name === context.me;
  const who = mine ? "You have" : `${name} has`;
  const common = { ...context, path: `/users/${name}/${part}`, signal: life.signal };
  const words = {
    posts: ["Posts", `Posts of ${name}`, `${who} not posted yet.`],
    followers: ["Followers", `Followers of ${name}`, `${who} no followers yet.`],
    following: ["Following", `Whom ${name} follows`, mine ? "You follow nobody yet." : `${name} follows nobody yet.`],
  };
  const [, label, nothing] = words[part];
  const empty = () => {
    const said = [el("p", { text: nothing })];
    if (mine && part === "following") {
      said.push(el("p", {}, "Find someone at ", el("a", { href: "#/people", text: "People" }), "."));
    }
    return said;
  };
  const list = part === "posts" ? new Feed({ ...common, label, empty }) : new Users({ ...common, label, empty });
  if (part === "posts") list.load().catch(() => {});

  const tabs = el("nav", { class: "tabs", "aria-label": `Of ${name}` });
  for (const [tab, [word]] of Object.entries(words)) {
    const href = tab === "posts" ? userHref(name) : `${userHref(name)}/${tab}`;
    tabs.append(el("a", { href, text: word, "aria-current": tab === part ? "page" : undefined }));
  }
  const head = el("div", { class: "user-head" }, avatar(name),
    el("h1", { tabindex: "-1", text: name }),
    mine ? el("span", { class: "muted", text: "you" }) : context.follows.button(name));
  return {
    title: part === "posts" ? name : label, nav: mine && part === "posts" ? "me" : "", life, list,
    author: part === "posts" ? name : undefined,
    root: el("div", {}, head, tabs, list.root),
  };
}

/**
 * @param {Context} context
 * @returns {View}
 */
export function peopleView(context) {
  const life = new AbortController();
  const list = new Users({
    ...context, path: "/users", label: "Everybody", signal: life.signal,
    empty: () => [el("p", { text: "Nobody is here yet." })],
  });
  const head = el("div", { class: "user-head" }, el("h1", { tabindex: "-1", text: "People" }));
  return { title: "People", nav: "people", root: el("div", {}, head, list.root), list, life };
}

/** What `location.hash` asks for; null when it is nothing of ours. @param {string} hash */
export function parseRoute(hash) {
  let path;
  try {
    path = decodeURIComponent(hash.replace(/^#\/?/, "")).toLowerCase();
  } catch {
    return null;
  }
  if (path === "") return { key: "home", name: "", part: "" };
  if (path === "people") return { key: "people", name: "", part: "" };
  const match = /^u\/([a-z0-9_]{1,32})(?:\/(followers|following))?$/.exec(path);
  if (!match) return null;
  const [, name, part = "posts"] = match;
  return { key: `${name}/${part}`, name, part };
}
