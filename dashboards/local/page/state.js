// What the page looks at is its address, with Grafana's names: from, to, var-<choice>, refresh. There is no other state.

const UNIT_MS = { s: 1e3, m: 60e3, h: 3600e3, d: 86400e3, w: 7 * 86400e3, M: 30 * 86400e3, y: 365 * 86400e3 };
const WORDS = { s: "second", m: "minute", h: "hour", d: "day", w: "week", M: "month", y: "year" };

export const own = document.body.dataset;
const listeners = [];

export const parts = () => new URLSearchParams(location.search);
export const begins = () => parts().get("from") || own.range;
export const ends = () => parts().get("to") || "now";
export const isMoving = () => ends() === "now";
export const values = (choice) => parts().getAll(`var-${choice}`).filter((value) => value && value !== "$__all");
/** Whether the range has not ended: it ends now, or later. */
export const isOpen = () => isMoving() || instant(ends()) > Date.now();
/** How often the page asks anew: nothing is never. */
export const refresh = () => (isOpen() ? parts().get("refresh") ?? own.refresh : "");

export function onChange(listener) { listeners.push(listener); }

/** A new address for the same board; going back leads to the one before. */
export function go(change, { isKept = true } = {}) {
  const next = parts();
  change(next);
  const address = `${location.pathname}?${written(next)}`;
  if (address === location.pathname + location.search) return;
  if (isKept) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
  listeners.forEach((listener) => listener());
}

addEventListener("popstate", () => listeners.forEach((listener) => listener()));

/** As Python writes it: spaces are %20. */
export const written = (search) => search.toString().replaceAll("+", "%20");

export function choose(choice, chosen) {
  go((next) => {
    next.delete(`var-${choice}`);
    chosen.forEach((value) => next.append(`var-${choice}`, value));
  });
}

export function setRange(from, to) {
  go((next) => { next.set("from", String(from)); next.set("to", String(to)); });
}

/** The time in ms of `now-3h`, ms, or a date and time in UTC; NaN for what is none. */
export function instant(text, now = Date.now()) {
  const said = text.trim();
  const relative = /^now(?:-(\d{1,6})([smhdwMy]))?$/.exec(said);
  if (relative) return now - (relative[1] ? Number(relative[1]) * UNIT_MS[relative[2]] : 0);
  if (/^\d{9,15}$/.test(said)) return Number(said);
  const date = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{1,2}:\d{2})(?::(\d{2}(?:\.\d+)?))?)?(?: ?(?:Z|UTC))?$/.exec(said);
  if (!date) return NaN;
  return Date.parse(`${date[1]}T${(date[2] || "00:00").padStart(5, "0")}:${date[3] || "00"}Z`);
}

export const between = (now = Date.now()) => [instant(begins(), now), instant(ends(), now)];

/** A time as people write it, in UTC. */
export function shown(ms) {
  if (!Number.isFinite(ms)) return "?";
  const text = new Date(ms).toISOString().slice(0, 19).replace("T", " ");
  return text.endsWith(":00") ? text.slice(0, 16) : text;
}

/** The range in words. */
export function rangeText() {
  const relative = /^now-(\d+)([smhdwMy])$/.exec(begins());
  if (relative && isMoving()) {
    const [, count, unit] = relative;
    return `Last ${count === "1" ? "" : `${count} `}${WORDS[unit]}${count === "1" ? "" : "s"}`;
  }
  const [from, to] = between().map(shown);
  return `${from} – ${to.slice(0, 10) === from.slice(0, 10) ? to.slice(11) : to} UTC`;
}

export function milliseconds(text) {
  const found = /^(\d{1,4})([smh])$/.exec(text || "");
  return found ? Math.max(Number(found[1]) * UNIT_MS[found[2]], 1_000) : 0;
}
