// What every page does with JavaScript: commands can be copied, and an address opens what it names.
"use strict";

document.documentElement.classList.add("js");

function unfold() {
  const named = document.getElementById(location.hash.slice(1)); // written as it is in the address
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
    // A page without TLS may not write to the clipboard: the text is selected for the reader.
    getSelection().selectAllChildren(code);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = label; }, 2000);
});
