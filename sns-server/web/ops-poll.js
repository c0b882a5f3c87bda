// Asks every server itself, one question at a time each: a slow server delays nobody and nothing piles up.

import { readOps, readServers } from "./ops-read.js";
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
  #loops = new Map();
  #paused = false;
  #hiddenTimer = 0;

  constructor(store, news) {
    this.#store = store;
    this.#news = news;
  }

  async start() {
    document.addEventListener("visibilitychange", () => this.#visibility());
    await this.#list();
  }

  /** The list of servers: from the page's own origin, else from any server known that answers. */
  async #list() {
    if (!this.#paused) {
      const others = [...this.#store.servers.values()].map((server) => server.http);
      const origins = new Set([location.origin, ...others]);
      let found = null;
      for (const origin of origins) {
        found = readServers(await getJson(`${origin}/api/v1/servers`), SERVERS_MAX, origin);
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
      if (this.#loops.has(server.name)) continue;
      const loop = { server, timer: 0, startedAt: 0, asking: false };
      this.#loops.set(server.name, loop);
      this.#ask(loop);
    }
  }

  async #ask(loop) {
    clearTimeout(loop.timer);
    if (loop.asking || this.#paused) return;
    loop.asking = true;
    loop.startedAt = pageNow();
    const { server } = loop;
    const last = server.samples.at(-1);
    const query = last ? `?samples_after=${last.t}` : "";
    const json = await getJson(`${server.http}/api/v1/ops${query}`);
    loop.asking = false;
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

/** Null for whatever is not an answer: refused, late, an error, no JSON. */
async function getJson(url) {
  try {
    const response = await fetch(url, {
      credentials: "omit", cache: "no-store", redirect: "error", signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}
