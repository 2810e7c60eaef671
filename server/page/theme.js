// The colour theme before the first paint: the visitor's choice if there is one, else the system's.
// A classic script, because modules run only after the page has been drawn.
"use strict";

(() => {
  const KEY = "trm-theme";
  const system = matchMedia("(prefers-color-scheme: dark)");

  // Storage may be switched off altogether.
  const stored = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null;
    }
  };

  const isDark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";

  const choose = (theme) => {
    document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // The choice then lasts as long as the page.
    }
  };

  const choice = stored();
  if (choice === "dark" || choice === "light") {
    document.documentElement.dataset.theme = choice;
  }

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const show = () => button.setAttribute("aria-pressed", String(isDark()));
    button.addEventListener("click", () => {
      choose(isDark() ? "light" : "dark");
      show();
    });
    system.addEventListener("change", show);
    show();
  });
})();
