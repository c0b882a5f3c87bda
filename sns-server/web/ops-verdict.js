// Who is unwell, and why, in one sentence. Pure: from what the page knows to words; no DOM, no clock of its own.

import { count, share } from "./ops-format.js";
import { LAG_WARN } from "./ops-store.js";

/** It has to lag this many samples in a row: a burst that is applied within seconds is no illness. */
const LAG_SAMPLES = 3;
export const DISK_WARN = 0.1;
export const DISK_BAD = 0.03;
/** Failed polls in a row before a server that others call well counts as out of reach: one may be the page's own. */
const UNREACHED_POLLS = 2;

/**
 * Whose word counts about `server`: its own if it answers, else its partner's if that one answers, else nobody's.
 * One exception: a partner that has declared this very process hung or failed knows more than its HTTP side does.
 */
export function statusOf(server, partner) {
  const reachable = server.answer !== null && server.failures === 0;
  const word = partner?.answer && partner.failures === 0 ? partner.answer.partner : null;
  const about = word !== null && word.name === server.name ? word : null;
  const own = server.answer?.server ?? null;
  if (reachable) {
    const condemned = about && ["hung", "failed"].includes(about.state) && about.pid === own.pid;
    if (!condemned) return { server, reachable, teller: server.name, facts: own };
    return { server, reachable, teller: partner.name, facts: { ...own, state: about.state, reason: about.reason } };
  }
  if (about) return { server, reachable, teller: partner.name, facts: about };
  // Nobody speaks for it. What it last said of itself stays readable, its state does not.
  return { server, reachable, teller: "", facts: { ...(own ?? EMPTY), state: "unreachable", reason: "" } };
}

const EMPTY = {
  name: "", pair: "", role: "", address: "", http: "", pid: null, applied: null, lag: null, streams: null,
  restarts: null, digest: "", reason: "", version: "", started_at_ms: null,
};

/**
 * The verdict: `{level, text, key, others}`. `key` names the illness without its numbers (a reader aloud repeats
 * nothing while it is the same), `others` are the further sentences, worst first.
 *
 * Unwell is, worst first:
 *  bad   no server answers; replicas differ at the same index; disk below 3%; a server failed; both servers of a pair
 *        unheard; a server hung; a server nobody speaks for
 *  warn  restarting; starting; disk below 10%; lag of 1000 entries or more for 3 s; draining; stopped;
 *        out of this page's reach though its partner calls it serving; without a router; promises weakened
 * A restart is a warning, not an alarm: its partner serves meanwhile, and clients see no failure.
 */
export function verdict(statuses) {
  if (statuses.length === 0 || statuses.every((status) => !status.reachable && status.teller === "")) {
    return { level: "bad", text: "No server answers", key: "none", others: [] };
  }
  const silent = unheardPairs(statuses);
  const others = statuses.filter((status) => !silent.has(status.server.pair));
  const found = [...differing(statuses), ...silent.values(), ...others.flatMap((status) => illsOf(status)), ...sharedIlls(others)]
    .sort((one, other) => one.rank - other.rank);
  if (found.length === 0) {
    const all = statuses.length === 1 ? "The only server serves" : `All ${statuses.length} servers serve`;
    return { level: "good", text: all, key: "well", others: [] };
  }
  const [worst, ...rest] = found;
  return { level: worst.level, text: worst.text, key: found.map((ill) => ill.key).join(" "), others: rest };
}

function ill(rank, level, key, text) {
  return { rank, level, key, text };
}

/** A verdict is read in a second; the whole reason stands at the server. */
const cut = (words) => (words.length > 120 ? `${words.slice(0, 119)}…` : words);

function illsOf(status) {
  const { server, facts, reachable, teller } = status;
  const { name } = server;
  const because = facts.reason === "" ? "" : `: ${cut(facts.reason)}`;
  const ills = [];
  switch (facts.state) {
    case "failed": ills.push(ill(3, "bad", `${name} failed`, `${name} failed${because}`)); break;
    case "hung": ills.push(ill(5, "bad", `${name} hung`, `${name} is hung${because}`)); break;
    case "unreachable":
      ills.push(ill(6, "bad", `${name} silent`, `${name} does not answer, and no partner speaks for it`));
      break;
    case "restarting": ills.push(ill(7, "warn", `${name} restarting`, `${name} is restarting${because}`)); break;
    case "starting": ills.push(ill(8, "warn", `${name} starting`, `${name} is starting${because}`)); break;
    case "draining": ills.push(ill(11, "warn", `${name} draining`, `${name} is draining${because}`)); break;
    case "stopped": ills.push(ill(12, "warn", `${name} stopped`, `${name} is stopped${because}`)); break;
    case "unknown":
      ills.push(ill(12, "warn", `${name} unknown`, `${name} is in a state this page does not know`));
      break;
    case "serving":
      if (!reachable && server.failures >= UNREACHED_POLLS) {
        const said = `${name} serves, says ${teller}, but does not answer this page`;
        ills.push(ill(13, "warn", `${name} unreached`, said));
      }
      break;
  }
  if (!reachable) return ills;
  const lag = lasting(server);
  if (facts.state === "serving" && lag >= LAG_WARN) {
    ills.push(ill(10, "warn", `${name} lags`, `${name} lags by ${count(lag)} entries`));
  }
  const { routers } = server.answer;
  if (routers.length > 0 && routers.every((router) => !router.connected)) {
    ills.push(ill(14, "warn", `${name} routers`, `${name} has no router: no new client is sent to it`));
  }
  return ills;
}

/** What servers have in common, as those of one machine have their disk: said once for all of them. */
function sharedIlls(statuses) {
  const groups = new Map();
  for (const { server } of statuses.filter((status) => status.reachable)) {
    for (const { rank, level, what, said } of sharedBy(server.answer)) {
      const group = groups.get(said("")) ?? { rank, level, what, said, names: [] };
      group.names.push(server.name);
      groups.set(said(""), group);
    }
  }
  return [...groups.values()].map(({ rank, level, what, said, names }) => {
    const all = names.length === statuses.length && names.length > 1;
    return ill(rank, level, `${names.join(" ")} ${what}`, said(all ? `all ${names.length} servers` : names.join(", ")));
  });
}

function sharedBy({ disk, server }) {
  const found = [];
  if (server.state === "serving" && server.reason !== "") {
    // Of one that serves, the reason says what weakens its promises: a full disk, a lock that is held, a weaker log.
    const said = (whose) => `Weakened, ${whose}: ${cut(server.reason)}`;
    found.push({ rank: 8.5, level: "warn", what: "weakened", said });
  }
  const free = freeShare(disk);
  if (free !== null && free < DISK_WARN) {
    const bad = free < DISK_BAD;
    const said = (whose) => `Disk: ${share(free)} free on ${whose}`;
    found.push({ rank: bad ? 2 : 9, level: bad ? "bad" : "warn", what: "disk", said });
  }
  return found;
}

/** The lag that all of the last samples had: a burst does not count, and no lag is 0. */
function lasting(server) {
  const lags = server.samples.slice(-LAG_SAMPLES).map((sample) => sample.lag ?? 0);
  lags.push(server.answer.server.lag ?? 0);
  return Math.min(...lags) >= LAG_WARN && lags.length > LAG_SAMPLES ? server.answer.server.lag : 0;
}

/** Pairs nobody speaks for: told once for the pair, not again for each server. */
function unheardPairs(statuses) {
  const pairs = new Map();
  for (const status of statuses) {
    const unheard = !status.reachable && status.teller === "";
    pairs.set(status.server.pair, (pairs.get(status.server.pair) ?? true) && unheard);
  }
  const silent = [...pairs.keys()].filter((pair) => pairs.get(pair));
  const told = (pair) => ill(4, "bad", `pair ${pair} silent`, `No server of pair ${pair} answers`);
  return new Map(silent.map((pair) => [pair, told(pair)]));
}

/**
 * Replicas that applied the same entries must have the same digest. Answers arrive at different moments, so each
 * server's last digests are kept by index, and only equal indexes are compared.
 */
function differing(statuses) {
  const heard = statuses.filter((status) => status.reachable);
  const byIndex = new Map();
  for (const { server } of heard) {
    for (const [applied, digest] of server.digests) {
      if (!byIndex.has(applied)) byIndex.set(applied, new Map());
      const digests = byIndex.get(applied);
      digests.set(digest, [...(digests.get(digest) ?? []), server.name]);
    }
  }
  for (const [applied, digests] of byIndex) {
    if (digests.size < 2) continue;
    const fewestFirst = [...digests.values()].sort((one, other) => one.length - other.length);
    const sides = fewestFirst.map((names) => names.join(", "));
    return [
      ill(1, "bad", "digests", "Replicas disagree: digests differ at the same index"),
      ill(1, "bad", "", `At index ${count(applied)}: ${sides.join(" against ")}`),
    ];
  }
  return [];
}

export function freeShare({ free_bytes, total_bytes }) {
  return free_bytes !== null && total_bytes > 0 ? free_bytes / total_bytes : null;
}
