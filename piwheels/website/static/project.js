// A project's pages: shows only the platform that the address names, ?platform=cp313-trixie-aarch64
// or ?platform=trixie-aarch64 for every Python there. Nothing is stored and nothing is sent.
"use strict";

(() => {
  const select = document.querySelector("select#platform");
  if (!select) return;

  function matches(target, platform) {
    return target === platform || target.endsWith(`-${platform}`);
  }

  // Shows some columns of a matrix: the first column has the releases, the header has two rows.
  function showColumns(table, shown) {
    const [groups, pythons] = table.tHead.rows;
    shown.forEach((is_shown, at) => { pythons.cells[at].hidden = !is_shown; });
    for (const row of table.tBodies[0].rows) {
      shown.forEach((is_shown, at) => { row.cells[at + 1].hidden = !is_shown; });
    }
    let at = 0;
    for (const group of [...groups.cells].slice(1)) {
      const span = Number(group.dataset.span ??= group.colSpan);
      const left = shown.slice(at, at + span).filter(Boolean).length;
      group.hidden = !left;
      group.colSpan = left || span;
      at += span;
    }
  }

  function show(platform) {
    const targets = [...select.options].map((option) => option.value).filter(Boolean);
    const is_known = targets.some((target) => matches(target, platform));
    const is_shown = (target) => !is_known || matches(target, platform);
    document.documentElement.classList.toggle("picked", is_known);
    select.value = targets.find((target) => is_known && matches(target, platform)) ?? "";
    for (const table of document.querySelectorAll(".matrix")) {
      showColumns(table, table.dataset.targets.split(" ").map(is_shown));
    }
    for (const choice of document.querySelectorAll(".choice")) {
      choice.hidden = !is_shown(choice.dataset.target);
      choice.open = is_known;
    }
  }

  select.addEventListener("change", () => show(select.value));
  const platform = new URLSearchParams(location.search).get("platform");
  if (platform) show(platform);
})();
