// Runs before the page is drawn, so that a chosen theme does not flash the other one.
try {
  const theme = JSON.parse(localStorage.getItem("tercet.theme"));
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is closed to us, or holds something else: the system's theme it is.
}
