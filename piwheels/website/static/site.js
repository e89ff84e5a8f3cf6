// Scripts of every page: copy buttons, opening the section that the URL names, the missing project.
"use strict";

document.documentElement.classList.add("js");

function unfold() {
  const named = document.getElementById(location.hash.slice(1)); // the id is percent-encoded as in the URL
  if (named instanceof HTMLDetailsElement) named.open = true;
}

// The page for unknown addresses names the project that was looked for.
function nameMissing() {
  const place = document.querySelector(".missing-project");
  const found = /\/project\/([A-Za-z0-9._-]{1,200})\/?$/.exec(location.pathname);
  if (place && found) place.textContent = found[1];
}

document.addEventListener("DOMContentLoaded", unfold);
document.addEventListener("DOMContentLoaded", nameMissing);
addEventListener("hashchange", unfold);

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button.copy");
  if (!button) return;
  const code = button.parentElement.querySelector("code");
  const label = button.dataset.label ?? (button.dataset.label = button.textContent);
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    // Without TLS the clipboard API is not available: select the text instead.
    getSelection().selectAllChildren(code);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = label; }, 2000);
});
