// Scripts of every page: copy buttons, and opening the section that the URL names.
"use strict";

document.documentElement.classList.add("js");

function unfold() {
  const named = document.getElementById(location.hash.slice(1)); // the id is percent-encoded as in the URL
  if (named instanceof HTMLDetailsElement) named.open = true;
}

document.addEventListener("DOMContentLoaded", unfold);
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
