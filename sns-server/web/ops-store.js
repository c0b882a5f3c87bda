// What the page knows, bounded: the servers, their last answers, ten minutes of samples each, the last deaths.
// Times are kept in the page's clock. Each server has a clock of its own; its offset is taken from the answer with
// the shortest round trip, as that one pins the server's "now" best.

import { MARKS } from "./ops-read.js";

export const SAMPLES_MAX = 600;
export const SERVERS_MAX = 32;
const DEATHS_MAX = 64;
const DIGESTS_MAX = 64;
/** States a watcher reports of a partner it is not about to bring back at once. */
const GIVEN_UP = new Set(["failed", "stopped"]);
/** A mark not told this long after a death will not come: its teller died too, or the node was stopped. */
const MARKS_WAIT_MS = 60_000;
/** The same when the node itself says that it serves. */
const MARKS_WAIT_WELL_MS = 5000;
/** Entries a replica may be behind before it is worth a word. Below, it is the breathing of a busy log. */
export const LAG_WARN = 1000;
/** Polls that a server has to miss before it counts as out of reach. */
const UNREACHED_POLLS = 3;
/** A better pinned offset is believed this long, then the next one is taken: clocks drift. */
const OFFSET_TRUST_MS = 10_000;

/** Monotonic and close to the wall clock: a step of the wall clock must not move the plots. */
export const pageNow = () => performance.timeOrigin + performance.now();

export class Store {
  /** @type {Map<string, object>} by name, in the order shown */
  servers = new Map();
  /** @type {Map<string, object>} by id, oldest first */
  deaths = new Map();
  self = "";

  /** Where the servers say that this page lives, if it was opened under another address. */
  #announced = "";

  /**
   * The address to open instead, when no other server was ever reached from this one: through a tunnel, say, where
   * the servers let in no page of an address they do not know. Under a name that they do know nothing is amiss.
   */
  get elsewhere() {
    const others = [...this.servers.values()].filter((server) => server.name !== this.self);
    const outOfReach = others.length > 0 &&
      others.every((server) => server.heardAt === null && server.failures >= UNREACHED_POLLS);
    return outOfReach ? this.#announced : "";
  }

  setServers({ self, servers }, origin) {
    // The page belongs to the server it came from; another one that hands out the list is not "self".
    if (this.self === "") this.self = self;
    const own = servers.find((server) => server.name === this.self);
    this.#announced = own && own.http !== origin ? own.http : "";
    if (own) own.http = origin;
    const before = this.servers;
    const sorted = [...servers].sort((one, other) => order(one) < order(other) ? -1 : 1);
    this.servers = new Map();
    for (const listed of sorted) {
      const server = before.get(listed.name) ?? fresh(listed);
      Object.assign(server, listed, { place: this.servers.size });
      this.servers.set(listed.name, server);
    }
  }

  /** Forgets all that servers said but the list of them; gives the servers, as if never heard. */
  clear() {
    this.deaths.clear();
    for (const [name, { pair, role, http, place }] of this.servers) {
      this.servers.set(name, { ...fresh({ name, pair, role, http }), place });
    }
    return this.servers.values();
  }

  absorb(server, answer, sentAt, heardAt) {
    setOffset(server, answer.now_ms, sentAt, heardAt);
    if (server.answer && server.answer.server.pid !== answer.server.pid) server.digests.clear();
    const { samples, deaths, ...rest } = answer;
    server.answer = rest;
    server.heardAt = heardAt;
    server.failures = 0;
    server.tried = true;
    keepSamples(server, samples);
    keepDigest(server.digests, answer.server);
    for (const death of deaths) this.#keepDeath(death, server);
    this.#dropOldDeaths();
  }

  missed(server) {
    server.failures += 1;
    server.tried = true;
  }

  partnerOf(server) {
    for (const other of this.servers.values()) {
      if (other.pair === server.pair && other !== server) return other;
    }
    return null;
  }

  /** Is `death` still being told? Known marks end it, a later death of the node, time, or word of the node. */
  underWay(death, now) {
    if (death.marks.serving !== null && death.marks.caught_up !== null) return false;
    if (death.superseded || now - death.at > MARKS_WAIT_MS) return false;
    const node = this.servers.get(death.node);
    const partner = node && this.partnerOf(node);
    const word = partner?.failures === 0 ? partner.answer?.partner?.state : null;
    if (GIVEN_UP.has(word)) return false;
    const well = node?.failures === 0 && node.answer?.server.state === "serving" && node.answer.server.lag < LAG_WARN;
    return !(well && node.heardAt - death.at > MARKS_WAIT_WELL_MS);
  }

  /** Newest first. */
  deathsNewestFirst() {
    return [...this.deaths.values()].reverse();
  }

  #keepDeath(told, teller) {
    const clockOf = this.servers.get(told.told_by) ?? teller;
    const death = this.deaths.get(told.id) ?? { ...told, superseded: false };
    // Two tellers may each know a part: a mark once known stays known.
    for (const mark of MARKS) death.marks[mark] = told.marks[mark] ?? death.marks[mark];
    death.new_pid = told.new_pid ?? death.new_pid;
    death.hung ||= told.hung;
    if (told.why !== "") death.why = told.why;
    death.at = death.at_ms - (clockOf.offset?.ms ?? 0);
    this.deaths.set(told.id, death);
  }

  #dropOldDeaths() {
    const sorted = [...this.deaths.values()].sort((one, other) => one.at - other.at).slice(-DEATHS_MAX);
    const latest = new Map();
    for (const death of sorted) {
      const earlier = latest.get(death.node);
      if (earlier) earlier.superseded = true;
      latest.set(death.node, death);
    }
    this.deaths = new Map(sorted.map((death) => [death.id, death]));
  }
}

const order = (server) => `${server.pair}/${server.role}/${server.name}`;

function fresh(listed) {
  return {
    ...listed, place: 0, tried: false, answer: null, heardAt: null, failures: 0, offset: null,
    samples: [], digests: new Map(),
  };
}

function setOffset(server, serverNow, sentAt, heardAt) {
  const trip = heardAt - sentAt;
  const ms = serverNow - (sentAt + heardAt) / 2;
  const best = server.offset;
  const stale = best && (heardAt - best.at > OFFSET_TRUST_MS || Math.abs(ms - best.ms) > trip + best.trip);
  if (!best || stale || trip <= best.trip) server.offset = { ms, trip, at: heardAt };
}

function keepSamples(server, samples) {
  const kept = server.samples;
  const newest = server.answer.now_ms;
  // A server's clock that was set back would make all that follows look old: begin anew.
  if (kept.length > 0 && kept[kept.length - 1].t > newest + 5000) kept.length = 0;
  for (const sample of samples) {
    if (kept.length === 0 || sample.t > kept[kept.length - 1].t) kept.push(sample);
  }
  if (kept.length > SAMPLES_MAX) kept.splice(0, kept.length - SAMPLES_MAX);
}

function keepDigest(digests, { applied, digest }) {
  if (applied === null || digest === "") return;
  digests.delete(applied);
  digests.set(applied, digest);
  if (digests.size > DIGESTS_MAX) digests.delete(digests.keys().next().value);
}
