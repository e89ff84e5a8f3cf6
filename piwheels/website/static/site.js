// Scripts of every page: copy buttons, opening the section that the URL names, the missing project.
"use strict";

document.documentElement.classList.add("js");

function unfold() {
  const named = document.getElementById(location.hash.slice(1)); // the id is percent-encoded as in the URL
  if (named instanceof HTMLDetailsElement) named.open = true;
}

const site = {
  // The project that was looked for, on the page for unknown addresses; else "".
  missingProject() {
    const found = /\/project\/([A-Za-z0-9._-]{1,200})\/?$/.exec(location.pathname);
    return document.querySelector(".missing-project") && found ? found[1] : "";
  },

  // What keeps the picked platform in the address of another page; nothing else remembers it.
  platformQuery() {
    const platform = new URLSearchParams(location.search).get("platform");
    return platform && /^[\w.-]{1,100}$/.test(platform) ? `?platform=${platform}` : "";
  },

  // Puts the picked platform into the links to pages of the site.
  keepPlatform() {
    for (const link of document.querySelectorAll("a[href]")) {
      const is_page = link.origin === location.origin && /(\/|\.html)$/.test(link.pathname);
      const is_index = link.pathname.endsWith("/simple/") || /\/logs\//.test(link.pathname);
      if (is_page && !is_index && !link.matches("[href^='#'], .pick")) link.search = site.platformQuery();
    }
  },

  // Picks a platform, or none if it is "".
  pick(platform) {
    const address = new URL(location);
    if (platform) address.searchParams.set("platform", platform);
    else address.searchParams.delete("platform");
    history.replaceState(null, "", address);
    site.keepPlatform();
  },
};

function nameMissing() {
  const place = document.querySelector(".missing-project");
  if (place && site.missingProject()) place.textContent = site.missingProject();
}

function preparePlatform() {
  if (site.platformQuery()) site.keepPlatform();
  const select = document.querySelector("select#platform");
  if (!select) return;
  const platform = new URLSearchParams(location.search).get("platform");
  if ([...select.options].some((option) => option.value === platform)) select.value = platform;
  select.addEventListener("change", () => site.pick(select.value));
}

document.addEventListener("DOMContentLoaded", unfold);
document.addEventListener("DOMContentLoaded", nameMissing);
document.addEventListener("DOMContentLoaded", preparePlatform);
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
