// Before anything is painted: light or dark, as the address says, as was chosen here last, or as the system is.
(() => {
  const asked = new URLSearchParams(location.search).get("theme");
  const known = ["light", "dark"];
  let kept = null;
  try { kept = localStorage.getItem("turnwatch-theme"); } catch { /* A browser may keep nothing. */ }
  const theme = [asked, kept].find((each) => known.includes(each));
  if (theme) document.documentElement.dataset.theme = theme;
})();
