// Asks every server itself, one question at a time each: a slow server delays nobody and nothing piles up.

import { readOps, readReason, readServers } from "./ops-read.js";
import { SAMPLES_MAX, SERVERS_MAX, pageNow } from "./ops-store.js";

const EVERY_MS = 1000;
const EVERY_MS_DEATH = 150;
const TIMEOUT_MS = 900;
const LIST_EVERY_MS = 10_000;
/** How long a death is followed closely; one that takes longer (failed, retried every 5 s) is no news by then. */
const CLOSELY_MS = 15_000;
const HIDDEN_PAUSE_MS = 60_000;
/** A server that fell silent is followed closely as well: its death is not told yet. */
const SILENT_FAILURES_MAX = 20;

export class Poller {
  #store;
  #news;
  /** @type {import("./ops-lock.js").Lock} */
  #lock;
  #loops = new Map();
  #paused = false;
  #hiddenTimer = 0;

  constructor(store, news) {
    this.#store = store;
    this.#news = news;
  }

  async start(lock) {
    this.#lock = lock;
    document.addEventListener("visibilitychange", () => this.#visibility());
    await this.#list();
  }

  /** Whether a token opens the servers: "" if it does, the reason if it does not, null if nobody answers. */
  async check(token) {
    let refused = null;
    for (const origin of this.#origins()) {
      const { json, reason } = await getJson(`${origin}/api/v1/ops?samples_after=${Date.now()}`, token);
      if (json) return "";
      refused ??= reason;
    }
    return refused;
  }

  /** Asks all of them at once: there is a token now. */
  resume() {
    for (const loop of this.#loops.values()) this.#ask(loop);
  }

  /** Lets go of all that was heard; who there is stays known. */
  forget() {
    for (const loop of this.#loops.values()) clearTimeout(loop.timer);
    this.#loops.clear();
    for (const server of this.#store.clear()) this.#begin(server);
  }

  #origins() {
    const others = [...this.#store.servers.values()].map((server) => server.http);
    return new Set([location.origin, ...others]);
  }

  /** The list of servers: from the page's own origin, else from any server known that answers. */
  async #list() {
    if (!this.#paused) {
      let found = null;
      for (const origin of this.#origins()) {
        // Everybody may see the list: the token stays here.
        const { json } = await getJson(`${origin}/api/v1/servers`, null);
        found = readServers(json, SERVERS_MAX, origin);
        if (found) break;
      }
      if (found) {
        this.#store.setServers(found, location.origin);
        this.#follow();
      }
      this.#news();
    }
    setTimeout(() => this.#list(), this.#store.servers.size > 0 ? LIST_EVERY_MS : EVERY_MS);
  }

  /** One loop for each server listed, none for others. */
  #follow() {
    for (const [name, loop] of this.#loops) {
      if (!this.#store.servers.has(name)) {
        clearTimeout(loop.timer);
        this.#loops.delete(name);
      }
    }
    for (const server of this.#store.servers.values()) {
      if (!this.#loops.has(server.name)) this.#begin(server);
    }
  }

  #begin(server) {
    const loop = { server, timer: 0, startedAt: 0, asking: false };
    this.#loops.set(server.name, loop);
    this.#ask(loop);
  }

  async #ask(loop) {
    clearTimeout(loop.timer);
    if (loop.asking || this.#paused || this.#lock.closed) return;
    loop.asking = true;
    loop.startedAt = pageNow();
    const { server } = loop;
    const last = server.samples.at(-1);
    const query = last ? `?samples_after=${last.t}` : "";
    const { token } = this.#lock;
    const { json, reason } = await getJson(`${server.http}/api/v1/ops${query}`, token);
    loop.asking = false;
    // All was forgotten meanwhile, or is locked: what comes late is not shown.
    if (this.#loops.get(server.name) !== loop || this.#lock.closed) return;
    if (json) this.#lock.took(pageNow());
    else if (this.#lock.refused(reason, token, pageNow())) return;
    const answer = json && readOps(json, SAMPLES_MAX);
    // A port may have gone to another server meanwhile: that is not an answer of this one.
    if (answer && answer.server.name === server.name) {
      this.#store.absorb(server, answer, loop.startedAt, pageNow());
    } else {
      this.#store.missed(server);
    }
    this.#news();
    this.#schedule(loop);
    // What this one told about its partner may be a reason to look at both more often, now.
    const partner = this.#store.partnerOf(server);
    if (partner && this.#loops.has(partner.name)) this.#schedule(this.#loops.get(partner.name));
  }

  #schedule(loop) {
    if (loop.asking || this.#paused || !this.#loops.has(loop.server.name)) return;
    clearTimeout(loop.timer);
    const every = this.#closely(loop.server.pair) ? EVERY_MS_DEATH : EVERY_MS;
    loop.timer = setTimeout(() => this.#ask(loop), Math.max(0, loop.startedAt + every - pageNow()));
  }

  #closely(pair) {
    const now = pageNow();
    for (const server of this.#store.servers.values()) {
      if (server.pair === pair && server.failures > 0 && server.failures < SILENT_FAILURES_MAX) return true;
    }
    for (const death of this.#store.deaths.values()) {
      if (death.pair === pair && now - death.at < CLOSELY_MS && this.#store.underWay(death, now)) return true;
    }
    return false;
  }

  /** A tab nobody sees for a minute asks nothing; `samples_after` fills the gap when it is looked at again. */
  #visibility() {
    clearTimeout(this.#hiddenTimer);
    if (document.hidden) {
      this.#hiddenTimer = setTimeout(() => { this.#paused = true; }, HIDDEN_PAUSE_MS);
    } else if (this.#paused) {
      this.#paused = false;
      for (const loop of this.#loops.values()) this.#ask(loop);
    }
  }
}

/**
 * `json` is null for whatever is not an answer: refused, late, an error, no JSON. `reason` is why a server refused to
 * answer, if it said so.
 */
async function getJson(url, token) {
  try {
    const response = await fetch(url, {
      credentials: "omit", cache: "no-store", redirect: "error", signal: AbortSignal.timeout(TIMEOUT_MS),
      headers: token === null ? {} : { authorization: `Bearer ${token}` },
    });
    const json = await response.json();
    if (response.ok) return { json, reason: null };
    return { json: null, reason: readReason(json) };
  } catch {
    return { json: null, reason: null };
  }
}
