// A board's page: what the address says is asked for, shown, and asked again.

import * as choices from "./choices.js";
import * as keys from "./keys.js";
import * as panels from "./panels.js";
import * as state from "./state.js";
import * as times from "./times.js";

const root = document.documentElement;
const isBoard = Boolean(state.own.board);

function themed(theme) {
  root.dataset.theme = theme;
  try { localStorage.setItem("turnwatch-theme", theme); } catch { /* It holds until the page is left. */ }
  showTheme();
}

const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
const showTheme = () => document.getElementById("theme").setAttribute("aria-pressed", String(isDark()));
const toggleTheme = () => themed(isDark() ? "light" : "dark");

document.getElementById("theme").addEventListener("click", toggleTheme);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);
showTheme();

const actions = {
  d: toggleTheme,
  b: () => document.querySelector("nav a[aria-current], nav a").focus(),
};

if (isBoard) {
  let timer = 0;
  let said = "";

  const schedule = () => {
    clearInterval(timer);
    const every = state.milliseconds(state.refresh());
    if (every) timer = setInterval(() => { if (!document.hidden && !panels.isBusy()) panels.ask({ isAll: false }); }, every);
  };

  /** Links to other boards keep range and choices. */
  const carry = () => {
    const search = state.written(state.parts());
    for (const link of document.querySelectorAll("nav a, .brand")) link.search = search;
  };

  const looked = () => {
    const [before, is] = [said, `${state.begins()} ${state.ends()} ${[...state.parts()].filter(([name]) => name.startsWith("var-"))}`];
    said = is;
    choices.show();
    times.show();
    carry();
    schedule();
    if (before !== is) panels.ask();
  };

  panels.start(({ count, failed, round }) => {
    document.body.dataset.round = String(round);
    const status = document.getElementById("status");
    const sentence = `${count} panels, ${state.rangeText()}${failed ? `; ${failed} could not be asked` : ""}.`;
    if (status.textContent !== sentence) status.textContent = sentence;
  });
  times.start();
  choices.start();
  state.onChange(looked);
  document.getElementById("again").addEventListener("click", () => panels.ask());
  looked();

  Object.assign(actions, {
    t: () => { document.getElementById("times").open = true; document.querySelector("#times [data-from]").focus(); },
    f: () => document.querySelector(".choices summary, .choices select")?.focus(),
    r: () => panels.ask(),
    l: times.toggleLive,
    "[": () => times.shift(-0.5),
    "]": () => times.shift(0.5),
    "-": times.wider,
    j: () => keys.step(1),
    k: () => keys.step(-1),
    v: () => panels.toggleTable(document.activeElement?.closest(".panel")),
  });

  const viewed = document.getElementById(`panel-${state.parts().get("viewPanel")}`);
  viewed?.scrollIntoView({ block: "center" });
  viewed?.focus();
}

keys.start(actions);
