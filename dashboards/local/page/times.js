// The time range: presets, from and to, earlier, later and wider; and how often a range that ends now is asked anew.

import * as state from "./state.js";

const menu = () => document.getElementById("times");
const form = () => document.getElementById("between");

export function start() {
  for (const preset of document.querySelectorAll("[data-from]")) {
    preset.addEventListener("click", () => {
      close();
      state.setRange(preset.dataset.from, "now");
    });
  }
  menu().addEventListener("toggle", () => {
    if (!menu().open) return;
    const fields = form().elements;
    fields.from.value = /^now/.test(state.begins()) ? state.begins() : state.shown(state.instant(state.begins()));
    fields.to.value = /^now/.test(state.ends()) ? state.ends() : state.shown(state.instant(state.ends()));
    wrong("");
  });
  form().addEventListener("submit", (event) => {
    event.preventDefault();
    apply();
  });
  document.getElementById("earlier").addEventListener("click", () => shift(-0.5));
  document.getElementById("later").addEventListener("click", () => shift(0.5));
  document.getElementById("wider").addEventListener("click", wider);
  document.getElementById("refresh").addEventListener("change", (event) => setRefresh(event.target.value));
  document.getElementById("live").addEventListener("click", toggleLive);
  show();
}

export function show() {
  document.getElementById("range").textContent = state.rangeText();
  for (const preset of document.querySelectorAll("[data-from]")) {
    preset.setAttribute("aria-pressed", String(state.isMoving() && preset.dataset.from === state.begins()));
  }
  const live = document.getElementById("live");
  const every = document.getElementById("refresh");
  const said = state.refresh();
  live.disabled = every.disabled = !state.isOpen();
  live.setAttribute("aria-pressed", String(Boolean(said)));
  live.title = state.isOpen() ? "Live  l" : "A range that has ended does not change.";
  if (said) {
    if (![...every.options].some((option) => option.value === said)) every.add(new Option(`every ${said}`, said));
    every.value = said;
  }
}

export function shift(share) {
  const [from, to] = state.between();
  const by = Math.round(((to - from) * share) / 1000) * 1000;
  const most = Date.now();
  if (by > 0 && to + by >= most) state.setRange(Math.round((most - (to - from)) / 1000) * 1000, Math.round(most / 1000) * 1000);
  else state.setRange(Math.round((from + by) / 1000) * 1000, Math.round((to + by) / 1000) * 1000);
}

/** Twice the range: around its middle, or up to now where it ends there. */
export function wider() {
  const [from, to] = state.between();
  if (state.isMoving()) {
    const minutes = Math.max(Math.round((to - from) / 30_000), 1);
    const [count, unit] = minutes % 1440 === 0 ? [minutes / 1440, "d"] : minutes % 60 === 0 ? [minutes / 60, "h"] : [minutes, "m"];
    state.setRange(`now-${count}${unit}`, "now");
  } else {
    const half = (to - from) / 2;
    state.setRange(Math.round((from - half) / 1000) * 1000, Math.round(Math.min(to + half, Date.now()) / 1000) * 1000);
  }
}

export function toggleLive() {
  if (state.isOpen()) setRefresh(state.refresh() ? "" : document.getElementById("refresh").value || state.own.refresh);
}

function setRefresh(text) {
  state.go((next) => next.set("refresh", text), { isKept: false });
}

function apply() {
  const fields = form().elements;
  const [from, to] = [fields.from, fields.to].map((field) => state.instant(field.value));
  for (const [field, ms] of [[fields.from, from], [fields.to, to]]) field.setAttribute("aria-invalid", String(Number.isNaN(ms)));
  if (Number.isNaN(from) || Number.isNaN(to)) return wrong("Write a time in UTC such as 2026-10-01 12:00, or now-6h, or now.");
  if (from >= to) return wrong("The range ends before it begins.");
  close();
  const kept = (field, ms) => (/^now/.test(field.value.trim()) ? field.value.trim() : ms);
  return state.setRange(kept(fields.from, from), kept(fields.to, to));
}

function wrong(sentence) {
  const element = form().querySelector(".wrong");
  element.textContent = sentence;
  element.hidden = !sentence;
}

function close() {
  menu().open = false;
  menu().querySelector("summary").focus();
}
