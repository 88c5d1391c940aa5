// Keys, which `?` lists. They are for a page in which nobody is writing, and can be turned off.

const KEPT = "turnwatch-keys";

export function start(actions) {
  const dialog = document.getElementById("keys");
  const isOn = document.getElementById("keys-on");
  isOn.checked = kept() !== "off";
  isOn.addEventListener("change", () => keep(isOn.checked ? "on" : "off"));
  document.getElementById("show-keys").addEventListener("click", () => dialog.showModal());

  addEventListener("keydown", (event) => {
    if (event.key === "Escape") return closeMenus(true);
    if (!isOn.checked || event.ctrlKey || event.metaKey || event.altKey || dialog.open) return undefined;
    if (event.target.closest("input, select, textarea, [contenteditable]")) return undefined;
    const act = event.key === "?" ? () => dialog.showModal() : actions[event.key];
    if (!act) return undefined;
    event.preventDefault();
    return act();
  });
  addEventListener("pointerdown", (event) => {
    if (!event.target.closest("details[open]")) closeMenus(false);
    else closeMenus(false, event.target.closest("details[open]"));
  });
  addEventListener("focusin", (event) => closeMenus(false, event.target.closest("details")));
}

/** Closes what is open; after Esc the focus is back on what opened it. */
function closeMenus(isEscape, but = null) {
  for (const menu of document.querySelectorAll("details.menu[open], details.about[open]")) {
    if (menu === but) continue;
    const hadFocus = menu.contains(document.activeElement);
    menu.open = false;
    if (isEscape && hadFocus) menu.querySelector("summary").focus();
  }
}

/** The next panel, or the one before, gets the focus. */
export function step(by) {
  const all = [...document.querySelectorAll(".panel")];
  const at = all.indexOf(document.activeElement?.closest(".panel"));
  const next = all[Math.min(Math.max(at + by, 0), all.length - 1)];
  next?.focus();
  next?.scrollIntoView({ block: "center" });
}

function kept() {
  try { return localStorage.getItem(KEPT); } catch { return null; }
}

function keep(value) {
  try { localStorage.setItem(KEPT, value); } catch { /* It holds until the page is left. */ }
}
